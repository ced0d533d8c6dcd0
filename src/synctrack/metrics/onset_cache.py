"""A cache of onsets in the user's cache folder, by content of the file, as beats are cached."""

import zipfile
from pathlib import Path

import numpy as np

from synctrack.errors import InputError
from synctrack.files import atomic_path
from synctrack.metrics.beats.cache import CACHE_VARIABLE, cache_entry
from synctrack.metrics.onsets import FileOnsets, find_onsets

# Part of the cache key; increment it with any change that moves an onset or changes a chroma.
REVISION = 1


class CacheError(InputError):
    """The cache folder cannot be written, which says nothing of the file."""


def cached_onsets(path: Path) -> FileOnsets:
    """`find_onsets`, from the cache where it has them, and kept there.

    Raises:
        CacheError: the cache folder cannot be written.
        InputError: the file cannot be read.
    """
    entry = cache_entry("onsets", f"onsets {REVISION}", path, ".npz")
    kept = _read(entry)
    if kept is None:
        kept = find_onsets(path)
        _write(entry, kept)
    return kept


def _read(entry: Path) -> FileOnsets | None:
    """What was kept; None where nothing was, or where it is damaged."""
    if not entry.is_file():
        return None
    try:
        with np.load(entry) as kept:
            duration, peak, start = (float(value) for value in kept["numbers"])
            start = None if np.isnan(start) else start
            times, strengths, chroma = (kept[name] for name in ("times", "strengths", "chroma"))
    except (OSError, ValueError, TypeError, EOFError, LookupError, MemoryError, zipfile.BadZipFile):
        return None
    fits = times.ndim == 1 and times.shape == strengths.shape and chroma.shape[1:] == (12,)
    whole = fits and all(np.isfinite(array).all() for array in (times, strengths, chroma))
    return FileOnsets(duration, peak, times, strengths, chroma, start) if whole else None


def _write(entry: Path, onsets: FileOnsets) -> None:
    arrays = {"times": onsets.times, "strengths": onsets.strengths, "chroma": onsets.chroma}
    try:
        with atomic_path(entry) as temporary, temporary.open("wb") as file:
            start = np.nan if onsets.start is None else onsets.start
            np.savez(file, numbers=np.array([onsets.duration, onsets.peak, start]), **arrays)
    except InputError as error:
        raise CacheError(f"{error}; set {CACHE_VARIABLE} or use --no-cache") from error
