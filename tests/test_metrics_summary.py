"""Beside the scores: bootstrap intervals, the chance floor, counts, protocols, the optional tracker."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.metrics_corpus import clicks
from synctrack.cli.metric_arguments import choose_protocols
from synctrack.errors import InputError
from synctrack.metrics.beats.folders import track_folder
from synctrack.metrics.beats.layout import find_layout
from synctrack.metrics.beats.trackers import make_tracker
from synctrack.metrics.beats.types import FileBeats, StemBeats
from synctrack.metrics.bootstrap import bootstrap_interval
from synctrack.metrics.cbs import cbs
from synctrack.metrics.chance import chance_floor
from synctrack.metrics.summary import summarise


def songs_in_time(num_songs: int, num_stems: int = 4) -> dict[str, list[np.ndarray]]:
    """Songs of unrelated tempi whose stems have the same beats."""
    generator = np.random.default_rng(0)
    tempi = generator.uniform(0.4, 0.8, num_songs)
    return {f"song {i}": [np.arange(generator.uniform(0, 0.4), 30, t)] * num_stems for i, t in enumerate(tempi)}


def test_bootstrap_interval_is_the_normal_one_for_a_mean():
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    low, high = bootstrap_interval(lambda rounds: values[rounds].mean(axis=1), len(values), seed=0)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)
    assert (low, high) == bootstrap_interval(lambda rounds: values[rounds].mean(axis=1), len(values), seed=0)


def test_chance_floor_never_pairs_stems_of_one_song():
    # Beats of song i lie in window i alone, so that any two stems of one song would share a window.
    songs = {str(i): [np.array([i + 0.5])] * 4 for i in range(5)}
    floor = chance_floor(songs, dict.fromkeys(songs, 5.0), window_size=1.0, seed=0)
    assert floor["mean_beat_ratio"] == pytest.approx(1 / 4)


def test_chance_floor_is_seeded_and_far_from_songs_in_time():
    songs = songs_in_time(20)
    durations = dict.fromkeys(songs, 30.0)
    floor = chance_floor(songs, durations, 0.15, seed=1)
    assert floor == chance_floor(songs, durations, 0.15, seed=1)
    assert floor != chance_floor(songs, durations, 0.15, seed=2)
    assert 0.35 < floor["mean_beat_ratio"] < 0.6
    assert 0.4 < floor["avg_error"] < 0.6


def test_chance_of_songs_of_different_lengths_is_that_of_stems_out_of_time():
    rng = np.random.default_rng(0)
    durations = {str(i): seconds for i, seconds in enumerate(rng.uniform(60, 240, 60))}
    songs = {
        name: [np.arange(rng.uniform(0, 0.5), seconds, rng.uniform(0.4, 0.6)) for _ in range(4)]
        for name, seconds in durations.items()
    }
    floor = chance_floor(songs, durations, 0.15, seed=0)["cbs"]
    assert floor == pytest.approx(cbs(songs, durations, 0.15).mean_beat_ratio, abs=0.01)


def test_there_is_no_chance_floor_with_fewer_than_five_songs():
    songs = songs_in_time(4)
    assert np.isnan(list(chance_floor(songs, dict.fromkeys(songs, 30.0), 0.15, seed=0).values())).all()


def test_summary_of_songs_in_time():
    stems = ("bass", "drums")
    songs = songs_in_time(6, num_stems=2)
    files = {
        song: {stem: FileBeats(30.0, 0.5, {"truth": beats}) for stem, beats in zip(stems, both, strict=True)}
        for song, both in songs.items()
    }
    files["song 0"]["bass"] = FileBeats(30.0, 0.0, {"truth": np.empty(0)})
    result = summarise(StemBeats(stems, files, ("truth",), "none"), "truth", 0.15, seed=0)
    assert (result["mean_beat_ratio"], result["avg_error"], result["coverage"]) == (1, 0, 1)
    assert result["avg_interval_std"] == pytest.approx(0, abs=1e-12)
    assert (result["songs_in_cbs"], result["songs_in_cbd"]) == (5, 5)
    assert result["stems"]["bass"]["silent_files"] == 1
    assert result["songs"]["song 0"]["num_beats"] == {"bass": 0, "drums": len(songs["song 0"][1])}


def test_protocols_that_beats_lack_are_refused_only_when_asked_for():
    assert choose_protocols(("paper", "corrected"), None, "paper") == ("paper",)
    assert choose_protocols(("paper", "corrected"), "both", "paper") == ("paper", "corrected")
    assert choose_protocols(("corrected",), None, "both") == ("corrected",)
    with pytest.raises(InputError, match="--protocol paper"):
        choose_protocols(("corrected",), "paper", "both")


def test_stems_sort_by_number_and_hidden_files_do_not_count(tmp_path):
    for number in (0, 2, 10):
        (tmp_path / f"stem_{number}").mkdir()
        for name in ("a.WAV", "._a.wav", "notes.txt"):
            (tmp_path / f"stem_{number}" / name).write_bytes(b"")
    stems = find_layout(tmp_path).stems
    assert list(stems) == ["stem_0", "stem_2", "stem_10"]
    assert {tuple(files) for files in stems.values()} == {("a",)}
    (tmp_path / "stem_2" / "a.flac").write_bytes(b"")
    with pytest.raises(InputError, match="the same name"):
        find_layout(tmp_path)


@pytest.mark.medium
def test_librosa_finds_the_beats_of_clicks_and_none_in_silence(tmp_path):
    times = np.arange(0.5, 9.5, 0.5)
    soundfile.write(tmp_path / "clicks.wav", clicks(times, 10.0, 22050), 22050)
    tracker = make_tracker("librosa")
    found = tracker.track_file(tmp_path / "clicks.wav")
    assert found.duration == pytest.approx(10.0)
    beats = found.beats["corrected"]
    assert len(beats) >= len(times) - 2
    assert np.abs(beats[:, None] - times).min(axis=1).max() < 0.03
    for silent in (np.zeros(0, np.float32), np.zeros(16000, np.float32), np.zeros(10, np.float32)):
        assert [len(part) for part in tracker.track_bars(silent, 16000)] == [0, 0]


@pytest.mark.parametrize("name", ["madmom", "librosa"])
def test_trackers_without_weights_refuse_them(name):
    with pytest.raises(InputError, match=f"--weights goes with --tracker beat_this; {name} takes none"):
        make_tracker(name, Path("weights.ckpt"))


def test_beat_this_is_optional_and_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "beat_this", None)
    with pytest.raises(InputError, match=r"pip install 'synctrack\[beat-this\]'"):
        make_tracker("beat_this")


@pytest.fixture
def beat_this(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A stand-in for the package that finds a beat at every click; holds the checkpoints that were asked for."""
    asked = []

    class Audio2Beats:
        def __init__(self, checkpoint_path: str, device: str) -> None:
            asked.append(checkpoint_path)
            if "broken" in checkpoint_path:
                raise ValueError("no checkpoint")

        def __call__(self, samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
            loud = np.flatnonzero(np.abs(samples) > 0.3) / rate
            beats = loud[np.diff(loud, prepend=-1.0) > 0.2]
            return beats, beats[::4]

    inference = types.ModuleType("beat_this.inference")
    inference.Audio2Beats = Audio2Beats
    monkeypatch.setitem(sys.modules, "beat_this", types.ModuleType("beat_this"))
    monkeypatch.setitem(sys.modules, "beat_this.inference", inference)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.1.0")
    return asked


def test_beat_this_gives_true_times_and_keeps_weights_apart(beat_this, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNCTRACK_CACHE", str(tmp_path / "cache"))
    times = np.arange(0.5, 5.0, 0.5)
    for stem in ("bass", "drums"):
        (tmp_path / "stems" / stem).mkdir(parents=True)
        soundfile.write(tmp_path / "stems" / stem / "a.wav", clicks(times, 5.5, 22050), 22050)
    weights = tmp_path / "weights.ckpt"
    weights.write_bytes(b"1")
    tracker = make_tracker("beat_this", weights)
    tracked = track_folder(tmp_path / "stems", tracker)
    np.testing.assert_allclose(tracked.by_song("corrected")["a"][0], times, atol=0.001)
    weights.write_bytes(b"2")
    assert make_tracker("beat_this", weights).version != tracker.version
    make_tracker("beat_this")
    assert beat_this == [str(weights), str(weights), "final0"]


def test_weights_that_are_not_available_are_named(beat_this, tmp_path):
    with pytest.raises(InputError, match=r"missing\.ckpt: no such file"):
        make_tracker("beat_this", tmp_path / "missing.ckpt")
    (tmp_path / "broken.ckpt").write_bytes(b"")
    with pytest.raises(InputError, match=r"broken\.ckpt of beat_this cannot be loaded"):
        make_tracker("beat_this", Path(tmp_path / "broken.ckpt"))
