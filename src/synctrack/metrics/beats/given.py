"""Beats from a file instead of audio: ground truth, or what another tracker found.

The file is JSON: `{"beats": {song: {stem: [seconds, ...]}}, "durations": {song: seconds}}`. What `score.py --json`
writes is accepted as well: its songs are nested under the names of protocols.

A file of the beats of one song (`synctrack.audio.beat_files`), or a folder of songs with a beats.json each, has one
beat for all stems: it is scored as one stem, called `song`, which has an IRS and neither CBS nor CBD.
"""

from pathlib import Path
from typing import Any

import numpy as np

from synctrack.audio.beat_files import BEATS_FILE, Beats, read_beats
from synctrack.audio.beats import LONGEST_SECONDS
from synctrack.documents import LARGEST_LIST, has_form, read_json
from synctrack.errors import InputError
from synctrack.metrics.beats.types import FileBeats, StemBeats

GIVEN_PROTOCOL = "given"
SONG_STEM = "song"
"""Name of the one stem of songs of which a file of beats tells the beats of all stems together."""
SONG_SUFFIXES = (".txt", ".beats", ".mid", ".midi")


def _of_one_song(content: Any) -> bool:
    """Whether the content of a JSON file is the beats of one song, as `read_beats` reads them."""
    return isinstance(content, list) or (isinstance(content, dict) and isinstance(content.get("beats"), list))


def _song_files(folder: Path) -> dict[str, Path]:
    """Song → its beats.json, of a folder of songs or of one song's folder."""
    one_song = (folder / BEATS_FILE).is_file()
    songs = [folder] if one_song else sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    files = {song.resolve().name: song / BEATS_FILE for song in songs if (song / BEATS_FILE).is_file()}
    if not files:
        raise InputError(f"{folder}: neither it nor a folder in it holds {BEATS_FILE}; to score audio, use --folder")
    return files


def _as_stem(beats: Beats) -> dict[str, FileBeats]:
    """The beats of a song as those of its one stem, which lasts for one interval beyond the last beat."""
    duration = 2 * beats.beats[-1] - beats.beats[-2]
    return {SONG_STEM: FileBeats(float(duration), float("nan"), {GIVEN_PROTOCOL: beats.beats})}


def _songs_of(files: dict[str, Path], source: str) -> StemBeats:
    songs = {song: _as_stem(read_beats(path)) for song, path in files.items()}
    return StemBeats((SONG_STEM,), songs, (GIVEN_PROTOCOL,), f"given beats ({source})")


def _check_content(path: Path, content: Any) -> None:
    if not (isinstance(content, dict) and isinstance(content.get("beats"), dict) and content["beats"]):
        raise InputError(f'{path}: "beats" with {{song: {{stem: [seconds, ...]}}}} is missing')


def _times(values: Any, duration: float, where: str) -> np.ndarray:
    """Beat times of one stem, checked."""
    if not has_form(values, [float]):
        raise InputError(f"{where}: beats must be a list of seconds")
    times = np.array(values, float)
    if not np.all(np.diff(times) > 0) or not np.all((times >= 0) & (times <= duration)):
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
    if not has_form(duration, float) or not 0 < duration <= LONGEST_SECONDS:
        wanted = f"number of seconds from 0 to {LONGEST_SECONDS:g}"
        raise InputError(f'{path}: "durations" has no {wanted} for song {song}')
    files = {}
    for stem in names:
        beats = {p: _times(stems[stem], duration, f"{path}: song {song}, stem {stem}") for p, stems in tables.items()}
        files[stem] = FileBeats(float(duration), float("nan"), beats)
    return files


def read_given_beats(path: str | Path) -> StemBeats:
    """Read a file of beats, or the beats.json of each song of a folder.

    Raises:
        InputError: the file is missing or not of a form that the module's text describes, or no song has all stems.
    """
    path = Path(path)
    if path.is_dir():
        return _songs_of(_song_files(path), path.resolve().name)
    content = None if path.suffix.lower() in SONG_SUFFIXES else read_json(path, largest=LARGEST_LIST)
    if content is None or _of_one_song(content):
        name = path.resolve().parent.name if path.name == BEATS_FILE else path.stem
        return _songs_of({name: path}, path.name)
    _check_content(path, content)
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
    tracker = content.get("tracker", f"given beats ({path.name})")
    if not isinstance(tracker, str):
        raise InputError(f'{path}: "tracker" must be a name; correct it or leave it out')
    return StemBeats(tuple(stems), files, tuple(by_protocol), tracker)
