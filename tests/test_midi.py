"""MIDI import: beats against times computed by hand, stems against a click renderer that replaces FluidSynth."""

import json
import os
import shutil
import sys
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

from helpers.sources import FOUR_PARTS, clicking_fluidsynth, midi_song, repeated_note, save_song
from synctrack.audio.midi_beats import beat_times
from synctrack.data.sources.midi import DEFAULT_SOUNDFONT, write_midi
from synctrack.errors import InputError

pytestmark = pytest.mark.medium


@pytest.fixture
def soundfont(tmp_path, monkeypatch) -> Path:
    """A file that is accepted as a soundfont, with the clicker as the only fluidsynth."""
    path = clicking_fluidsynth(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(path.parent))
    return path


@pytest.fixture
def songs(tmp_path) -> Path:
    folder = tmp_path / "songs"
    save_song(folder / "full.mid", *FOUR_PARTS)
    save_song(folder / "sub" / "trio.MIDI", *FOUR_PARTS[:3])
    (folder / "text.mid").write_text("no MIDI")
    (folder / "cut.mid").write_bytes((folder / "full.mid").read_bytes()[:200])
    return folder


def test_beats_follow_tempo_and_meter():
    tempo = [
        mido.MetaMessage("set_tempo", tempo=500000),
        mido.MetaMessage("set_tempo", tempo=1000000, time=250),
        mido.MetaMessage("time_signature", numerator=6, denominator=8, time=150),
    ]
    beats, downbeats = beat_times(midi_song(tempo, [mido.Message("note_on", time=1000)]))
    # 2.5 beats of 0.5 s, then 1 s each; from tick 400 (2.75 s) dotted quarters of 1.5 s, two to a bar.
    np.testing.assert_allclose(beats, [0.0, 0.5, 1.0, 1.75, 2.75, 4.25, 5.75, 7.25])
    np.testing.assert_allclose(downbeats, [0.0, 2.75, 5.75])


def test_beats_without_tempo_or_meter_are_120_bpm_in_four():
    beats, downbeats = beat_times(midi_song([mido.Message("note_on", time=1000)]))
    np.testing.assert_allclose(beats, np.arange(10) * 0.5)
    np.testing.assert_allclose(downbeats, [0.0, 2.0, 4.0])


def test_waltz_and_seven_eighths():
    for numerator, denominator, beat in [(3, 4, 0.5), (7, 8, 0.25), (12, 8, 0.75), (2, 2, 1.0)]:
        signature = mido.MetaMessage("time_signature", numerator=numerator, denominator=denominator)
        beats, downbeats = beat_times(midi_song([signature, mido.Message("note_on", time=4200)]))
        np.testing.assert_allclose(np.diff(beats), beat)
        np.testing.assert_allclose(np.diff(downbeats), 0.5 * numerator * 4 / denominator)


def test_notes_go_to_the_stem_of_their_program(songs, soundfont, tmp_path):
    report = write_midi(songs, tmp_path / "out", soundfont, workers=2)
    assert report.songs == 1
    assert report.left_out == {"with missing stems": 1, "unreadable": 2}
    assert any("sub/trio.MIDI: has no piano" in line for line in report.lines)
    assert any("text.mid: is not a readable MIDI" in line for line in report.lines)
    folder = tmp_path / "out" / "full"
    heights = {"bass": (40, 0.5, 8), "drums": (50, 0.5, 8), "guitar": (60, 1.0, 4), "piano": (70, 2.0, 2)}
    for stem, (note, apart, count) in heights.items():
        wave, rate = soundfile.read(folder / f"{stem}.wav")
        assert (rate, len(wave)) == (16000, 64000)
        loud = np.concatenate([[False], wave > wave.max() / 2])
        starts = np.flatnonzero(loud[1:] & ~loud[:-1]) / rate
        np.testing.assert_allclose(starts, np.arange(count) * apart, atol=0.001)
        # All four sound at once on the first beat, where their mix has its peak of 0.9.
        assert wave[:30].max() == pytest.approx(0.9 * note / (40 + 50 + 60 + 70), rel=0.15)
    beats = json.loads((folder / "beats.json").read_text())
    assert (beats["tempo"], beats["meter"]) == (120.0, 4)
    assert beats["downbeats"] == [0.0, 2.0]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*(f"{s}.wav" for s in heights), "beats.json"])


