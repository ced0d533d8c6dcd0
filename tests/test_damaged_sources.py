"""Damaged MIDI files and songs of Slakh2100: each is left out, counted and named, and the others are made."""

import os
import struct
import time

import mido
import numpy as np
import pytest
import soundfile
import yaml

from helpers.commands import PATIENCE
from helpers.sources import FOUR_CLASSES, FOUR_PARTS, clicking_fluidsynth, save_slakh_song, save_song
from synctrack.audio.midi_beats import read_midi_file
from synctrack.data.sources.instruments import load_stem_map
from synctrack.data.sources.midi import write_midi
from synctrack.data.sources.slakh import write_slakh
from synctrack.errors import InputError

END = b"\x00\xff\x2f\x00"
NOTE = b"\x00\x90\x40\x40\x60\x80\x40\x40"


def midi_bytes(events: bytes) -> bytes:
    """A MIDI file of one track of raw events."""
    return struct.pack(">4sIHHH", b"MThd", 6, 0, 1, 100) + struct.pack(">4sI", b"MTrk", len(events)) + events


DAMAGED_MIDI = {
    "signature in 1/2^200": midi_bytes(b"\x00\xff\x58\x04\x04\xc8\x18\x08" + NOTE + END),
    "number without end": midi_bytes(b"\xff" * 100_000),
    "long number": midi_bytes(b"\xff\xff\xff\xff\xff\xff\xff\x7f" + NOTE[1:] + END),
    "tempo of zero": midi_bytes(b"\x00\xff\x51\x03\x00\x00\x00" + NOTE + END),
    "wrong key": midi_bytes(b"\x00\xff\x59\x02\x7f\x07" + NOTE + END),
    "short signature": midi_bytes(b"\x00\xff\x58\x00" + NOTE + END),
    "no track": b"MThd\x00\x00\x00\x06\x00\x01\x00\x00\x00\x64",
    "text": b"this is no MIDI file",
    "empty": b"",
    "million notes": midi_bytes(NOTE * 1_000_000 + END),
}


@pytest.fixture
def soundfont(tmp_path, monkeypatch):
    path = clicking_fluidsynth(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(path.parent))
    return path


def test_damaged_midi_files_are_left_out_and_named_and_the_others_made(tmp_path, soundfont):
    songs = tmp_path / "songs"
    save_song(songs / "good.mid", *FOUR_PARTS)
    for name, content in DAMAGED_MIDI.items():
        (songs / f"{name.replace('/', ' ')}.mid").write_bytes(content)
    os.mkfifo(songs / "pipe.mid")
    begin = time.monotonic()
    report = write_midi(songs, tmp_path / "out", soundfont, workers=0)
    assert time.monotonic() - begin < PATIENCE
    assert report.songs == 1
    assert report.left_out.total() == len(DAMAGED_MIDI)
    for name in DAMAGED_MIDI:
        assert any(f"{name.replace('/', ' ')}.mid" in line for line in report.lines), name


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (
            "exit 3",
            r"is usable: 1 not rendered; .*song\.mid: FluidSynth cannot render it \(status 3",
        ),
        ("kill -XFSZ $$", r"out/song: cannot be written \(No space left"),
    ],
)
def test_song_that_fluidsynth_cannot_play_is_left_out_unless_the_disk_is_full(tmp_path, soundfont, end, message):
    (tmp_path / "bin" / "fluidsynth").write_text(f"#!/bin/sh\n{end}\n")
    save_song(tmp_path / "songs" / "song.mid", *FOUR_PARTS)
    with pytest.raises(InputError, match=message):
        write_midi(tmp_path / "songs", tmp_path / "out", soundfont, workers=0)


def test_a_pipe_is_no_midi_file_to_wait_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mid")
    with pytest.raises(InputError, match="not an ordinary file"):
        read_midi_file(tmp_path / "pipe.mid")


def test_random_damage_to_midi_is_an_input_error_or_none(tmp_path):
    rng = np.random.default_rng(0)
    save_song(tmp_path / "a.mid", *FOUR_PARTS, [mido.MetaMessage("time_signature", numerator=3, denominator=4)])
    whole = (tmp_path / "a.mid").read_bytes()
    refused = 0
    for _ in range(200):
        content = bytearray(whole)
        for place in rng.integers(0, len(content), 3):
            content[place] = rng.integers(0, 256)
        (tmp_path / "a.mid").write_bytes(content[: rng.integers(10, len(content) + 1)])
        try:
            read_midi_file(tmp_path / "a.mid")
        except InputError:
            refused += 1
    assert refused > 100


DAMAGED_METADATA = {
    "a list": "- a\n- b",
    "stems a list": "stems: [a]",
    "stem a text": "stems: {S00: Bass}",
    "stem without class": "stems: {S00: {audio_rendered: true}}",
    "numbers": "stems: {1: {inst_class: Bass, audio_rendered: true}, a: {inst_class: 3, audio_rendered: true}}",
    "outside": "stems: {../../x: {inst_class: Bass, audio_rendered: true}}",
    "twice": "stems: {S00: {inst_class: Bass, audio_rendered: true}}\nstems: {}",
    "deep": "stems: " + "[" * 100_000,
    "NUL": "stems: \0",
    "not UTF-8": "stems: \udcff",
    "large": "# " + "x" * 2_000_000,
}


def test_damaged_songs_of_slakh_are_left_out_and_named_and_the_others_made(tmp_path):
    root = tmp_path / "slakh" / "train"
    save_slakh_song(root / "Good", FOUR_CLASSES)
    for name, text in DAMAGED_METADATA.items():
        save_slakh_song(root / name, FOUR_CLASSES)
        (root / name / "metadata.yaml").write_text(text, errors="surrogateescape")
    for name in ("pipe", "pipe of audio", "odd rate"):
        save_slakh_song(root / name, FOUR_CLASSES)
    (root / "pipe" / "metadata.yaml").unlink()
    os.mkfifo(root / "pipe" / "metadata.yaml")
    (root / "pipe of audio" / "stems" / "S00.flac").unlink()
    os.mkfifo(root / "pipe of audio" / "stems" / "S00.flac")
    soundfile.write(root / "odd rate" / "stems" / "S00.flac", np.zeros(100), 5)
    report = write_slakh(root.parent, tmp_path / "out", ["train"], workers=0)
    assert report.songs == 1
    assert report.left_out.total() == len(DAMAGED_METADATA) + 3
    for name in (*DAMAGED_METADATA, "pipe", "pipe of audio", "odd rate"):
        assert any(f"train/{name}/" in line for line in report.lines), name


@pytest.mark.parametrize("text", ["{}", "", "bass: [Bass]\nbass: [Drums]", "bass: [Bass]\nBASS: [Drums]"])
def test_maps_without_stems_or_with_one_twice_are_refused(tmp_path, text):
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises(InputError, match=r"map\.yaml: .*(names no stem|not a map of stems|there twice|is the name of)"):
        load_stem_map(tmp_path / "map.yaml")


@pytest.mark.parametrize("name", ["/abs", "../x", "a/b", "", "a\0b", ".hidden", "mix"])
def test_stems_of_a_map_that_leave_the_folder_are_refused(tmp_path, name):
    (tmp_path / "map.yaml").write_text(yaml.safe_dump({name: ["Bass"]}))
    with pytest.raises(InputError, match=r"map\.yaml: .*(is not a file name|the mix)"):
        load_stem_map(tmp_path / "map.yaml")
