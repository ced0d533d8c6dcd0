"""`synctrack data beats`: beats tracked in the mix of a song's stems, against those that the songs were made with."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import mir_eval
import numpy as np
import pytest
import soundfile

from helpers.commands import run_in
from synctrack.audio.beat_files import read_beats
from synctrack.data.sources.grooves import write_grooves
from synctrack.errors import InputError
from synctrack.metrics.beats.song_beats import track_songs

pytestmark = pytest.mark.medium

RATE = 16000


class FixedTracker:
    """Gives the same beats for every file; `look` is called with each waveform and its rate."""

    version = "fixed 1"
    protocols = ("corrected",)

    def __init__(self, beats: list[float], downbeats: list[float] = (), look: Callable = lambda wave, rate: None):
        self.times = np.array(beats), np.array(downbeats)
        self.look = look

    def track_bars(self, waveform: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
        self.look(waveform, sample_rate)
        return self.times


def save_song(folder: Path, seconds: float = 6.0, **stems: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for name, wave in (stems or {"bass": np.full(round(RATE * seconds), 0.1)}).items():
        soundfile.write(folder / f"{name}.wav", wave, RATE, subtype="FLOAT")


@pytest.fixture(scope="module")
def grooves(tmp_path_factory) -> Path:
    """Three songs without beats, one that keeps its own, a silent and a damaged one; `truth` beside them."""
    place = tmp_path_factory.mktemp("beats")
    write_grooves(place / "data", songs=4, seconds=20.0, sample_rate=RATE, seed=5, workers=0)
    shutil.copytree(place / "data", place / "truth")
    for number in range(3):
        (place / "data" / f"Groove{number:05d}" / "beats.json").unlink()
    save_song(place / "data" / "silent", drums=np.zeros(RATE * 20))
    (place / "data" / "wrong").mkdir()
    (place / "data" / "wrong" / "bass.wav").write_text("not audio")
    return place


@pytest.fixture(scope="module")
def tracked(grooves) -> str:
    """What the command printed."""
    return run_in(grooves, "prepare_data.py", "beats", "data", "--workers", 1).stdout


def test_beats_of_grooves_are_those_they_were_made_with(grooves, tracked):
    for number in range(3):
        name = f"Groove{number:05d}/beats.json"
        truth, found = read_beats(grooves / "truth" / name), read_beats(grooves / "data" / name)
        assert mir_eval.beat.f_measure(truth.beats, found.beats) > 0.95
        assert mir_eval.beat.f_measure(truth.downbeats, found.downbeats) > 0.95
        assert found.meter == truth.meter
        content = json.loads((grooves / "data" / name).read_text())
        assert list(content) == ["tracker", "meter", "beats", "downbeats"]
        assert content["tracker"].startswith("madmom")


def test_command_says_what_it_kept_and_left_out(grooves, tracked):
    silent, wrong, kept, total = tracked.splitlines()
    assert silent == "data/silent: 0 beats found in 20.0 s, too few to be trusted; nothing is written"
    assert wrong.startswith("data/wrong/bass.wav: is not a readable audio file")
    assert kept == "1 songs had a beats.json and keep it; --overwrite replaces it"
    assert total == "4 songs; left out: 1 with too few beats, 1 unreadable"
    name = "Groove00003/beats.json"
    assert (grooves / "data" / name).read_bytes() == (grooves / "truth" / name).read_bytes()
    assert not (grooves / "data" / "silent" / "beats.json").exists()


def test_second_run_tracks_nothing_and_overwrite_all(tmp_path):
    for song in ("a", "b"):
        save_song(tmp_path / song)
    slow, quick = FixedTracker(np.arange(10) * 0.5), FixedTracker(np.arange(20) * 0.25)
    assert track_songs(tmp_path, slow).tracked == ["a", "b"]
    (tmp_path / "b" / "beats.json").unlink()
    outcome = track_songs(tmp_path, quick)
    assert (outcome.tracked, outcome.kept) == (["b"], ["a"])
    assert [read_beats(tmp_path / song / "beats.json").bpm for song in "ab"] == [120.0, 240.0]
    assert track_songs(tmp_path, quick, overwrite=True).tracked == ["a", "b"]
    assert read_beats(tmp_path / "a" / "beats.json").bpm == 240.0


def test_tracker_without_bars_leaves_downbeats_empty(tmp_path):
    save_song(tmp_path / "a")
    track_songs(tmp_path, FixedTracker(np.arange(10) * 0.5))
    content = json.loads((tmp_path / "a" / "beats.json").read_text())
    assert content == {"tracker": "fixed 1", "beats": [n * 0.5 for n in range(10)], "downbeats": []}


def test_tracker_gets_the_sum_of_the_stems_below_full_scale(tmp_path):
    rng = np.random.default_rng(0)
    bass, drums = rng.uniform(-0.9, 0.9, (2, RATE * 6))
    save_song(tmp_path / "a", bass=bass, drums=drums[: RATE * 5], mix=np.ones(RATE * 7))
    seen = []
    track_songs(tmp_path / "a", FixedTracker(np.arange(10) * 0.5, look=lambda *audio: seen.append(audio)))
    ((wave, rate),) = seen
    expected = bass + np.pad(drums[: RATE * 5], (0, RATE))
    assert rate == RATE
    np.testing.assert_allclose(wave, expected / np.abs(expected).max(), atol=1e-6)
    assert (tmp_path / "a" / "beats.json").is_file()


@pytest.mark.parametrize(("beats", "seconds"), [(7, 6.0), (8, 30.0), (0, 1.0)])
def test_too_few_beats_are_not_written(tmp_path, beats, seconds):
    save_song(tmp_path / "a", seconds)
    outcome = track_songs(tmp_path, FixedTracker(np.arange(beats) * 0.5))
    assert list(outcome.too_few) == ["a"]
    assert f"{beats} beats found in {seconds:.1f} s" in outcome.too_few["a"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["bass.wav"]


def test_interrupted_run_keeps_what_was_found(tmp_path):
    for song in ("a", "b", "c"):
        save_song(tmp_path / song)
    calls = []

    def interrupt(wave: np.ndarray, rate: int) -> None:
        calls.append(rate)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        track_songs(tmp_path, FixedTracker(np.arange(10) * 0.5, look=interrupt), workers=1)
    assert sorted(path.parent.name for path in tmp_path.rglob("beats.json")) == ["a", "b"]
    assert track_songs(tmp_path, FixedTracker(np.arange(10) * 0.5)).tracked == ["c"]


def test_folders_without_songs_are_refused(tmp_path, fail):
    (tmp_path / "empty" / "song").mkdir(parents=True)
    assert "empty: holds no song" in fail("prepare_data.py", "beats", "empty")
    assert "none: no such folder" in fail("prepare_data.py", "beats", "none")
    with pytest.raises(InputError, match="no such folder"):
        track_songs(tmp_path / "none", FixedTracker([]))
