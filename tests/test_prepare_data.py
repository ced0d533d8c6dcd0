"""prepare_data.py as users run it: a subprocess, from another folder, killed, and with wrong input."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.commands import PATIENCE, ending, wait_for
from helpers.sources import FOUR_CLASSES, FOUR_PARTS, clicking_fluidsynth, save_slakh_song, save_song
from synctrack import locks
from synctrack.audio.files import audio_info
from synctrack.audio.mel import AudioFormat
from synctrack.data.dataset import StemDataset
from synctrack.data.sources.grooves import render_groove, write_grooves
from synctrack.data.writing import write_songs
from synctrack.errors import InputError
from synctrack.seeding import item_seed

pytestmark = pytest.mark.medium

SCRIPT = Path(__file__).parents[1] / "prepare_data.py"
GROOVES = ("synthetic", "--songs", 6, "--seconds", 12, "--workers", 2)


def _start(folder: Path, *arguments: object, before: Callable[[], None] | None = None) -> subprocess.Popen:
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True, preexec_fn=before)


def _run(folder: Path, *arguments: object, **options) -> subprocess.CompletedProcess:
    with ending(_start(folder, *arguments, **options)) as process:
        out, err = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _refused(folder: Path, *arguments: object, **options) -> str:
    """The error line of a command that must end with status 2, one line and no traceback."""
    result = _run(folder, *arguments, **options)
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if line and "song/s]" not in line]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def _tree(folder: Path) -> dict[str, bytes | None]:
    """Contents of all files, hidden ones too; None for folders."""
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def grooves(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    result = _run(folder, *GROOVES, "--out", "grooves")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "6 songs\n"
    return folder / "grooves"


def test_synthetic_writes_stems_and_beats(grooves, tmp_path):
    assert sorted(path.name for path in grooves.iterdir()) == [*(f"Groove{n:05d}" for n in range(6)), "manifest.json"]
    folder = grooves / "Groove00004"
    assert sorted(p.name for p in folder.iterdir()) == [
        "bass.wav",
        "beats.json",
        "drums.wav",
        "guitar.wav",
        "piano.wav",
    ]
    assert audio_info(folder / "piano.wav") == (16000, 192000)
    groove = render_groove(item_seed(0, 4), 12.0, 16000)
    beats = json.loads((folder / "beats.json").read_text())
    np.testing.assert_allclose(beats["beats"], groove.beats, atol=1e-6)
    np.testing.assert_allclose(beats["downbeats"], groove.downbeats, atol=1e-6)
    assert (beats["meter"], beats["tempo"]) == (groove.meter, groove.bpm)
    # A copy, since the data set keeps its index in the folder.
    copy = shutil.copytree(grooves, tmp_path / "grooves")
    dataset = StemDataset(copy, ["bass", "drums", "guitar", "piano"], AudioFormat(), shift=False, seed=0)
    assert len(dataset) == 6
    stored = dataset[0, 4]["waveform"].numpy()
    np.testing.assert_allclose(stored, [wave[:163840] for wave in groove.stems.values()], atol=1e-4)


def test_complete_songs_are_kept_and_missing_ones_added(grooves, tmp_path):
    out = shutil.copytree(grooves, tmp_path / "grooves")
    for folder in list(out.glob("Groove*"))[::2]:
        shutil.rmtree(folder)
    # Files that killed runs may leave.
    (out / ".manifest-x1.json").write_text("{")
    shutil.copytree(grooves / "Groove00001", out / ".Groove00009.partial")
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("Groove*/*")}
    assert _run(tmp_path, *GROOVES, "--out", out).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert _tree(out) == _tree(grooves)


@pytest.fixture
def command(request, tmp_path, monkeypatch) -> tuple:
    """The arguments, less --out, of a command that writes a few songs from sources of the test's own."""
    if request.param == "synthetic":
        return GROOVES
    if request.param == "slakh":
        for number in range(4):
            save_slakh_song(tmp_path / "slakh" / "train" / f"Track{number}", FOUR_CLASSES)
        return ("slakh", "--root", tmp_path / "slakh", "--split", "train", "--workers", 2)
    soundfont = clicking_fluidsynth(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(soundfont.parent))
    for number in range(4):
        save_song(tmp_path / "songs" / f"song{number}.mid", *FOUR_PARTS)
    return ("midi", "--midi", tmp_path / "songs", "--soundfont", soundfont, "--workers", 2)


