"""Onset synchrony of a folder: the onsets of every file, and the scores of its songs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from synctrack.errors import InputError
from synctrack.metrics.beats.layout import Layout
from synctrack.metrics.bootstrap import mean_interval, nanmean, too_few
from synctrack.metrics.onset_cache import CacheError, cached_onsets
from synctrack.metrics.onset_synchrony import TOLERANCE, song_synchrony
from synctrack.metrics.onsets import FileOnsets, find_onsets
from synctrack.metrics.parallel import in_threads


def folder_onsets(layout: Layout, workers: int | None = None, cache: bool = True) -> dict[str, dict[str, FileOnsets]]:
    """Song → stem → onsets, of every file that can be read; a song may lack stems, or have none.

    Args:
        layout: the files of a folder.
        workers: files at once; all processors where None.
        cache: use and fill the user's cache.

    Raises:
        CacheError: the cache folder cannot be written.
    """
    jobs = [(song, stem, files[song]) for song in layout.songs for stem, files in layout.stems.items() if song in files]

    def read(job: tuple) -> FileOnsets | None:
        try:
            return cached_onsets(job[2]) if cache else find_onsets(job[2])
        except CacheError:
            raise
        except InputError:
            return None

    found = in_threads(read, jobs, workers)
    result: dict[str, dict[str, FileOnsets]] = {song: {} for song in layout.songs}
    for (song, stem, _), file in zip(jobs, found, strict=True):
        if file is not None:
            result[song][stem] = file
    return result


def with_stems(songs: Mapping[str, Mapping[str, FileOnsets]], fewest: int) -> dict[str, Mapping[str, FileOnsets]]:
    """The songs of which at least `fewest` stems are known."""
    return {song: stems for song, stems in songs.items() if len(stems) >= fewest}


def summarise_onsets(
    songs: Mapping[str, Mapping[str, FileOnsets]], seed: int, tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """Onset synchrony of a folder, as `synctrack score --json` writes it; numbers that do not exist are NaN.

    Returns:
        `value`, `interval_95` (None where `reason` says why), `tolerance`, `matrix` (stems, stems), the mean over
        songs, and per song its `onset_synchrony`, `matrix` and `problems`, stem → why it says nothing.
    """
    rows = {song: song_synchrony(stems, tolerance) for song, stems in songs.items()}
    values = np.array([row["value"] for row in rows.values()], float)
    matrices = np.stack([row["matrix"] for row in rows.values()]) if rows else np.full((1, 1, 1), np.nan)
    return {
        "value": float(nanmean(values, axis=0)) if len(values) else np.nan,
        "interval_95": mean_interval(values, seed) if len(values) else None,
        "reason": too_few(int(np.isfinite(values).sum())),
        "tolerance": tolerance,
        "matrix": nanmean(matrices, axis=0),
        "songs": {
            song: {"onset_synchrony": row["value"], "matrix": row["matrix"], "problems": row["problems"]}
            for song, row in rows.items()
        },
    }
