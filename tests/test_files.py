"""What is written and read: whole files, ordinary files, names that stay in their folder, JSON and YAML in bounds."""

import errno
import json
import os
import stat
import tempfile

import pytest

from synctrack.bounds import check_stems
from synctrack.documents import has_form, read_json, read_yaml
from synctrack.errors import InputError
from synctrack.files import TEMPORARY, atomic_path, remove_temporaries, write_json


def test_write_to_a_link_writes_the_file_that_it_leads_to(tmp_path):
    target, link = tmp_path / "there" / "scores.json", tmp_path / "link.json"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    write_json(link, [1])
    assert link.is_symlink()
    assert json.loads(target.read_text()) == [1]
    assert [path.name for path in target.parent.iterdir()] == ["scores.json"]


def test_write_to_a_link_that_leads_nowhere_creates_the_file_there(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "new" / "file")
    write_json(tmp_path / "link", 1)
    assert (tmp_path / "new" / "file").read_text() == "1\n"
    assert (tmp_path / "link").is_symlink()


def null_device(folder):
    """A device of the test's own for root, so that a fault cannot replace the system's."""
    if os.geteuid() != 0:
        return "/dev/null"
    try:
        os.mknod(folder / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("WRITING TO A DEVICE IS NOT TESTED: root may not make one here, and could replace the system's")
    return folder / "null"


@pytest.mark.parametrize("kind", ["device", "link to a device", "pipe", "folder", "NUL"])
def test_write_to_what_is_no_ordinary_file_is_refused_and_leaves_it(tmp_path, kind):
    path = tmp_path / "out.json"
    device = null_device(tmp_path) if "device" in kind else None
    if kind == "device":
        path = device
    elif kind == "link to a device":
        path.symlink_to(device)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path = "a\0b"
    with pytest.raises(InputError, match=r"not an ordinary file|is not the name of a file"):
        write_json(path, 1)
    assert device is None or stat.S_ISCHR(os.stat(device).st_mode)
    assert not list(tmp_path.glob(f"{TEMPORARY}*"))


def test_write_to_a_link_that_leads_to_itself_is_one_error(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputError, match="cannot be written"):
        write_json(tmp_path / "loop" / "file", 1)


def test_write_with_a_name_of_the_greatest_length_succeeds(tmp_path):
    name = "x" * 250 + ".json"
    write_json(tmp_path / name, 1)
    assert (tmp_path / name).read_text() == "1\n"


def test_failed_write_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, 1)

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
    assert path.read_text() == "1\n"


def test_write_into_a_read_only_folder_is_one_error(tmp_path, monkeypatch):
    """Told by what the system says of it: root writes into such folders."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(InputError, match=r"a\.json: cannot be written \(Permission denied\)"):
        write_json(tmp_path / "a.json", 1)
    assert not list(tmp_path.iterdir())


def test_remove_temporaries_removes_only_them(tmp_path):
    for name in (f"a/{TEMPORARY}x1.wav", "a/kept.wav", f"{TEMPORARY}y"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    remove_temporaries(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["kept.wav"]


WRONG_NAMES = ["", "/abs", "../x", "a/b", "a\\b", ".hidden", "a\0b", "x" * 101, "a\nb", "\ud800", "con:", "end.", " a"]


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_stem_that_is_no_file_name_is_refused(name):
    with pytest.raises(ValueError, match=r"^stems: .* is not a file name"):
        check_stems("stems", ["bass", name])


@pytest.mark.parametrize(
    ("stems", "message"),
    [
        ([], "names no stem"),
        (None, "names no stem"),
        ("bass", "names no stem"),
        (["a", "A"], "is the name of the stem 'a' too"),
        (["Mix"], "is the name of the mix too"),
        ([1], "is not a file name"),
    ],
)
def test_wrong_lists_of_stems_are_refused(stems, message):
    with pytest.raises(ValueError, match=message):
        check_stems("stems", stems)


def test_usual_names_of_stems_are_accepted():
    check_stems("stems", ["bass", "Drum Kit 2", "стру́ны", "弦", "lead_(1)", "x" * 100])


DAMAGED = {
    "not a number": ("[NaN]", "not a finite number"),
    "infinite": ('{"a": 1e999}', "not a finite number"),
    "large": ("1" + 30 * "0", "too large a number"),
    "long": ("1" + 5000 * "0", "is not JSON"),
    "deep": (100_000 * "[", "is not JSON"),
    "deep and closed": (100_000 * "[" + 100_000 * "]", "nested too deeply"),
    "half a character": ('["\\ud800"]', "is not JSON"),
    "cut": ('{"a": 1', "is not JSON"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_json_is_one_error(tmp_path, case):
    text, message = DAMAGED[case]
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=rf"a\.json: .*{message}"):
        read_json(tmp_path / "a.json")


def test_read_json_accepts_a_whole_character_in_escapes(tmp_path):
    (tmp_path / "a.json").write_text('["\\ud83c\\udfb8"]')
    assert read_json(tmp_path / "a.json", [str]) == ["🎸"]


def test_read_json_of_another_form_is_one_error(tmp_path):
    write_json(tmp_path / "a.json", {"beats": {"bass": [1, True]}})
    with pytest.raises(InputError, match="damaged, or a file of another kind"):
        read_json(tmp_path / "a.json", {"beats": {str: [float]}})


@pytest.mark.parametrize("reader", [read_json, read_yaml])
def test_read_from_a_pipe_or_a_device_does_not_wait(tmp_path, reader):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(InputError, match="not an ordinary file"):
            reader(path)
    with pytest.raises(InputError, match="no such file"):
        reader(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("value", "form", "fits"),
    [
        (1, int, True),
        (True, int, False),
        (1, float, True),
        (float("inf"), float, False),
        ([1, "a"], (int, str), True),
        ([1], (int, int), False),
        ({"a": [1]}, {str: [int]}, True),
        ({"a": 1}, {"b": int}, False),
        (None, object, True),
    ],
)
def test_has_form(value, form, fits):
    assert has_form(value, form) is fits


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "a is there twice"),
        ("a: [1", "not valid YAML"),
        ("[" * 100_000, "nested too deeply"),
        ("- " * 1000, "nested too deeply"),
        ("&a [*a, *a]: 1", "not valid YAML"),
        ("!!python/object:os.system {}", "not valid YAML"),
    ],
)
def test_damaged_yaml_is_one_error(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_yaml(tmp_path / "a.yaml")
