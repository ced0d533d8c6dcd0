"""Files of beats: read from beats.json, annotations and MIDI; written as beats.json and MIDI.

- `.json`: what the data commands write, ``{"beats": [seconds, ...], "downbeats": [seconds, ...]}`` with any other keys
  beside them; `downbeats` may be missing. Or only a list of seconds.
- `.txt`, `.beats`: a beat a line, as annotations of data sets have it: its time in seconds and, where it is known, its
  number in the bar, 1 for a downbeat, divided by blanks, tabs or a comma. Further columns and what follows a # are
  passed over. Without numbers there are no downbeats.
- `.mid`, `.midi`: tempo map and time signatures; needs the extra `midi`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from synctrack.audio.beats import MAX_METER, Beats, regular_beats
from synctrack.audio.midi_beats import beat_times, read_midi_file, write_midi_beats
from synctrack.documents import has_form, read_json
from synctrack.errors import InputError
from synctrack.files import require_ordinary, write_json

__all__ = ["BEATS_FILE", "Beats", "read_beats", "regular_beats", "write_beats", "write_midi_beats"]

BEATS_FILE = "beats.json"
"""Name of the file of beats in a song's folder."""
LARGEST_FILE = 64 * 2**20  # bytes


def read_beats(path: str | Path) -> Beats:
    """Read a file of beats, in the form that its suffix says (see the module's text).

    Raises:
        InputError: the file is missing, damaged, of an unknown suffix, holds fewer than two beats or times that are not
            ascending seconds; or it is MIDI and mido is not installed.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: is not a file of beats; its name must end in {', '.join(_READERS)}")
    require_ordinary(path)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path}: is larger than any file of beats ({LARGEST_FILE >> 20} MiB)")
        return reader(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def write_beats(folder: str | Path, beats: np.ndarray, downbeats: np.ndarray, facts: dict[str, Any]) -> None:
    """Write `folder`/beats.json, whole or not at all.

    Args:
        folder: of the song.
        beats: (beats,) seconds from the stems' first sample.
        downbeats: (bars,) those that begin a bar; empty where bars are not known.
        facts: what else is known, such as `tempo` (BPM) and `meter` (beats per bar).

    Raises:
        InputError: the place cannot be written.
    """
    times = {"beats": beats.round(6).tolist(), "downbeats": downbeats.round(6).tolist()}
    write_json(Path(folder) / BEATS_FILE, facts | times)


def _read_json(path: Path) -> Beats:
    content = read_json(path)
    if isinstance(content, list):
        content = {"beats": content}
    if not isinstance(content, dict) or "beats" not in content:
        raise InputError(f'{path}: holds no beats; write {{"beats": [seconds, ...], "downbeats": [seconds, ...]}}')
    lists = [content["beats"], content.get("downbeats", [])]
    for name, times in zip(("beats", "downbeats"), lists, strict=True):
        if not has_form(times, [float]):
            raise InputError(f"{path}: {name} must be a list of seconds, the times of one song")
    return _named(path, *lists)


def _read_text(path: Path) -> Beats:
    try:
        # Some programs put a byte-order mark before the first line.
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except ValueError as error:
        raise InputError(f"{path}: is not a text file ({error})") from error
    rows = list(_rows(path, lines))
    numbered = [number for _, _, number in rows if number is not None]
    if numbered and len(numbered) < len(rows):
        line = next(line for line, _, number in rows if number is None)
        raise InputError(f"{path}, line {line}: has no beat number, other lines have one; give it in all or in none")
    return _named(path, [time for _, time, _ in rows], [time for _, time, number in rows if number == 1])


def _rows(path: Path, lines: list[str]) -> Iterator[tuple[int, float, int | None]]:
    """Line number, seconds and beat number, where there is one, of each line that is not empty; checked."""
    before = -1.0
    for line, text in enumerate(lines, start=1):
        words = text.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        time = _number(words[0])
        if time is None or not time >= 0:
            raise InputError(f"{path}, line {line}: {words[0][:40]!r} is not a time in seconds from 0 on")
        # 0,512 is half a second as much of the world writes it, and here a time of 0 s with beat number 512.
        hint = "; a decimal point is written as a point" if re.match(r"\s*\d+,\d", text) else ""
        if time <= before:
            said = f"{time:g} s does not follow {before:g} s; the times must ascend"
            raise InputError(f"{path}, line {line}: {said}{hint}")
        before = time
        number = _number(words[1]) if len(words) > 1 else None
        if len(words) > 1 and (number is None or not 1 <= number <= MAX_METER or number != int(number)):
            wanted = f"the beat's number in its bar, 1 for a downbeat and up to {MAX_METER}"
            raise InputError(f"{path}, line {line}: {words[1][:40]!r} must be {wanted}; or leave the column out{hint}")
        yield line, time, None if number is None else int(number)


def _number(word: str) -> float | None:
    """The finite number that a word is; None where it is none."""
    try:
        value = float(word)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _read_midi(path: Path) -> Beats:
    beats, downbeats = beat_times(read_midi_file(path))
    if len(beats) < 2:
        raise InputError(
            f"{path}: its events end before its second beat; export it with notes, or with an end where the song ends"
        )
    return _named(path, beats, downbeats)


def _named(path: Path, beats: ArrayLike, downbeats: ArrayLike) -> Beats:
    try:
        return Beats(beats, downbeats)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


_READERS = {".json": _read_json, ".txt": _read_text, ".beats": _read_text, ".mid": _read_midi, ".midi": _read_midi}
