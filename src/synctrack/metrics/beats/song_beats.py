"""Beats of songs that have none: tracked in the mix of a song's stems, and written as its beats.json.

Downbeats are those that the tracker finds; a tracker that finds no bars leaves them empty.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from synctrack.audio.beat_files import BEATS_FILE, Beats, write_beats
from synctrack.audio.files import audio_info, read_audio
from synctrack.errors import InputError
from synctrack.locks import locked
from synctrack.metrics.beats.layout import is_mix
from synctrack.metrics.beats.types import Tracker
from synctrack.metrics.parallel import in_threads

STEM_SUFFIXES = (".wav", ".flac")
FEWEST_BEATS = 8
SLOWEST_BPM = 20.0
"""A song with fewer beats than these, or than this many a minute over its whole length, is not trusted."""


@dataclass
class TrackedSongs:
    """What `track_songs` did.

    Attributes:
        tracked: songs whose beats were found and written.
        kept: songs that had a beats.json and kept it.
        too_few: song → why its beats were not written.
        unreadable: song → what is wrong with its files.
    """

    tracked: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    too_few: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


def track_songs(
    folder: str | Path, tracker: Tracker, *, overwrite: bool = False, workers: int | None = None
) -> TrackedSongs:
    """Write a beats.json into each song folder of `folder` that has none, by the mix of all the song's stems.

    Each is written as soon as it is found: an interrupted run resumes. `tracker` in the file says which tracker found
    the beats; `meter` (beats per bar) is given where it is constant. Songs with fewer than 8 beats, or than 20 a
    minute, get no file.

    Args:
        folder: holds one folder of WAV or FLAC files for each song, or is the folder of one song. Mixes
            (`layout.MIX_NAMES`) are not stems.
        tracker: finds beats and downbeats.
        overwrite: replace the beats.json that songs have, whatever it was made from.
        workers: songs tracked at once; one for each processor where None.

    Raises:
        InputError: `folder` holds no song or is being written by another process, or a beats.json cannot be written.
    """
    songs = _songs(Path(folder))
    with locked(folder, clear=False):
        return _track(songs, tracker, overwrite, workers)


def _track(songs: list[Path], tracker: Tracker, overwrite: bool, workers: int | None) -> TrackedSongs:
    outcome = TrackedSongs()
    wanted = []
    for song in songs:
        if (song / BEATS_FILE).exists() and not overwrite:
            outcome.kept.append(song.name)
        else:
            wanted.append(song)
    for song, beats in _tracked(tracker, wanted, workers):
        if isinstance(beats, _TooFewBeatsError):
            outcome.too_few[song.name] = str(beats)
        elif isinstance(beats, InputError):
            outcome.unreadable[song.name] = str(beats)
        else:
            meter = {"meter": beats.meter} if beats.meter else {}
            write_beats(song, beats.beats, beats.downbeats, {"tracker": tracker.version, **meter})
            outcome.tracked.append(song.name)
    return outcome


class _TooFewBeatsError(InputError):
    """The tracker found too few beats in a song for them to be trusted."""


def _songs(folder: Path) -> list[Path]:
    """The song folders, by name."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    if _stems(folder):
        return [folder.resolve()]
    songs = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    songs = [song for song in songs if _stems(song)]
    if not songs:
        raise InputError(f"{folder}: holds no song, a folder of WAV or FLAC files, one for each stem")
    return songs


def _stems(song: Path) -> list[Path]:
    return [
        path
        for path in sorted(song.iterdir())
        if path.suffix.lower() in STEM_SUFFIXES and not is_mix(path.stem) and not path.name.startswith(".")
    ]


def _tracked(tracker: Tracker, songs: list[Path], workers: int | None) -> Iterator[tuple[Path, Beats | InputError]]:
    """Each song with its beats, or the error that stands for them, in order as they are found."""
    found = in_threads(lambda song: _track_song(tracker, song), songs, workers, progress="beats", unit="song")
    return zip(songs, found, strict=True)


def _track_song(tracker: Tracker, song: Path) -> Beats | InputError:
    try:
        wave, sample_rate = _mix(_stems(song))
        seconds = len(wave) / sample_rate
        beats, downbeats = tracker.track_bars(wave, sample_rate)
        if len(beats) < max(FEWEST_BEATS, seconds * SLOWEST_BPM / 60.0):
            found = f"{len(beats)} beats found in {seconds:.1f} s"
            raise _TooFewBeatsError(f"{song}: {found}, too few to be trusted; nothing is written")
        return Beats(beats, downbeats)
    except InputError as error:
        return error


def _mix(stems: list[Path]) -> tuple[np.ndarray, int]:
    """Sum (n,) of the stems at the highest of their rates, scaled down where it exceeds full scale; and that rate."""
    infos = {path: audio_info(path) for path in stems}
    sample_rate = max(info.sample_rate for info in infos.values())
    samples = {path: info.num_samples_at(sample_rate) for path, info in infos.items()}
    mix = np.zeros(max(samples.values()), np.float32)
    for path, length in samples.items():
        mix[:length] += read_audio(path, 0, length, sample_rate)
    return mix / max(1.0, float(np.abs(mix).max())), sample_rate
