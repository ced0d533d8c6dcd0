"""Onsets and onset synchrony: times of known clicks, 0 at chance, 1 in time, and stems that say nothing."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.metrics_corpus import clicks
from synctrack.data.sources.grooves import render_groove
from synctrack.metrics import onset_cache
from synctrack.metrics.onset_cache import cached_onsets
from synctrack.metrics.onset_synchrony import pair_synchrony, song_synchrony
from synctrack.metrics.onsets import FileOnsets, find_onsets, onsets_of

SECONDS = 10.0


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_onsets_are_where_clicks_are(rate):
    times = np.arange(0.5, 9.5, 0.37)
    found = onsets_of(clicks(times, SECONDS, rate).astype(np.float32), rate)
    np.testing.assert_allclose(found.times, times, atol=0.008)


def test_silence_and_a_held_tone_say_so():
    assert onsets_of(np.zeros(16000, np.float32), 16000).problem == "silent"
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(160000) / 16000) * np.minimum(1, np.arange(160000) / 16000)
    assert onsets_of(tone.astype(np.float32), 16000).problem.startswith("sustained")
    assert onsets_of(np.zeros(0, np.float32), 16000).problem == "silent"


def test_same_onsets_are_one_and_random_ones_nought():
    rng = np.random.default_rng(0)
    first = np.sort(rng.uniform(0, 60, 100))
    assert pair_synchrony(first, first, 60.0)[0] == pytest.approx(1)
    values = [
        pair_synchrony(np.sort(rng.uniform(0, 60, 80)), np.sort(rng.uniform(0, 60, 100)), 60.0)[0] for _ in range(200)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)


def test_stem_with_fewer_onsets_asks_and_the_tolerance_is_kept():
    eighths = np.arange(0.25, 30, 0.25)
    assert pair_synchrony(eighths, eighths[::2], 30.0)[0] == pytest.approx(1)
    assert pair_synchrony(eighths, eighths[::2] + 0.029, 30.0)[0] == pytest.approx(1)
    assert pair_synchrony(eighths, eighths[::2] + 0.031, 30.0)[0] < 0
    assert pair_synchrony(eighths, eighths[::2] + 0.031, 30.0, tolerance=0.04)[0] == pytest.approx(1)


def test_synchrony_of_two_stems_does_not_depend_on_their_order():
    # A flam: two onsets of one stem have the same partner in the other, whose second onset has none.
    first, second = np.array([1.0, 1.02, 4.0, 7.3]), np.array([1.01, 2.5, 4.0, 7.3])
    one, other = pair_synchrony(first, second, 10.0), pair_synchrony(second, first, 10.0)
    assert one == other
    assert one[0] == pytest.approx((7 / 8 - one[1]) / (1 - one[1]))


def test_songs_leave_out_stems_that_say_nothing():
    steady = FileOnsets(30.0, 0.5, np.arange(0.5, 29, 0.5), np.ones(57), np.zeros((0, 12)))
    silent = FileOnsets(30.0, 0.0, np.empty(0), np.empty(0), np.zeros((0, 12)))
    row = song_synchrony({"bass": steady, "drums": steady, "pad": silent})
    assert row["value"] == pytest.approx(1)
    assert row["problems"] == {"pad": "silent"}
    assert np.isnan(row["matrix"][2]).all()
    assert np.isnan(song_synchrony({"bass": steady, "pad": silent})["value"])


@pytest.mark.medium
def test_grooves_in_time_are_far_from_chance_and_delayed_ones_fall():
    values = []
    for seed in range(6):
        stems = render_groove(seed, SECONDS, 16000).stems
        late = dict(stems, piano=np.r_[np.zeros(1600, np.float32), stems["piano"]][: len(stems["piano"])])
        pairs = [{stem: onsets_of(wave, 16000) for stem, wave in song.items()} for song in (stems, late)]
        values.append([song_synchrony(song)["value"] for song in pairs])
    faultless, delayed = np.mean(values, axis=0)
    assert faultless > 0.75
    assert delayed < faultless - 0.25


def test_onsets_are_kept_by_content_and_found_again_where_an_entry_is_damaged(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("SYNCTRACK_CACHE", str(tmp_path / "cache"))
    calls = []
    monkeypatch.setattr(onset_cache, "find_onsets", lambda path: calls.append(path) or find_onsets(path))
    paths = [tmp_path / name for name in ("a.wav", "same.wav", "other.wav")]
    for path, gap in zip(paths, (0.5, 0.5, 0.4), strict=True):
        soundfile.write(path, clicks(np.arange(0.5, 4.5, gap), 5.0, 16000), 16000)
    first, same, other = (cached_onsets(path) for path in paths)
    assert calls == [paths[0], paths[2]]
    for kept, expected in ((same, first), (cached_onsets(paths[0]), find_onsets(paths[0]))):
        assert (kept.duration, kept.peak) == (expected.duration, expected.peak)
        for name in ("times", "strengths", "chroma"):
            np.testing.assert_array_equal(getattr(kept, name), getattr(expected, name))
    assert len(other.times) > len(first.times)
    calls.clear()
    for damage in (b"", b"PK damaged", b"\x93NUMPY"):
        for entry in (tmp_path / "cache" / "onsets").rglob("*.npz"):
            entry.write_bytes(damage)
        np.testing.assert_array_equal(cached_onsets(paths[0]).times, first.times)
    np.savez(next((tmp_path / "cache" / "onsets").rglob("*.npz")), numbers=np.zeros(3), times=np.zeros((2, 2)))
    cached_onsets(paths[0])
    assert set(calls) == {paths[0]}


def test_onsets_do_not_depend_on_how_many_frames_are_held_at_once(monkeypatch):
    wave = render_groove(3, 6.0, 16000).stems["piano"]
    whole = onsets_of(wave, 16000)
    monkeypatch.setattr("synctrack.metrics.onsets.BLOCK", 37)
    parts = onsets_of(wave, 16000)
    np.testing.assert_allclose(parts.times, whole.times, atol=1e-5)
    np.testing.assert_allclose(parts.chroma, whole.chroma, rtol=1e-4, atol=1e-5)
