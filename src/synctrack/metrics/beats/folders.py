"""Beats of a folder of stems: the files found, each tracked once, what was found kept. The only door to the trackers.

A folder holds one sub-folder for each stem (`stem_0`, `stem_1` … or `bass`, `drums` …; `mix` is not a stem), and each
of those one audio file for each song, under the same name.
"""

import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from synctrack.errors import InputError
from synctrack.metrics.beats.cache import BeatCache
from synctrack.metrics.beats.types import FileBeats, StemBeats, Tracker

MIX_FOLDERS = ("mix", "mixture")
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


def _natural(name: str) -> list[int | str]:
    """Sorting key that puts stem_10 after stem_9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _audio_files(folder: Path) -> dict[str, Path]:
    """Song name → audio file, of the files directly in `folder`."""
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: _natural(path.name)):
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith("."):
            if path.stem in files:
                raise InputError(f"{path}: {files[path.stem].name} beside it has the same name; keep one of them")
            files[path.stem] = path
    return files


def find_stems(folder: Path) -> dict[str, dict[str, Path]]:
    """Stem → song → audio file.

    Where there are sub-folders named stem_*, they are the stems; otherwise all that hold audio files, the mix excepted.

    Raises:
        InputError: the folder is missing, has fewer than two stem folders, or one of its stem_* holds no audio.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    children = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: _natural(path.name))
    numbered = [path for path in children if path.name.startswith("stem_")]
    named = [path for path in children if path.name.lower() not in MIX_FOLDERS]
    stems = {path.name: _audio_files(path) for path in numbered or named}
    if not numbered:
        stems = {name: files for name, files in stems.items() if files}
    kinds = " ".join(AUDIO_SUFFIXES)
    for name, files in stems.items():
        if not files:
            raise InputError(f"{folder / name}: holds no audio file ({kinds})")
    if not stems:
        raise InputError(
            f"{folder}: holds no stem folder (stem_0, stem_1 …, or bass, drums …) with audio files ({kinds})"
        )
    if len(stems) == 1:
        raise InputError(f"{folder}: holds only one stem folder ({next(iter(stems))}); two or more are compared")
    return stems


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _track_once(tracker: Tracker, path: Path, cache: BeatCache | None) -> FileBeats | InputError:
    """The beats of one file, from the cache where it has them; an unreadable file gives its error."""
    entry = None
    try:
        if cache:
            entry = cache.entry(path)
            kept = cache.read(entry)
            if kept:
                return kept
        file = tracker.track_file(path)
    except InputError as error:
        return error
    if cache and entry:
        cache.write(entry, file)
    return file


def _track_all(
    tracker: Tracker, paths: Sequence[Path], cache: BeatCache | None, workers: int
) -> dict[Path, FileBeats | InputError]:
    """Track files in threads. Each is kept as it is done, so that an interrupted run loses none of them."""
    pool = ThreadPoolExecutor(workers)
    try:
        # The work is divided by files; matrix products that divide it again would get into each other's way.
        with threadpool_limits(1, user_api="blas"):
            jobs = pool.map(lambda path: _track_once(tracker, path, cache), paths)
            return dict(zip(paths, tqdm(jobs, total=len(paths), desc="beats", unit="file", disable=None), strict=True))
    finally:
        pool.shutdown(cancel_futures=True)


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
) -> StemBeats:
    """Find the beats of every stem in `folder`.

    Args:
        folder: holds one folder for each stem.
        tracker: finds the beats.
        cache: use and fill the beat cache.
        strict: refuse unreadable files; otherwise they are skipped and listed.
        workers: files tracked at once; all processors where None.

    Raises:
        InputError: the folder's form is wrong (`find_stems`), `strict` and a file is unreadable, or no file name is
            common to all stems.
    """
    stems = find_stems(Path(folder))
    paths = [path for songs in stems.values() for path in songs.values()]
    beat_cache = BeatCache(tracker.version) if cache else None
    tracked = _track_all(tracker, paths, beat_cache, workers or _processors())
    unreadable = {str(path): str(file) for path, file in tracked.items() if isinstance(file, InputError)}
    if strict and unreadable:
        raise InputError(next(iter(unreadable.values())))
    names = sorted({song for songs in stems.values() for song in songs}, key=_natural)
    files = {song: _song_files(song, stems, tracked) for song in names}
    return StemBeats(tuple(stems), files, tracker.protocols, tracker.version, unreadable)