def test_missing_stems_may_be_silent(songs, soundfont, tmp_path):
    report = write_midi(songs, tmp_path / "out", soundfont, missing_stem="silent", workers=1)
    assert report.songs == 2
    wave, _ = soundfile.read(tmp_path / "out" / "sub_trio" / "piano.wav")
    assert len(wave) == 64000
    assert np.abs(wave).max() == 0


def test_program_changes_move_later_notes(soundfont, tmp_path):
    changing = repeated_note(0, 33, 40, 100, 4) + repeated_note(0, 0, 40, 100, 4)
    save_song(tmp_path / "songs" / "change.mid", changing, *FOUR_PARTS[1:3])
    write_midi(tmp_path / "songs", tmp_path / "out", soundfont)
    bass, _ = soundfile.read(tmp_path / "out" / "change" / "bass.wav")
    piano, _ = soundfile.read(tmp_path / "out" / "change" / "piano.wav")
    assert np.abs(bass[31000:]).max() < 0.01 < np.abs(bass[:31000]).max()
    assert np.abs(piano[:31000]).max() < 0.01 < np.abs(piano[31000:]).max()


def test_midi_files_without_beats_are_left_out(soundfont, tmp_path):
    save_song(tmp_path / "songs" / "separate.mid", *FOUR_PARTS, kind=2)
    save_song(tmp_path / "songs" / "endless.mid", FOUR_PARTS[0], [mido.Message("note_on", time=10_000_000)])
    save_song(tmp_path / "songs" / "empty.mid", [])
    counts = "2 of odd length, 1 unreadable"
    with pytest.raises(InputError, match=rf"none of the 3 songs is usable: {counts}; such as .*mid: "):
        write_midi(tmp_path / "songs", tmp_path / "out", soundfont)


def test_song_of_the_limit_or_longer_is_left_out_before_it_is_rendered(songs, soundfont, tmp_path, monkeypatch):
    monkeypatch.setattr("synctrack.data.sources.midi._render", lambda *_: pytest.fail("was rendered"))
    with pytest.raises(InputError, match=r"none of the .* songs is usable: .*[1-9] too long"):
        write_midi(songs, tmp_path / "out", soundfont, max_seconds=1.5, workers=0)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_limit_that_is_not_a_length_is_refused(songs, soundfont, tmp_path, seconds):
    with pytest.raises(InputError, match="--max-seconds"):
        write_midi(songs, tmp_path / "out", soundfont, max_seconds=seconds)


def test_missing_programs_and_files_are_named(songs, soundfont, tmp_path, monkeypatch):
    (tmp_path / "text.sf2").write_text("this is not a soundfont")
    (tmp_path / "damaged.sf2").write_bytes(b"RIFF\0\0\0\0sfbkdamaged")
    (tmp_path / "none").mkdir()
    wrong = {"text": r"text\.sf2: is not a soundfont", "other": r"other\.sf2: no such", "damaged": "Failed to load"}
    for name, message in wrong.items():
        with pytest.raises(InputError, match=message):
            write_midi(songs, tmp_path / name, tmp_path / f"{name}.sf2")
        assert not list(tmp_path.glob(f"{name}/*/"))
    with pytest.raises(InputError, match="none: holds no MIDI file"):
        write_midi(tmp_path / "none", tmp_path / "out", soundfont)
    shutil.copy(songs / "full.mid", songs / "full.midi")
    with pytest.raises(InputError, match=r"full\.midi: would be the same song"):
        write_midi(songs, tmp_path / "out", soundfont)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="fluidsynth: is not installed"):
        write_midi(songs, tmp_path / "out", soundfont)


@pytest.mark.skipif(
    not (shutil.which("fluidsynth") and DEFAULT_SOUNDFONT.exists()), reason="FluidSynth and its soundfont are optional"
)
def test_fluidsynth_plays_on_the_beats(songs, tmp_path):
    write_midi(songs, tmp_path / "out")
    wave, _ = soundfile.read(tmp_path / "out" / "full" / "drums.wav")
    beats = json.loads((tmp_path / "out" / "full" / "beats.json").read_text())["beats"]
    for beat in beats[1:]:
        at = round(16000 * beat)
        before, after = (np.square(wave[at + shift : at + shift + 400]).mean() for shift in (-400, 100))
        assert after > 4 * before


def hanging_note() -> list[mido.Message]:
    """A distorted guitar's note that is never released, in a song of four seconds."""
    return [
        mido.Message("program_change", channel=2, program=30),
        mido.Message("note_on", channel=2, note=50, velocity=90, time=0),
        mido.MetaMessage("end_of_track", time=800),
    ]


