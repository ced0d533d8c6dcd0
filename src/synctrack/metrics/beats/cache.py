"""A cache of beats in the user's cache folder, keyed by the content of the file and the version of the tracker."""

import hashlib
import os
import sys
from pathlib import Path

import numpy as np

from synctrack.documents import read_json
from synctrack.errors import InputError
from synctrack.files import require_ordinary, write_json
from synctrack.metrics.beats.types import FileBeats

CACHE_VARIABLE = "SYNCTRACK_CACHE"
ENTRY = {"tracker": str, "duration": float, "peak": float, "beats": {str: [float]}}
"""What a file of the cache holds, see `has_form`."""


def cache_folder() -> Path:
    """The cache folder: $SYNCTRACK_CACHE, or `synctrack` in the platform's folder for caches."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library/Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "synctrack"


def cache_entry(kind: str, version: str, path: Path, suffix: str) -> Path:
    """The cache file that belongs to the content of `path`.

    Args:
        kind: of what is kept, a folder of the cache.
        version: of what finds it; entries of other versions are not found.
        path: the audio file.
        suffix: of the cache file.

    Raises:
        InputError: `path` cannot be read or is no ordinary file.
    """
    require_ordinary(path)
    key = hashlib.sha256(version.encode())
    try:
        key.update(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    name = key.hexdigest()
    return cache_folder() / kind / name[:2] / f"{name}{suffix}"


class BeatCache:
    """Beats of files by content: one small JSON file for each, written whole or not at all.

    Args:
        version: of the tracker; other versions' beats are not found.
    """

    def __init__(self, version: str) -> None:
        self._version = version

    def entry(self, path: Path) -> Path:
        """The cache file that belongs to the content of `path`. Raises InputError where `path` cannot be read."""
        return cache_entry("beats", self._version, path, ".json")

    def read(self, entry: Path) -> FileBeats | None:
        """What was kept there; None where nothing was, or where it is damaged."""
        try:
            kept = read_json(entry, ENTRY)
        except InputError:
            return None
        beats = {protocol: np.array(times, float) for protocol, times in kept["beats"].items()}
        if not beats or not all(np.all(np.diff(times, prepend=-1e-9) > 0) for times in beats.values()):
            return None
        return FileBeats(kept["duration"], kept["peak"], beats)

    def write(self, entry: Path, file: FileBeats) -> None:
        """Keep `file`. Raises InputError where the cache folder cannot be written."""
        beats = {protocol: times.tolist() for protocol, times in file.beats.items()}
        kept = {"tracker": self._version, "duration": file.duration, "peak": file.peak, "beats": beats}
        try:
            write_json(entry, kept)
        except InputError as error:
            raise InputError(f"{error}; set {CACHE_VARIABLE} or use --no-cache") from error
