"""Beats from a file instead of audio: ground truth, or what another tracker found.

The file is JSON: `{"beats": {song: {stem: [seconds, ...]}}, "durations": {song: seconds}}`. What `score.py --json`
writes is accepted as well: there a protocol's name stands above the songs.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from synctrack.errors import InputError
from synctrack.metrics.beats.types import FileBeats, StemBeats

GIVEN_PROTOCOL = "given"


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: is not JSON ({error})") from error
    if not (isinstance(content, dict) and isinstance(content.get("beats"), dict) and content["beats"]):
        raise InputError(f'{path}: "beats" with {{song: {{stem: [seconds, ...]}}}} is missing')
    return content


def _times(values: Any, duration: float, where: str) -> np.ndarray:
    """Beat times of one stem, checked."""
    try:
        times = np.array(values, float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: beats must be a list of seconds") from error
    if times.ndim != 1 or not np.all(np.diff(times) > 0) or not np.all((times >= 0) & (times <= duration)):
        raise InputError(f"{where}: beats must be a list of ascending seconds from 0 to the song's duration")
    return times


def _song(path: Path, song: str, by_protocol: dict[str, Any], duration: Any) -> dict[str, FileBeats]:
    """Stem → beats in every protocol, of one song."""
    tables = {protocol: songs.get(song) for protocol, songs in by_protocol.items()}
    if not all(isinstance(stems, dict) and stems for stems in tables.values()):
        raise InputError(f"{path}: song {song} must hold {{stem: [seconds, ...]}}")
    names = list(next(iter(tables.values())))
    if any(set(stems) != set(names) for stems in tables.values()):
        raise InputError(f"{path}: song {song} has other stems in one protocol than in another")
    if not isinstance(duration, int | float) or not duration > 0:
        raise InputError(f'{path}: "durations" has no positive number of seconds for song {song}')
    files = {}
    for stem in names:
        beats = {p: _times(stems[stem], duration, f"{path}: song {song}, stem {stem}") for p, stems in tables.items()}
        files[stem] = FileBeats(float(duration), float("nan"), beats)
    return files


def read_given_beats(path: str | Path) -> StemBeats:
    """Read a file of beats.

    Raises:
        InputError: the file is missing or not of the form that the module's text describes, or no song has all stems.
    """
    path = Path(path)
    content = _load(path)
    beats, durations = content["beats"], content.get("durations")
    if not isinstance(durations, dict):
        raise InputError(f'{path}: "durations" with {{song: seconds}} is missing')
    first_song = next(iter(beats.values()))
    plain = isinstance(first_song, dict) and all(isinstance(times, list) for times in first_song.values())
    by_protocol = {GIVEN_PROTOCOL: beats} if plain else beats
    for name, songs in by_protocol.items():
        if not (isinstance(songs, dict) and songs):
            raise InputError(f"{path}: song {name} must hold {{stem: [seconds, ...]}}")
    songs = list(next(iter(by_protocol.values())))
    files = {song: _song(path, song, by_protocol, durations.get(song)) for song in songs}
    stems = list(dict.fromkeys(stem for stems in files.values() for stem in stems))
    if len(stems) < 2:
        raise InputError(f"{path}: holds only one stem; two or more are compared")
    return StemBeats(tuple(stems), files, tuple(by_protocol), content.get("tracker", f"given beats ({path.name})"))
