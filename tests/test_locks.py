"""Two processes and one folder: one wins, the other says so, and a kill leaves no lock behind."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from synctrack import locks
from synctrack.cli.main import main
from synctrack.data.sources.grooves import write_grooves
from synctrack.errors import InputError
from synctrack.files import TEMPORARY

pytest.importorskip("fcntl", reason="folders are not locked on Windows")

HOLD = """
import sys, time
from synctrack.locks import locked
with locked(sys.argv[1], sys.argv[2]):
    print(1, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def hold(tmp_path, monkeypatch):
    """Have another process hold the folder, or a part of it; gives the process."""
    monkeypatch.setattr(locks, "PATIENCE", 0.2)
    processes = []

    def start(part: str = "") -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path, part], stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"1\n"
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_second_process_is_refused_and_told_of_the_first(hold, tmp_path):
    named = rf"another process \({hold().pid} on .*\) is writing there"
    with pytest.raises(InputError, match=named), locks.locked(tmp_path):
        pass


def test_killed_process_leaves_no_lock(hold, tmp_path):
    first = hold()
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert (tmp_path / locks.LOCK).exists()
    with locks.locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_parts_of_a_folder_are_held_at_a_time_but_not_with_all_of_it(hold, tmp_path):
    hold("1-of-2")
    with locks.locked(tmp_path, "2-of-2"):
        pass
    for part in ("1-of-2", ""):
        with pytest.raises(InputError, match="is writing there"), locks.locked(tmp_path, part):
            pass


def test_lock_removes_what_a_killed_write_has_left(tmp_path):
    (tmp_path / "song").mkdir()
    (tmp_path / "song" / f"{TEMPORARY}1.wav").touch()
    with locks.locked(tmp_path):
        assert [path.name for path in tmp_path.rglob("*")] in ([".lock", "song"], ["song", ".lock"])
    assert [path.name for path in tmp_path.rglob("*")] == ["song"]


def _count(folder, rounds, results):
    for _ in range(rounds):
        with locks.locked(folder):
            value = int((folder / "count").read_text())
            (folder / "count").write_text(str(value + 1))
    results.put(os.getpid())


def test_nothing_is_removed_where_there_are_no_locks(tmp_path, monkeypatch):
    """Another process may be writing there."""

    def without_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    written = tmp_path / f"{TEMPORARY}-file"
    written.write_text("half")
    monkeypatch.setattr(locks.fcntl, "flock", without_locks)
    with locks.locked(tmp_path) as is_locked:
        assert not is_locked
    assert written.exists()


@pytest.mark.medium
def test_many_processes_take_turns(tmp_path, monkeypatch):
    """Each reads a number and writes the next one: without a lock some would write the same."""
    monkeypatch.setattr(locks, "PATIENCE", 60.0)
    (tmp_path / "count").write_text("0")
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_count, args=(tmp_path, 10, results)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert (tmp_path / "count").read_text() == "40"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


@pytest.mark.parametrize("command", ["separate", "check", "data beats"])
def test_commands_refuse_a_folder_that_another_process_writes(command, hold, tmp_path, monkeypatch, capsys):
    folder = tmp_path.parent / f"{tmp_path.name}_songs"
    write_grooves(folder, 2, 4.0, 16000, seed=0, workers=0)
    if command == "data beats":
        (folder / "Groove00000").rename(tmp_path / "Groove00000")
        (tmp_path / "Groove00000" / "beats.json").unlink()
    hold()
    arguments = {
        "separate": ["separate", folder / "Groove00000" / "drums.wav", "--out", tmp_path],
        "check": ["check", folder, "--fix", tmp_path],
        "data beats": ["data", "beats", tmp_path],
    }[command]
    monkeypatch.setattr(sys, "argv", ["synctrack", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "is writing there; wait for it, or choose another folder" in capsys.readouterr().err


def test_locked_empty_refuses_files_and_leaves_them(tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(InputError, match="holds files; choose another"), locks.locked_empty(tmp_path, "choose another"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with locks.locked_empty(tmp_path / "new", "choose another"):
        assert [path.name for path in (tmp_path / "new").iterdir()] == [locks.LOCK]
    assert list((tmp_path / "new").iterdir()) == []


def test_locked_empty_leaves_no_folder_where_nothing_was_made(tmp_path):
    def fail_after(name: str, *written: str) -> None:
        with locks.locked_empty(tmp_path / name, "choose another"):
            for file in written:
                (tmp_path / name / file).touch()
            raise InputError("unreadable")

    for arguments in (("nothing",), ("half", "bass.wav")):
        with pytest.raises(InputError, match="unreadable"):
            fail_after(*arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["half"]
