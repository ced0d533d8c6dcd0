"""prepare_data.py as users run it: a subprocess, from another folder, killed, and given wrong input."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from synctrack.audio import AudioFormat, audio_info
from synctrack.data.dataset import StemDataset
from synctrack.data.grooves import render_groove
from synctrack.seeding import item_seed

SCRIPT = Path(__file__).parents[1] / "prepare_data.py"


def _start(folder: Path, *arguments: object) -> subprocess.Popen:
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _run(folder: Path, *arguments: object) -> subprocess.CompletedProcess:
    process = _start(folder, *arguments)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _refused(folder: Path, *arguments: object) -> str:
    """The error line of a command that must end with status 2, one line and no traceback."""
    result = _run(folder, *arguments)
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if "track/s]" not in line]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def grooves(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    result = _run(folder, "synthetic", "--out", "grooves", "--songs", 6, "--seconds", 12, "--workers", 2)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "6 tracks\n"
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


def test_complete_tracks_are_kept_and_more_can_be_added(grooves, tmp_path):
    out = tmp_path / "grooves"
    for songs in (2, 6):
        result = _run(tmp_path, "synthetic", "--out", out, "--songs", songs, "--seconds", 12)
        assert result.returncode == 0, result.stderr
        if songs == 2:
            stamps = {path: path.stat().st_mtime_ns for path in out.glob("Groove*/*")}
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert _tree(out) == _tree(grooves)


@pytest.mark.parametrize("wait_for", ["manifest.json", ".Groove0000*", "Groove00001"])
def test_killed_run_ends_the_same_when_started_again(grooves, tmp_path, wait_for):
    arguments = ("synthetic", "--out", tmp_path / "grooves", "--songs", 6, "--seconds", 12, "--workers", 2)
    process = _start(tmp_path, *arguments)
    while not list((tmp_path / "grooves").glob(wait_for)) and process.poll() is None:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(list((tmp_path / "grooves").glob("Groove*"))) < 6, "killed too late to tell anything"
    assert _run(tmp_path, *arguments).returncode == 0
    assert _tree(tmp_path / "grooves") == _tree(grooves)
    assert sorted(p.name for p in (tmp_path / "grooves").iterdir()) == sorted(p.name for p in grooves.iterdir())


def test_workers_end_when_the_command_is_killed(tmp_path):
    process = _start(tmp_path, "synthetic", "--out", "grooves", "--songs", 500, "--seconds", 12, "--workers", 2)
    while not list((tmp_path / "grooves").glob("Groove*")):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(1.0)
    before = len(list((tmp_path / "grooves").iterdir()))
    time.sleep(1.0)
    assert len(list((tmp_path / "grooves").iterdir())) == before < 500


def test_wrong_input_is_one_line(grooves, tmp_path):
    (tmp_path / "file").touch()
    assert "cannot be written" in _refused(tmp_path, "synthetic", "--out", "file/grooves", "--songs", 1)
    assert "kazoo" in _refused(tmp_path, "synthetic", "--out", "new", "--songs", 1, "--tracks", "kazoo")
    assert "songs 0" in _refused(tmp_path, "synthetic", "--out", "new", "--songs", 0)
    assert "seconds 12.0, now 13.0" in _refused(tmp_path, "synthetic", "--out", grooves, "--songs", 6, "--seconds", 13)
    assert "another origin" in _refused(tmp_path, "synthetic", "--out", tmp_path, "--songs", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
