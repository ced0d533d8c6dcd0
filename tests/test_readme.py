"""README is true: its keys, files, commands, options and Python exist; its examples of Python run."""

import contextlib
import dataclasses
import functools
import io
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from helpers.commands import ROOT
from synctrack.config import Config, load_config
from synctrack.errors import InputError

pytestmark = pytest.mark.medium

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
PROSE = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
INLINE = re.findall(r"`([^`\n]+)`", PROSE)
CREATED = ("runs/", "data/", "songs", "song/", "slakh2100", "stem_", "targets", "samples/", "mix/", "checkpoints/")
"""Beginnings of paths that commands create, or that users bring."""
CREATED_NAMES = {"manifest.json", "mix.wav", "song.json", "config.yaml", ".audio_index.json", "<stem>.wav"}
FILE = re.compile(r"[\w./-]+\.(?:py|yaml|md|png|txt|toml)|[\w-]+(?:/[\w.-]+)+/?|LICENSE")


def config_keys() -> set[str]:
    """Every key of the configuration, sections included."""

    def walk(schema: type, prefix: str):
        for item in dataclasses.fields(schema):
            yield prefix + item.name
            if dataclasses.is_dataclass(item.type):
                yield from walk(item.type, f"{prefix}{item.name}.")

    return set(walk(Config, ""))


def commands() -> list[str]:
    """Each command of the shell blocks, continued lines joined and comments removed."""
    text = "\n".join(body for language, body in BLOCKS if language == "sh").replace("\\\n", " ")
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines()]
    return [line for line in lines if line]


PROGRAMS = [line for line in commands() if line.split()[0] in ("python", "synctrack") and ".py" in line + ".py"]


def help_of(words: list[str]) -> str:
    """The help of the program, and sub-command, that a command line calls."""
    if words[0] == "synctrack":
        depth = 3 if words[1] in ("data", "checkpoint") else 2
        return printed_help("-m", "synctrack.cli.main", *words[1:depth])
    return printed_help(words[1], *([words[2]] if words[1] == "prepare_data.py" else []))


@functools.cache
def printed_help(*program: str) -> str:
    """What a script, or a module after `-m`, prints with --help; run in this process, which is faster."""
    module = program[0] == "-m"
    name, *words = program[module:]
    run, where = (runpy.run_module, name) if module else (runpy.run_path, str(ROOT / name))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setattr(sys, "argv", [name, *words, "--help"])
        with pytest.raises(SystemExit) as stopped:
            run(where, run_name="__main__")
    assert stopped.value.code in (None, 0)
    return printed.getvalue()


def test_readme_has_commands_keys_and_python():
    assert len(PROGRAMS) > 12
    assert sum("=" in item for item in INLINE) > 8
    assert sum(language == "python" for language, _ in BLOCKS) >= 2


@pytest.mark.parametrize("line", [line for line in PROGRAMS if "-m venv" not in line])
def test_command_of_readme_exists_and_knows_its_options(line):
    words = shlex.split(line.replace("[", "").replace("]", "").replace("...", ""))
    text = help_of(words)
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{re.escape(option)}\b", text), f"{option} is not an option of {words[:2]}"


STEM_VALUE = re.compile(r"(bass|drums|guitar|piano)=")
"""What generation takes by stem, such as drums=drums.wav, beside the keys of a configuration."""
PAIRS = {word for line in commands() for word in line.split() if re.match(r"[\w.]+=", word)}


@pytest.mark.parametrize("pair", sorted(pair for pair in PAIRS if not STEM_VALUE.match(pair)))
def test_key_in_a_command_of_readme_is_accepted(pair):
    if pair != "key=value":
        load_config([], [pair])


def looks_like_a_key(item: str) -> bool:
    if (
        item == "key=value"
        or STEM_VALUE.match(item)
        or re.search(r"\.(wav|flac|json|npy|csv)$", item)
        or FILE.fullmatch(item)
    ):
        return False
    return bool(re.fullmatch(r"[a-z_]+(\.[a-z_]+)+(=.*)?|[a-z_]+=.+", item))


@pytest.mark.parametrize("item", sorted({word for item in INLINE for word in item.split() if looks_like_a_key(word)}))
def test_key_in_the_text_of_readme_is_a_key_of_the_configuration(item):
    key, _, value = item.partition("=")
    assert key in config_keys(), f"README names {key}, which is not a key"
    if value:
        load_config([], [item])


def test_misspelt_key_is_found():
    assert looks_like_a_key("traner.devices=8")
    assert "traner.devices" not in config_keys()
    assert looks_like_a_key("data.params.path.stem")
    assert "data.params.path.stem" not in config_keys()
    with pytest.raises(InputError, match="did you mean"):
        load_config([], ["data.params.batchsize=4"])


def named_files() -> set[str]:
    linked = re.findall(r"\]\(([^)#:]+)\)", README)
    inline = [word for item in INLINE for word in item.split() if FILE.fullmatch(word)]
    in_commands = [word for line in commands() for word in line.split() if re.fullmatch(r"[\w/.-]+\.(py|yaml)", word)]
    return {name for name in [*linked, *inline, *in_commands] if not name.startswith(CREATED)} - CREATED_NAMES


@pytest.mark.parametrize("name", sorted(named_files()))
def test_file_that_readme_names_is_there(name):
    found = (ROOT / name).exists() or any((ROOT / folder / name).exists() for folder in ("benchmarks", "experiments"))
    assert found or "owner/name" in name, f"README names {name}, which is not there"


@pytest.mark.parametrize(
    "target", sorted({word for text in [*INLINE, *commands()] for word in re.findall(r"^make ([a-z-]+)", text)})
)
def test_make_target_of_readme_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("option", sorted({word for item in INLINE for word in item.split() if word.startswith("--")}))
def test_option_in_the_text_of_readme_exists(option):
    places = [*(ROOT / "src" / "synctrack").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    sources = "\n".join(path.read_text() for path in places)
    assert f'"{option}"' in sources


def test_python_of_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNCTRACK_CACHE", str(tmp_path / "cache"))
    for language, body in BLOCKS:
        if language == "python":
            exec(compile(body, "README.md", "exec"), {})
    for stem in ("bass", "drums", "guitar", "piano", "mix"):
        assert (tmp_path / "song" / f"{stem}.wav").is_file()
    assert (tmp_path / "shared" / "model.safetensors").is_file()


def test_version_of_the_package_is_in_the_changelog():
    import synctrack

    assert f"## {synctrack.__version__}" in (Path(ROOT) / "CHANGELOG.md").read_text()