def test_notes_that_are_never_released_end_with_the_song(songs, soundfont, monkeypatch, tmp_path):
    save_song(songs / "hanging.mid", *FOUR_PARTS[:2], hanging_note(), FOUR_PARTS[3])
    played = []
    save = mido.MidiFile.save

    def keep(song: mido.MidiFile, *arguments: object) -> None:
        played.append(song)
        save(song, *arguments)

    monkeypatch.setattr(mido.MidiFile, "save", keep)
    write_midi(songs, tmp_path / "out", soundfont, workers=0)
    ends = {song.length: [m for m in song if m.is_cc(120)] for song in played if any(m.is_cc(120) for m in song)}
    (length,), ((off,),) = ends.keys(), ends.values()
    assert (length, off.channel) == (4.0, 2)


@pytest.mark.skipif(
    not (shutil.which("fluidsynth") and DEFAULT_SOUNDFONT.exists()), reason="FluidSynth and its soundfont are optional"
)
def test_fluidsynth_renders_a_note_that_is_never_released_until_the_end(songs, monkeypatch, tmp_path):
    save_song(songs / "hanging.mid", *FOUR_PARTS[:2], hanging_note(), FOUR_PARTS[3])
    monkeypatch.setattr("synctrack.data.sources.midi.LONGEST_RENDERING", 60)
    write_midi(songs, tmp_path / "out", workers=0)
    wave, rate = soundfile.read(tmp_path / "out" / "hanging" / "guitar.wav")
    assert len(wave) == 4 * rate
    assert np.abs(wave[-rate // 2 :]).max() > 0.001


def test_song_of_another_file_of_the_same_name_is_refused(soundfont, tmp_path):
    for folder, every in (("one", 100), ("other", 90)):
        save_song(tmp_path / folder / "song.mid", *FOUR_PARTS[:3], repeated_note(3, 0, 60, every))
    write_midi(tmp_path / "one", tmp_path / "out", soundfont, workers=0)
    assert write_midi(tmp_path / "one", tmp_path / "out", soundfont, workers=0).songs == 1
    with pytest.raises(InputError, match=r"out/song: was made from another song than .*other/song\.mid"):
        write_midi(tmp_path / "other", tmp_path / "out", soundfont, workers=0)


def test_meter_and_tempo_are_stated_where_they_are_constant(soundfont, tmp_path):
    def signature(numerator, time=0):
        return mido.MetaMessage("time_signature", numerator=numerator, denominator=4, time=time)

    pickup = [signature(1), signature(4, 100)]
    faster = [mido.MetaMessage("set_tempo", tempo=400000, time=400)]
    for name, part in (("pickup", pickup), ("faster", faster)):
        save_song(tmp_path / "songs" / f"{name}.mid", part, *FOUR_PARTS)
    write_midi(tmp_path / "songs", tmp_path / "out", soundfont, workers=0)
    facts = {name: json.loads((tmp_path / "out" / name / "beats.json").read_text()) for name in ("pickup", "faster")}
    assert (facts["pickup"]["tempo"], facts["pickup"].get("meter")) == (120, None)
    assert ("tempo" in facts["faster"], facts["faster"]["meter"]) == (False, 4)


def test_markers_of_others_are_no_marks_of_ours():
    markers = [mido.MetaMessage("marker", text="lead-in"), mido.MetaMessage("marker", text="Verse", time=200)]
    beats, downbeats = beat_times(midi_song(markers, [mido.Message("note_on", time=1600)]))
    assert (len(beats), len(downbeats)) == (16, 4)


def test_names_that_no_folder_can_have_are_refused(soundfont, tmp_path):
    deep = tmp_path / "songs" / ("a" * 130) / ("b" * 130)
    save_song(deep / "song.mid", *FOUR_PARTS)
    with pytest.raises(InputError, match="its folders and name joined are too long for a folder"):
        write_midi(tmp_path / "songs", tmp_path / "out", soundfont, workers=0)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_text_are_refused(soundfont, tmp_path):
    save_song(tmp_path / "songs" / "song.mid", *FOUR_PARTS)
    (tmp_path / "songs" / "song.mid").rename(tmp_path / "songs" / os.fsdecode(b"caf\xe9.mid"))
    with pytest.raises(InputError, match="its name is not valid text; rename it"):
        write_midi(tmp_path / "songs", tmp_path / "out", soundfont, workers=0)
