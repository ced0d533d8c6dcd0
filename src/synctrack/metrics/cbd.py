"""Cross-stem beat deviation (CBD): how far apart the paired beats of a song's stems lie. Lower is better.

Each stem in turn is the reference, each other one the target. A reference beat r_i is paired with the nearest
target beat t (the earlier of two equally near), if r_i - p/2 <= t < r_i + n/2, with p and n the reference's
inter-beat intervals before and after it (at the ends there is only one, which is used for both). Its error is
|t - r_i| / (p/2) for an early t, or |t - r_i| / (n/2): 0 is together, 1 is half a beat apart.

    reference = mean (standard deviation, median) of the errors, pooled over its targets
    song      = mean over its references,      CBD = mean over songs

References need two beats and targets one. Beats that find no partner do not count: read CBD with its coverage.

Source: SyncTrack (section on rhythm metrics); the published evaluation runs it in protocol `paper`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SongDeviation:
    """One song's errors, in half inter-beat intervals; NaN where no beat found a partner.

    Attributes:
        error: mean over references of the mean error.
        std_error: the same of the population standard deviation.
        median_error: the same of the median.
        paired: reference beats that found a partner, over all ordered pairs of stems.
        asked: reference beats, over the same pairs.
    """

    error: float
    std_error: float
    median_error: float
    paired: int
    asked: int


@dataclass(frozen=True)
class BeatDeviation:
    """Result of `cbd`: means over the songs in which any beat found a partner; NaN where there is none.

    Attributes:
        avg_error: the CBD.
        avg_std_error: mean of the songs' standard deviations.
        avg_median_error: mean of the songs' medians.
        coverage: share of reference beats that found a partner, over all songs.
        songs: per song; songs with fewer than two stems with beats are missing.
    """

    avg_error: float
    avg_std_error: float
    avg_median_error: float
    coverage: float
    songs: dict[str, SongDeviation]


def _pair(reference: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (paired,) in seconds of the nearest target beats, and the half intervals (paired,) of their sides."""
    intervals = np.diff(reference)
    half_before = np.concatenate([intervals[:1], intervals]) / 2
    half_after = np.concatenate([intervals, intervals[-1:]]) / 2
    after = np.searchsorted(target, reference)
    early, late = target[np.maximum(after - 1, 0)], target[np.minimum(after, len(target) - 1)]
    nearest = np.where(np.abs(early - reference) <= np.abs(late - reference), early, late)
    offset = nearest - reference
    kept = (nearest >= reference - half_before) & (nearest < reference + half_after)
    half = np.where(offset < 0, half_before, half_after)
    return offset[kept], half[kept]


def paired_offsets(reference: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Target minus reference in seconds, (paired,), of the beats that `beat_errors` pairs."""
    return _pair(reference, target)[0]


def beat_errors(reference: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Errors of the reference beats that find a partner in the target.

    Args:
        reference: (n,) ascending beat times in seconds, n >= 2.
        target: (m,) ascending beat times in seconds, m >= 1.

    Returns:
        (paired,) errors in half inter-beat intervals, each in [0, 1].
    """
    offset, half = _pair(reference, target)
    return np.abs(offset) / half


def song_deviation(stems: Sequence[np.ndarray]) -> SongDeviation:
    """Errors over all ordered pairs of one song's stems, each a (beats,) ascending array in seconds."""
    statistics, paired, asked = [], 0, 0
    for i, reference in enumerate(stems):
        targets = [stem for j, stem in enumerate(stems) if j != i and len(stem)]
        if len(reference) < 2 or not targets:
            continue
        errors = np.concatenate([beat_errors(reference, target) for target in targets])
        paired += len(errors)
        asked += len(reference) * len(targets)
        if len(errors):
            statistics.append((errors.mean(), errors.std(), np.median(errors)))
    means = np.mean(statistics, axis=0).tolist() if statistics else (np.nan, np.nan, np.nan)
    return SongDeviation(*means, paired, asked)


def cbd(songs: Mapping[str, Sequence[np.ndarray]]) -> BeatDeviation:
    """Score songs by the distance of their stems' paired beats.

    Args:
        songs: for each song the beat times in seconds of its stems, each a (beats,) ascending array.
    """
    deviations = {
        song: song_deviation(stems) for song, stems in songs.items() if sum(len(stem) > 0 for stem in stems) >= 2
    }
    scored = [(d.error, d.std_error, d.median_error) for d in deviations.values() if d.paired]
    means = np.mean(scored, axis=0).tolist() if scored else (np.nan, np.nan, np.nan)
    asked = sum(d.asked for d in deviations.values())
    paired = sum(d.paired for d in deviations.values())
    return BeatDeviation(*means, paired / asked if asked else np.nan, deviations)