@pytest.mark.parametrize(
    ("command", "pattern"),
    [
        ("synthetic", "**/Groove*1"),
        pytest.param("synthetic", "**/manifest.json", marks=pytest.mark.slow),
        pytest.param("synthetic", "**/.Groove*/*", marks=pytest.mark.slow),
        pytest.param("slakh", "**/.Track*", marks=pytest.mark.slow),
        pytest.param("slakh", "**/Track*2", marks=pytest.mark.slow),
        pytest.param("midi", "**/.song*/*", marks=pytest.mark.slow),
        pytest.param("midi", "**/song*1", marks=pytest.mark.slow),
    ],
    indirect=["command"],
)
def test_killed_run_gives_the_same_result_when_restarted(grooves, tmp_path, command, pattern):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    if command is GROOVES:
        whole = grooves
    else:
        assert _run(tmp_path, *command, "--out", whole).returncode == 0
    with ending(_start(tmp_path, *command, "--out", killed)) as process:
        wait_for(process, killed, pattern)
        process.kill()
        process.communicate(timeout=PATIENCE)
    assert _tree(killed) != _tree(whole), "killed too late to tell anything"
    assert _run(tmp_path, *command, "--out", killed).returncode == 0
    assert _tree(killed) == _tree(whole)


def test_workers_exit_when_the_command_is_killed(tmp_path):
    many = ("synthetic", "--out", "grooves", "--songs", 500, "--seconds", 12, "--workers", 2)
    with ending(_start(tmp_path, *many)) as process:
        wait_for(process, tmp_path / "grooves", "Groove*")
        assert process.poll() is None, process.stderr.read()
        process.kill()
        # The workers hold its outputs open until they end.
        process.communicate(timeout=PATIENCE)
    time.sleep(0.5)
    before = _tree(tmp_path / "grooves")
    time.sleep(0.5)
    assert _tree(tmp_path / "grooves") == before
    assert len(list((tmp_path / "grooves").glob("Groove*"))) < 500


@pytest.mark.parametrize("damage", ["lost", "empty", "cut", "no beats"])
def test_songs_that_lack_what_they_should_hold_are_made_again(grooves, tmp_path, damage):
    out = shutil.copytree(grooves, tmp_path / "grooves")
    path = out / "Groove00002" / ("beats.json" if damage == "no beats" else "bass.wav")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    report = write_grooves(out, 6, 12.0, 16000, seed=0, workers=0)
    assert report.notes == [f"{path.parent}: {path.name} was missing or damaged; the song is made again"]
    assert _tree(out) == _tree(grooves)


def test_second_process_on_a_folder_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("fcntl", reason="folders are not locked on Windows")
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    with locks.locked(tmp_path / "out"), pytest.raises(InputError, match="out: another process"):
        write_grooves(tmp_path / "out", 1, 12.0, 16000, seed=0, workers=0)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_processes_that_race_for_a_folder_leave_whole_songs(grooves, tmp_path):
    """One wins; the others wait a moment, and then say so or find everything done."""
    for number in range(5):
        out = tmp_path / f"race{number}"
        processes = [_start(tmp_path, *GROOVES, "--out", out) for _ in range(3)]
        ended = [(process.communicate(timeout=PATIENCE)[1], process.returncode) for process in processes]
        assert 0 in [status for _, status in ended]
        assert all(status == 0 or (status == 2 and "is writing there" in said) for said, status in ended), ended
        assert _tree(out) == _tree(grooves)


def _no_large_files() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


def test_failed_writes_are_one_line_and_leave_no_song(tmp_path):
    """A limit on file sizes simulates a full disk."""
    pytest.importorskip("resource", reason="Windows has no such limits")
    assert "bass.wav: cannot be written" in _refused(tmp_path, *GROOVES, "--out", "new", before=_no_large_files)
    assert list(_tree(tmp_path / "new")) == ["manifest.json"]


def test_other_settings_and_other_folders_are_refused(grooves, tmp_path):
    before = _tree(grooves)
    with pytest.raises(InputError, match=r"seconds 12\.0, now 13\.0"):
        write_grooves(grooves, 6, 13.0, 16000, seed=0)
    assert _tree(grooves) == before
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"holds files but no manifest\.json"):
        write_grooves(tmp_path, 6, 12.0, 16000, seed=0)
    with pytest.raises(InputError, match=r"manifest\.json: cannot be written"):
        write_grooves(tmp_path / "file" / "new", 6, 12.0, 16000, seed=0)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"manifest\.json: is damaged"):
        write_grooves(tmp_path, 6, 12.0, 16000, seed=0)


def _die(folder: Path, job: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_worker_is_one_line(tmp_path):
    with pytest.raises(InputError, match="new: a worker was killed"):
        write_songs(tmp_path / "new", {}, {"one": 1, "two": 2}, _die, workers=2)
    assert [path.name for path in (tmp_path / "new").iterdir() if not path.name.startswith(".")] == ["manifest.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("synthetic", "--songs", 1, "--stems", "kazoo"), "stems: kazoo", marks=pytest.mark.slow),
        pytest.param(("synthetic", "--songs", 0), "--songs: .0. is not a whole number", marks=pytest.mark.slow),
        (("slakh", "--root", "nowhere"), "nowhere/train: no such folder"),
        pytest.param(("midi", "--midi", "."), "holds no MIDI file|is not installed", marks=pytest.mark.slow),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(tmp_path, arguments, message):
    assert re.search(message, _refused(tmp_path, *arguments, "--out", tmp_path / "new"))
    assert not list(tmp_path.iterdir())
