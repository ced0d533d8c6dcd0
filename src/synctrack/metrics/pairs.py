"""Every pair of stems of a song by itself: CBS, CBD and the signed lag from one stem to another, as matrices."""

from collections.abc import Mapping, Sequence

import numpy as np

from synctrack.metrics.cbd import beat_errors, paired_offsets
from synctrack.metrics.cbs import window_beat_ratio

MATRICES = ("cbs", "cbd", "lag")


def pair_matrices(stems: Sequence[np.ndarray], duration: float, window_size: float) -> dict[str, np.ndarray]:
    """CBS, CBD and lag of one song's pairs of stems.

    Args:
        stems: beat times in seconds of each stem, each a (beats,) ascending array.
        duration: of the longest stem, in seconds.
        window_size: of CBS, in seconds.

    Returns:
        Under each of MATRICES a (stems, stems) array, NaN on the diagonal and where a pair has no value: `cbs` of the
        two stems alone; `cbd` with the row's stem as reference and the column's as target, in half beats; `lag`, the
        median of the column's stem minus the row's over paired beats, in seconds: above 0 the column's stem is late.
    """
    size = len(stems)
    matrices = {name: np.full((size, size), np.nan) for name in MATRICES}
    for i, first in enumerate(stems):
        for j, second in enumerate(stems):
            if i == j or not len(first) or not len(second):
                continue
            matrices["cbs"][i, j] = window_beat_ratio([first, second], duration, window_size)
            if len(first) > 1:
                offsets = paired_offsets(first, second)
                if len(offsets):
                    matrices["cbd"][i, j] = beat_errors(first, second).mean()
                    matrices["lag"][i, j] = np.median(offsets)
    return matrices


def mean_matrices(songs: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The mean over songs of `pair_matrices`, of the lag the median; NaN where no song has a value."""
    result = {}
    for name in MATRICES:
        stacked = np.stack([song[name] for song in songs])
        known = np.isfinite(stacked).any(axis=0)
        reduce = np.nanmedian if name == "lag" else np.nanmean
        values = np.full(stacked.shape[1:], np.nan)
        values[known] = reduce(stacked[:, known], axis=0)
        result[name] = values
    return result
