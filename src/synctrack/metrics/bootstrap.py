"""Bootstrap intervals over songs, of means and of differences, and where there are too few songs for one.

Source: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
"""

from collections.abc import Callable

import numpy as np

BOOTSTRAP_ROUNDS = 1000
# Below, resampling says next to nothing: all of its means lie between the few values themselves.
LEAST_SONGS = 5


def bootstrap_interval(statistic: Callable[[np.ndarray], np.ndarray], num_songs: int, seed: int) -> tuple[float, float]:
    """95 % percentile interval of a statistic over songs.

    Args:
        statistic: takes (rounds, num_songs) song indices, gives the statistic of each round.
        num_songs: how many songs there are.
        seed: of the resampling with replacement.
    """
    values = statistic(np.random.default_rng(seed).integers(num_songs, size=(BOOTSTRAP_ROUNDS, num_songs)))
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, [2.5, 97.5]) if len(values) else (np.nan, np.nan)
    return float(low), float(high)


def nanmean(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Mean over the numbers; NaN where there is none, without a warning."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(axis=axis) / known.sum(axis=axis)


def too_few(known: int) -> str | None:
    """Why there is no interval with `known` songs; None where there is one."""
    songs = "1 song has" if known == 1 else f"{known} songs have"
    return f"{songs} a value; an interval needs {LEAST_SONGS}" if known < LEAST_SONGS else None


def mean_interval(values: np.ndarray, seed: int) -> tuple[float, float] | None:
    """95 % interval of the mean of (songs,) values, NaN left out; None with fewer than LEAST_SONGS of them."""
    return stem_mean_interval(values[:, None], seed)


def stem_mean(values: np.ndarray) -> np.ndarray:
    """Mean over stems of the means over songs of (..., songs, stems) values, NaN left out: as IRS is taken."""
    return nanmean(nanmean(values, axis=-2), axis=-1)


def songs_with_a_value(values: np.ndarray) -> int:
    """How many songs of (songs, stems) values have a number."""
    return int(np.isfinite(values).any(axis=1).sum())


def stem_mean_interval(values: np.ndarray, seed: int) -> tuple[float, float] | None:
    """95 % interval of `stem_mean` of (songs, stems) values; None where fewer than LEAST_SONGS songs have one."""
    if too_few(songs_with_a_value(values)):
        return None
    return bootstrap_interval(lambda rounds: stem_mean(values[rounds]), len(values), seed)


def difference_interval(first: np.ndarray, second: np.ndarray, seed: int) -> tuple[float, float] | None:
    """95 % interval of the difference of the means of two independent sets of songs; None where either is too small.

    Args:
        first: (songs,) values, or (songs, stems) values whose mean is `stem_mean`; NaN are left out.
        second: the same of the other songs.
        seed: of the resampling with replacement.
    """
    tables = [values.reshape(len(values), -1) for values in (first, second)]
    tables = [values[np.isfinite(values).any(axis=1)] for values in tables]
    if any(too_few(len(values)) for values in tables):
        return None
    generators = [np.random.default_rng([seed, number]) for number in range(2)]
    means = [
        stem_mean(values[generator.integers(len(values), size=(BOOTSTRAP_ROUNDS, len(values)))])
        for values, generator in zip(tables, generators, strict=True)
    ]
    differences = means[0] - means[1]
    low, high = np.percentile(differences[np.isfinite(differences)], [2.5, 97.5])
    return float(low), float(high)
