"""MIDI files of beats: written, read back and read by mido; other programs' files against times computed by hand."""

import contextlib
import sys

import mido
import numpy as np
import pytest

from helpers.sources import midi_song, save_song
from synctrack.audio.beat_files import Beats, read_beats, regular_beats, write_midi_beats
from synctrack.audio.midi_beats import beat_times
from synctrack.errors import InputError


def test_midi_without_mido_names_the_extra(tmp_path, monkeypatch):
    write_midi_beats(tmp_path / "a.mid", regular_beats(120, 4, 8.0))
    monkeypatch.setitem(sys.modules, "mido", None)
    with pytest.raises(InputError, match=r"MIDI files: needs mido; pip install 'synctrack\[midi\]'"):
        read_beats(tmp_path / "a.mid")


def drifting_beats(first: float, pickup: int = 0) -> Beats:
    """Three minutes around 110 BPM with drift of 8 %, in four and then in three."""
    intervals = 60 / 110 * (1 + 0.08 * np.sin(np.arange(330) / 20) + np.random.default_rng(0).normal(0, 0.01, 330))
    times = first + np.concatenate([[0.0], np.cumsum(intervals)])
    return Beats(times, np.concatenate([times[pickup:160:4], times[pickup + 160 :: 3]]))


@pytest.mark.parametrize(("first", "pickup"), [(0.0, 0), (0.013, 0), (0.37, 3), (21.4, 1)])
def test_midi_beats_read_back_as_written(tmp_path, first, pickup):
    beats = drifting_beats(first, pickup)
    assert beats.beats[-1] > 180
    write_midi_beats(tmp_path / "a.mid", beats)
    again = read_beats(tmp_path / "a.mid")
    np.testing.assert_allclose(again.beats, beats.beats, atol=5e-5, rtol=0)
    np.testing.assert_allclose(again.downbeats, beats.downbeats, atol=5e-5, rtol=0)
    assert set(again.meters) == {3, 4}


@pytest.mark.parametrize("downbeats", [[], [0.5], [0.5, 1.0]])
def test_midi_beats_with_few_or_no_downbeats_read_back(tmp_path, downbeats):
    beats = Beats([0.2, 0.5, 1.0, 1.4], downbeats)
    write_midi_beats(tmp_path / "a.mid", beats)
    again = read_beats(tmp_path / "a.mid")
    np.testing.assert_allclose(again.beats, beats.beats, atol=5e-5, rtol=0)
    np.testing.assert_allclose(again.downbeats, beats.downbeats, atol=5e-5, rtol=0)


def test_midi_of_a_steady_tempo_has_one_tempo_and_a_marker_for_each_bar(tmp_path):
    write_midi_beats(tmp_path / "a.mid", regular_beats(120, 3, 9.0))
    (track,) = mido.MidiFile(tmp_path / "a.mid").tracks
    assert [m.tempo for m in track if m.type == "set_tempo"] == [500000]
    assert [(m.numerator, m.denominator) for m in track if m.type == "time_signature"] == [(3, 4)]
    assert [m.text for m in track if m.type == "marker"] == [f"bar {n}" for n in range(1, 7)]
    assert track[-1].type == "end_of_track"
    assert mido.MidiFile(tmp_path / "a.mid").length == pytest.approx(9.0)


def test_midi_beats_that_do_not_fit_midi_are_refused(tmp_path):
    path = tmp_path / "a.mid"
    for beats, message in [
        (Beats([0.0, 20.0]), "beats lie 20 to 20 s apart"),
        (Beats([0.0, 0.0005, 1.0]), "beats lie 0.0005 to"),
        (Beats([2000.0, 2001.0]), "the first beat is at 2000 s"),
        (Beats(np.arange(300) * 0.5, [0.0]), "has a bar of 300 beats"),
    ]:
        with pytest.raises(InputError, match=message):
            write_midi_beats(path, beats)
    assert not list(tmp_path.iterdir())


def test_midi_tempo_map_and_meters_of_other_programs_are_read(tmp_path):
    conductor = [
        mido.MetaMessage("set_tempo", tempo=500000),
        mido.MetaMessage("marker", text="verse"),
        mido.MetaMessage("set_tempo", tempo=1000000, time=250),
        mido.MetaMessage("time_signature", numerator=6, denominator=8, time=150),
    ]
    save_song(tmp_path / "a.MID", conductor, [mido.Message("note_on", time=1000)])
    beats = read_beats(tmp_path / "a.MID")
    # 2.5 beats of 0.5 s, then 1 s each; from tick 400 (2.75 s) dotted quarters of 1.5 s, two to a bar.
    np.testing.assert_allclose(beats.beats, [0.0, 0.5, 1.0, 1.75, 2.75, 4.25, 5.75, 7.25])
    np.testing.assert_allclose(beats.downbeats, [0.0, 2.75, 5.75])


def test_midi_signature_just_behind_its_bar_gives_no_second_beat(tmp_path):
    conductor = [mido.MetaMessage("time_signature", numerator=3, denominator=4, time=401)]
    save_song(tmp_path / "a.mid", conductor, [mido.Message("note_on", time=1000)])
    beats = read_beats(tmp_path / "a.mid")
    np.testing.assert_allclose(beats.beats, [0.0, 0.5, 1.0, 1.5, *(2.005 + 0.5 * np.arange(6))])
    np.testing.assert_allclose(beats.downbeats, [0.0, 2.005, 3.505])


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (mido.MetaMessage("set_tempo", tempo=0), r"a\.mid: has a tempo of 0"),
        (mido.MetaMessage("time_signature", numerator=1, denominator=2**20), "time signature in 1/1048576"),
        (mido.Message("note_on", time=2**28 - 1), r"a\.mid: (holds more than|its last beat is at)"),
    ],
)
def test_midi_of_impossible_values_is_refused(tmp_path, message, complaint):
    save_song(tmp_path / "a.mid", [message, mido.Message("note_on", time=1000)])
    with pytest.raises(InputError, match=complaint):
        read_beats(tmp_path / "a.mid")


def test_damaged_midi_is_read_or_refused_but_never_crashes(tmp_path):
    write_midi_beats(tmp_path / "whole.mid", drifting_beats(0.3).within(0.0, 8.0))
    whole = (tmp_path / "whole.mid").read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=3):
            damaged[place] = rng.integers(256)
        cut = rng.integers(len(whole)) if trial % 3 == 0 else len(whole)
        (tmp_path / "a.mid").write_bytes(damaged[:cut])
        with contextlib.suppress(InputError):
            read_beats(tmp_path / "a.mid")


def test_beats_of_a_song_go_on_to_the_end_of_its_audio():
    tempo = [mido.MetaMessage("set_tempo", tempo=250000, time=200)]
    song = midi_song(tempo, [mido.Message("note_on", time=400)])
    for seconds, expected in [(1.2, [0, 0.5, 1.0]), (1.3, [0, 0.5, 1.0, 1.25]), (2.1, [0, 0.5, 1, 1.25, 1.5, 1.75, 2])]:
        beats, downbeats = beat_times(song, seconds)
        np.testing.assert_allclose(beats, expected)
        assert set(downbeats) <= set(beats)
