"""Beats of a folder of stems: files found, each tracked once, what was found kept. The only door to the trackers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from synctrack.audio.files import audio_info
from synctrack.errors import InputError
from synctrack.metrics.beats.cache import BeatCache
from synctrack.metrics.beats.layout import Layout, find_layout
from synctrack.metrics.beats.types import FileBeats, StemBeats, Tracker
from synctrack.metrics.parallel import in_threads


def _track_once(tracker: Tracker, path: Path, cache: BeatCache | None) -> FileBeats | InputError:
    """The beats of one file, from the cache where it has them; an unreadable file gives its error."""
    entry = None
    try:
        # Files that were damaged when the cache took them are refused all the same.
        audio_info(path)
        if cache:
            entry = cache.entry(path)
            kept = cache.read(entry)
            if kept and set(kept.beats) == set(tracker.protocols):
                return kept
        file = tracker.track_file(path)
    except InputError as error:
        return error
    if cache and entry:
        cache.write(entry, file)
    return file


def _track_all(
    tracker: Tracker, paths: Sequence[Path], cache: BeatCache | None, workers: int | None
) -> dict[Path, FileBeats | InputError]:
    """Track files in threads. Each is kept as it is done, so that an interrupted run loses none of them."""
    tracked = in_threads(lambda path: _track_once(tracker, path, cache), paths, workers, progress="beats")
    return dict(zip(paths, tracked, strict=True))


def _song_files(
    song: str, stems: Mapping[str, Mapping[str, Path]], tracked: Mapping[Path, FileBeats | InputError]
) -> dict[str, FileBeats]:
    """Stem → file, of the stems that have the song and could be read."""
    found = {stem: tracked[paths[song]] for stem, paths in stems.items() if song in paths}
    return {stem: file for stem, file in found.items() if isinstance(file, FileBeats)}


def track_folder(
    folder: str | Path,
    tracker: Tracker,
    *,
    cache: bool = True,
    strict: bool = False,
    workers: int | None = None,
    layout: str | Layout = "auto",
) -> StemBeats:
    """Find the beats of every stem in `folder`.

    Args:
        folder: holds one folder for each stem, or for each song.
        tracker: finds the beats.
        cache: use and fill the beat cache.
        strict: refuse unreadable files; otherwise they are skipped and listed.
        workers: files tracked at once; all processors where None.
        layout: one of `LAYOUTS`, or what `find_layout` found.

    Raises:
        InputError: the folder's form is wrong (`find_layout`), `strict` and a file is unreadable, or no file name is
            common to all stems.
    """
    found = find_layout(folder, layout) if isinstance(layout, str) else layout
    stems = found.stems
    paths = [path for songs in stems.values() for path in songs.values()]
    beat_cache = BeatCache(tracker.version) if cache else None
    tracked = _track_all(tracker, paths, beat_cache, workers)
    unreadable = {str(path): str(file) for path, file in tracked.items() if isinstance(file, InputError)}
    if strict and unreadable:
        raise InputError(next(iter(unreadable.values())))
    files = {song: _song_files(song, stems, tracked) for song in found.songs}
    files = {song: readable for song, readable in files.items() if readable}
    return StemBeats(tuple(stems), files, tracker.protocols, tracker.version, unreadable, found)
