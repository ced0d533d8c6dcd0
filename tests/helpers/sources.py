"""Inputs for the importers: Slakh2100 songs, MIDI songs, and a click renderer that replaces FluidSynth."""

import sys
from pathlib import Path

import mido
import numpy as np
import soundfile
import yaml

FOUR_CLASSES = {"S00": "Bass", "S01": "Drums", "S02": "Guitar", "S03": "Piano"}

# Called as FluidSynth is; a click of 1 ms at each note, whose height is its pitch / 128.
CLICKER = """#!{python}
import sys, mido, numpy, soundfile
out, score = sys.argv[sys.argv.index("-F") + 1], sys.argv[-1]
if open(sys.argv[-2], "rb").read().endswith(b"damaged"):
    print("fluidsynth: error: Failed to load SoundFont", file=sys.stderr)
time, wave = 0.0, numpy.zeros((44100 * 12, 2), dtype="float32")
for message in mido.MidiFile(score):
    time += message.time
    if message.type == "note_on" and message.velocity:
        wave[round(time * 44100) : round(time * 44100) + 44] = message.note / 128
soundfile.write(out, wave, 44100, subtype="FLOAT")
"""


def clicking_fluidsynth(folder: Path) -> Path:
    """Put the clicker into `folder` as the program fluidsynth, and return a file there that passes as a soundfont."""
    folder.mkdir()
    program = folder / "fluidsynth"
    program.write_text(CLICKER.format(python=sys.executable))
    program.chmod(0o755)
    soundfont = folder / "clicks.sf2"
    soundfont.write_bytes(b"RIFF\0\0\0\0sfbk")
    return soundfont


def midi_song(*parts: list[mido.Message | mido.MetaMessage], kind: int = 1) -> mido.MidiFile:
    """A song of 100 ticks per quarter."""
    return mido.MidiFile(type=kind, ticks_per_beat=100, tracks=[mido.MidiTrack(part) for part in parts])


def save_song(path: Path, *parts: list[mido.Message | mido.MetaMessage], kind: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    midi_song(*parts, kind=kind).save(path)


def repeated_note(channel: int, program: int, note: int, every: int, count: int = 8) -> list[mido.Message]:
    """A part of equal notes, `every` so many ticks."""
    messages = [mido.Message("program_change", channel=channel, program=program)]
    for _ in range(count):
        messages.append(mido.Message("note_on", channel=channel, note=note, velocity=90, time=0))
        messages.append(mido.Message("note_on", channel=channel, note=note, velocity=0, time=every))
    return messages


# Bass, drums, guitar, piano: four seconds at 120 BPM.
FOUR_PARTS = (
    repeated_note(0, 33, 40, 100),
    repeated_note(9, 0, 50, 100),
    repeated_note(1, 27, 60, 200, 4),
    repeated_note(2, 0, 70, 400, 2),
)


def save_slakh_song(folder: Path, classes: dict[str, str], levels=(), seconds=(), not_rendered=()) -> None:
    """A song folder in Slakh's raw form; `levels` and `seconds` by stem name, 0.1 and 2.0 where not given."""
    levels, seconds = dict(levels), dict(seconds)
    (folder / "stems").mkdir(parents=True)
    stems = {
        name: {"inst_class": kind, "audio_rendered": name not in not_rendered, "plugin_name": "x.nkm"}
        for name, kind in classes.items()
    }
    (folder / "metadata.yaml").write_text(yaml.safe_dump({"UUID": "x", "stems": stems}))
    for number, name in enumerate(classes):
        wave = np.random.default_rng(number).uniform(-1, 1, round(44100 * seconds.get(name, 2.0)))
        if name not in not_rendered:
            soundfile.write(folder / "stems" / f"{name}.flac", levels.get(name, 0.1) * wave, 44100)
