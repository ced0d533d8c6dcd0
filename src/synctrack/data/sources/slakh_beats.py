"""Beats of Slakh2100's songs, by the tempo map of the MIDI files that they were rendered from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synctrack.audio.beat_files import BEATS_FILE, Beats, write_beats
from synctrack.audio.files import audio_info
from synctrack.audio.midi_beats import beat_times, import_mido, read_midi_file
from synctrack.errors import InputError

if TYPE_CHECKING:
    import mido

WHOLE_SONG = "all_src.mid"
STEM_FOLDER = "MIDI"
STEADY = 1e-3  # seconds by which the intervals of one tempo may differ


def has_midi(source: Path) -> bool:
    """Whether a song folder of Slakh2100 holds MIDI files."""
    return bool(_midi_files(source))


def mido_is_missing() -> str:
    """Why MIDI files cannot be read; empty where they can."""
    try:
        import_mido()
    except InputError as error:
        return str(error)
    return ""


def add_beats(folder: Path, source: Path, seconds: float) -> str:
    """Write beats.json into `folder` from the MIDI files in `source`, up to the end of the audio at `seconds`.

    `tempo` (BPM) and `meter` (beats per bar) are given where they are constant.

    Returns:
        Why nothing was written; empty where it was.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        song = _song_with_tempo_map(source)
        beats = Beats(*beat_times(song, seconds))
    except InputError as error:
        return str(error) if str(source) in str(error) else f"{source}: {error}"
    write_beats(folder, beats.beats, beats.downbeats, steady_facts(beats))
    return ""


def steady_facts(beats: Beats) -> dict[str, float]:
    """`tempo` (BPM) and `meter` (beats per bar) for beats.json, each where it is constant."""
    intervals = np.diff(beats.beats)
    facts: dict[str, float] = {"tempo": 60.0 / float(intervals.mean())} if np.ptp(intervals) < STEADY else {}
    return facts | ({"meter": beats.meter} if beats.meter else {})


def _song_with_tempo_map(source: Path) -> mido.MidiFile:
    """The song's file, or of those of its stems that with the most tempos and time signatures: some may have none."""
    songs, reason = [], f"{source}: holds no MIDI file"
    for file in _midi_files(source):
        try:
            songs.append(read_midi_file(file))
        except InputError as error:
            reason = str(error)
    if not songs:
        raise InputError(reason)
    return max(songs, key=lambda song: sum(m.type in ("set_tempo", "time_signature") for t in song.tracks for m in t))


def complete_beats(out: Path, sources: dict[str, Path]) -> list[str]:
    """Write the beats.json that songs in `out` lack, such as those made without mido; say what has none and why.

    Args:
        out: holds the songs' folders.
        sources: the folder in Slakh2100 of each song.

    Returns:
        A line for each song whose MIDI files cannot be used, and one with the number of songs without beats.
    """
    readable = not mido_is_missing()
    lines, made, without = [], 0, 0
    for name, source in sources.items():
        folder = out / name
        if not folder.is_dir():
            continue
        made += 1
        if (folder / BEATS_FILE).exists():
            continue
        reason = add_beats(folder, source, _seconds(folder)) if readable and has_midi(source) else ""
        if reason:
            lines.append(f"{name} has no {BEATS_FILE}: {reason}")
        without += not (folder / BEATS_FILE).exists()
    if without:
        lines.append(f"{out}: {without} of {made} songs have no {BEATS_FILE}")
    return lines


def _seconds(folder: Path) -> float:
    return max(audio_info(path).seconds for path in folder.iterdir() if path.suffix in (".wav", ".flac"))


def _midi_files(source: Path) -> list[Path]:
    """The MIDI file of the whole song, or else those of its stems."""
    whole = source / WHOLE_SONG
    if whole.is_file():
        return [whole]
    return sorted(path for path in (source / STEM_FOLDER).glob("[!.]*.mid") if path.is_file())
