"""Inter-beat-interval regularity score (IRS): how steady the beat of each stem is. Lower is better.

    IRS = mean over stems of the mean over the stem's files of std(d),   d_i = b_(i+1) - b_i

with b the beat times of one file in seconds and std the population standard deviation. Files with fewer than two beats
have no interval and are left out.

Source: SyncTrack (section on rhythm metrics); the published evaluation runs it in protocol `paper`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class IntervalRegularity:
    """Result of `irs`, in seconds; NaN where no file has two beats.

    Attributes:
        avg_interval_std: the IRS.
        avg_interval_mean: the mean inter-beat interval, averaged the same way.
        stem_interval_std: per stem, the mean over its files.
        stem_interval_mean: per stem, the mean over its files.
        stem_files: per stem, how many files have at least two beats.
    """

    avg_interval_std: float
    avg_interval_mean: float
    stem_interval_std: dict[str, float]
    stem_interval_mean: dict[str, float]
    stem_files: dict[str, int]


def interval_statistics(beats: np.ndarray) -> tuple[float, float]:
    """Population standard deviation and mean of one file's inter-beat intervals; NaN with fewer than two beats."""
    if len(beats) < 2:
        return np.nan, np.nan
    inter_beat_intervals = np.diff(beats)
    return float(inter_beat_intervals.std()), float(inter_beat_intervals.mean())


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else np.nan


def irs(stems: Mapping[str, Sequence[np.ndarray]]) -> IntervalRegularity:
    """Score stems by the regularity of their own beats.

    Args:
        stems: for each stem the beat times in seconds of its files, each a (beats,) ascending array.

    Returns:
        The score; a stem without a file of at least two beats is left out of the mean over stems.
    """
    stds, means, counts = {}, {}, {}
    for stem, files in stems.items():
        statistics = [interval_statistics(beats) for beats in files if len(beats) >= 2]
        stds[stem] = _mean([std for std, _ in statistics])
        means[stem] = _mean([mean for _, mean in statistics])
        counts[stem] = len(statistics)
    scored = [stem for stem in stems if counts[stem]]
    return IntervalRegularity(
        _mean([stds[stem] for stem in scored]), _mean([means[stem] for stem in scored]), stds, means, counts
    )
