"""Beats of a folder of stems: the files found, each tracked once, what was found kept. The only door to the trackers.

A folder holds one sub-folder for each stem (`stem_0`, `stem_1` … or `bass`, `drums` …) with one audio file for each
song, or one sub-folder for each song with one audio file for each stem. A `mix` is not a stem.
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


LAYOUTS = ("auto", "stems", "songs")
"""How files are sorted into folders: one folder for each stem, or for each song; `auto` decides by the names."""
STEM_NAMES = frozenset(
    {"bass", "drums", "guitar", "piano", "vocals", "voice", "other", "accompaniment", "strings", "lead", "synth"}
    | {"keys", "organ", "brass", "winds", "percussion"}
)
"""Names that are taken as those of stems, besides stem_0, stem_1, …"""


def _is_stem_name(name: str) -> bool:
    return name.lower() in STEM_NAMES or re.fullmatch(r"stem_\d+", name) is not None


def _is_mix(name: str) -> bool:
    return name.lower() in MIX_FOLDERS


def layout_of(folder: Path) -> str:
    """Whether the sub-folders of `folder` are stems (`stems`) or songs (`songs`), or it is one song itself (`song`).

    Raises:
        InputError: the folder is missing, or its names can be read both ways.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    direct = [name for name in _audio_files(folder) if not _is_mix(name)]
    if len(direct) > 1 and all(map(_is_stem_name, direct)):
        return "song"
    children = {path.name: _audio_files(path) for path in folder.iterdir() if path.is_dir() and not _is_mix(path.name)}
    if any(name.startswith("stem_") for name in children):
        return "stems"
    children = {name: files for name, files in children.items() if files}
    inside = {name for files in children.values() for name in files if not _is_mix(name)}
    as_stems = bool(children) and all(map(_is_stem_name, children))
    as_songs = bool(inside) and all(map(_is_stem_name, inside))
    if as_stems and as_songs:
        raise InputError(
            f"{folder}: {', '.join(sorted(children))} may be stems or songs, and so may {', '.join(sorted(inside))}; "
            "add --layout stems (one folder for each stem) or --layout songs (one folder for each song)"
        )
    return "songs" if as_songs else "stems"


def find_stems(folder: Path, layout: str = "auto") -> dict[str, dict[str, Path]]:
    """Stem → song → audio file; mixes are not stems.

    Args:
        folder: holds one folder for each stem with a file for each song, or one folder for each song with a file for
            each stem, or is the folder of one song.
        layout: one of `LAYOUTS`. `auto` takes folders called stem_*, or by known names of stems, as stems, and
            folders whose files have such names as songs; other folders are taken as stems, as published.

    Raises:
        InputError: the folder is missing, its layout is ambiguous, it has fewer than two stems, or one of its stem_*
            folders holds no audio.
    """
    found = layout_of(folder) if layout == "auto" else layout
    if found == "stems":
        return _find_stem_folders(folder)
    children = [folder] if found == "song" else sorted((p for p in folder.iterdir() if p.is_dir()), key=_natural_path)
    stems: dict[str, dict[str, Path]] = {}
    for child in children:
        for name, path in _audio_files(child).items():
            if not _is_mix(name):
                stems.setdefault(name, {})[child.resolve().name] = path
    if len(stems) < 2:
        raise InputError(f"{folder}: its songs hold {len(stems)} stem ({', '.join(stems)}); two or more are compared")
    return stems


def _natural_path(path: Path) -> list[int | str]:
    return _natural(path.name)


def _find_stem_folders(folder: Path) -> dict[str, dict[str, Path]]:
    """Where there are sub-folders named stem_*, they are the stems; otherwise all that hold audio, the mix excepted."""
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
    layout: str = "auto",
) -> StemBeats:
    """Find the beats of every stem in `folder`.

    Args:
        folder: holds one folder for each stem, or for each song.
        tracker: finds the beats.
        cache: use and fill the beat cache.
        strict: refuse unreadable files; otherwise they are skipped and listed.
        workers: files tracked at once; all processors where None.
        layout: one of `LAYOUTS`, see `find_stems`.

    Raises:
        InputError: the folder's form is wrong (`find_stems`), `strict` and a file is unreadable, or no file name is
            common to all stems.
    """
    stems = find_stems(Path(folder), layout)
    paths = [path for songs in stems.values() for path in songs.values()]
    beat_cache = BeatCache(tracker.version) if cache else None
    tracked = _track_all(tracker, paths, beat_cache, workers or _processors())
    unreadable = {str(path): str(file) for path, file in tracked.items() if isinstance(file, InputError)}
    if strict and unreadable:
        raise InputError(next(iter(unreadable.values())))
    names = sorted({song for songs in stems.values() for song in songs}, key=_natural)
    files = {song: _song_files(song, stems, tracked) for song in names}
    return StemBeats(tuple(stems), files, tracker.protocols, tracker.version, unreadable)
