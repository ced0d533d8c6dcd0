"""Offset and drift of each stem of a song against the others.

Coarse: the stem, lag and drift under which onsets, harmony and beginnings fit best, by log-odds against no fault.
Fine: a robust line through the lags of the onsets that meet then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from synctrack.jit import njit
from synctrack.metrics.check.evidence import (
    LAGS,
    NO_LAG,
    START_TOLERANCE,
    coincidences,
    merged,
    pair_evidence,
    start_of,
    weights_of,
)
from synctrack.metrics.onset_synchrony import pair_synchrony
from synctrack.metrics.onsets import CHROMA_PER_SECOND, FileOnsets

MEETING = 0.045  # seconds within which onsets count as meant together
FAULT_COST = 5.0  # log-odds against any fault
LAG_COST = 7.0  # more for each second of lag
LONG_LAG, LONG_LAG_COST = 0.32, 20.0  # seconds, and more for each beyond: half a beat or a beat rather than a fault
DRIFT_COST = 2.0  # more for a drift
SOUNDING_COST = 2.0  # more for a late stem that sounds before its lag is over, as in one cut from a longer recording
LARGEST_DRIFT = 0.035
SEARCHED = 40.0  # seconds of a long song that the search looks at; the line takes all
SEARCH_STEP = 5.0  # seconds between two places of which the search chooses
FEWEST_MEETINGS = 6
_COSTS = FAULT_COST + LAG_COST * np.abs(LAGS) + LONG_LAG_COST * np.maximum(np.abs(LAGS) - LONG_LAG, 0)


@dataclass(frozen=True)
class Line:
    """The lag of a stem: `offset` seconds at the song's start (above 0: late), growing by `drift` s/s.

    Attributes:
        spread: interquartile range of the single onsets' lags around the line, in seconds.
        drift_error: standard error of `drift`.
        meetings: how many onsets meet under the line.
    """

    offset: float
    drift: float
    spread: float = 0.0
    drift_error: float = np.inf
    meetings: int = 0

    def at(self, time: float) -> float:
        """The lag at a time, both in seconds."""
        return self.offset + self.drift * time


def straighten(times: np.ndarray, line: Line) -> np.ndarray:
    """Where onsets at `times` would lie without the lag of `line`."""
    return (times - line.offset) / (1 + line.drift)


def _sounding_cost(file: FileOnsets) -> np.ndarray:
    """(lags,) log-odds against each of LAGS by which a stem is late although it sounds before."""
    return np.where(start_of(file) + START_TOLERANCE < LAGS, SOUNDING_COST, 0.0)


def _searched_from(stems: Mapping[str, FileOnsets], duration: float) -> float:
    """Where, in seconds, the search begins: at the start, or where all stems play, should one enter later."""

    def fewest(begin: float) -> int:
        return min(int(((f.times >= begin) & (f.times < begin + SEARCHED)).sum()) for f in stems.values())

    if fewest(0.0) >= FEWEST_MEETINGS:
        return 0.0
    return max(np.arange(0.0, max(duration - SEARCHED, 0.0) + SEARCH_STEP, SEARCH_STEP).tolist(), key=fewest)


def _part(file: FileOnsets, begin: float, end: float) -> FileOnsets:
    """The onsets of a part of a file, in seconds from where the part begins."""
    kept = (file.times >= begin) & (file.times < end)
    return replace(
        file,
        times=file.times[kept] - begin,
        strengths=file.strengths[kept],
        chroma=file.chroma[round(begin * CHROMA_PER_SECOND) :],
        # What sounds when the part begins tells nothing of how the stem began.
        start=None if file.start is None or begin > 0 else file.start,
    )


def coarse(stems: Mapping[str, FileOnsets]) -> tuple[str, Line, float]:
    """The likeliest faulty stem, its lag, and the log-odds of that fault against none.

    Args:
        stems: stem → onsets, at least two stems, each with onsets.
    """
    longest = max(file.duration for file in stems.values())
    begin, duration = _searched_from(stems, longest), min(SEARCHED, longest)
    stems = {name: _part(file, begin, begin + duration) for name, file in stems.items()}
    stems = {name: file for name, file in stems.items() if len(file.times) > 1}
    best = ("", Line(0.0, 0.0), -np.inf)
    if len(stems) < 2:
        return best
    evidence = pair_evidence(stems)
    for name in stems:
        others = [other for other in stems if other != name]
        total = np.sum([evidence[other, name] for other in others], axis=0)
        gain = total - total[NO_LAG].max() - _COSTS - _sounding_cost(stems[name])
        lag = int(np.argmax(gain))
        if gain[lag] > best[2]:
            best = (name, Line(float(LAGS[lag]), 0.0), float(gain[lag]))
        offset, drift, gain = _coarse_drift(stems, name, duration)
        if gain > best[2]:
            # The lag at the start of the song, not of the part that was searched.
            best = (name, Line(offset - drift * begin, drift), gain)
    return best


def _coarse_drift(stems: Mapping[str, FileOnsets], name: str, duration: float) -> tuple[float, float, float]:
    """Offset, drift and log-odds of the best drift of one stem, from coincidences alone."""
    times, weights = stems[name].times, weights_of(stems[name])
    others = merged(stems, name)
    step = min(0.001, 0.015 / duration)
    drifts = np.arange(1, round(LARGEST_DRIFT / step) + 1) * step
    baseline = coincidences(*others, times, weights)[NO_LAG].max()
    costs = _COSTS + DRIFT_COST + _sounding_cost(stems[name])
    best = (0.0, 0.0, -np.inf)
    for drift in np.concatenate([-drifts, drifts]):
        total = coincidences(*others, times / (1 + drift), weights)
        gain = total - baseline - costs
        lag = int(np.argmax(gain))
        if gain[lag] > best[2]:
            best = (float(LAGS[lag] * (1 + drift)), float(drift), float(gain[lag]))
    return best


def meetings(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,) of the onsets of `first` that meet one of `second`, and second minus first (n,), in seconds."""
    after = np.clip(np.searchsorted(second, first), 1, len(second) - 1)
    early, late = second[after - 1], second[after]
    nearest = np.where(np.abs(early - first) <= np.abs(late - first), early, late)
    kept = np.abs(nearest - first) <= MEETING
    return first[kept], (nearest - first)[kept]


# Written as loops over single values: numba's own medians, percentiles and array expressions compile for ten seconds.
@njit()
def _quantile(values: np.ndarray, share: float) -> float:
    """The quantile of values (n,), with linear interpolation."""
    ordered = np.sort(values)
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


@njit()
def _robust_line(times: np.ndarray, lags: np.ndarray) -> tuple[float, float, float, float]:
    """Offset at 0, slope, interquartile range of the residuals and standard error of the slope, by Tukey's biweight."""
    centre = times.mean()
    slope, level, variance = 0.0, _quantile(lags, 0.5), 0.0
    residual, distance, weight = np.empty(len(lags)), np.empty(len(lags)), np.empty(len(lags))
    for _ in range(12):
        for i in range(len(lags)):
            distance[i] = abs(lags[i] - level - slope * (times[i] - centre))
        scale = max(1.4826 * _quantile(distance, 0.5), 0.001)
        total, mean, level_at_mean = 0.0, 0.0, 0.0
        for i in range(len(lags)):
            weight[i] = max(1 - (distance[i] / (4.685 * scale)) ** 2, 0.0) ** 2
            total += weight[i]
            mean += weight[i] * times[i]
            level_at_mean += weight[i] * lags[i]
        mean, level_at_mean = mean / total, level_at_mean / total
        variance, covariance = 0.0, 0.0
        for i in range(len(lags)):
            variance += weight[i] * (times[i] - mean) ** 2
            covariance += weight[i] * (times[i] - mean) * (lags[i] - level_at_mean)
        slope = covariance / max(variance, 1e-9)
        level = level_at_mean + slope * (centre - mean)
    for i in range(len(lags)):
        residual[i] = lags[i] - level - slope * (times[i] - centre)
    spread = _quantile(residual, 0.75) - _quantile(residual, 0.25)
    error = max(spread / 1.35, 0.001) / np.sqrt(max(variance, 1e-9))
    return level - slope * centre, slope, spread, error


def fine(stems: Mapping[str, FileOnsets], name: str, line: Line) -> Line:
    """The lag of one stem against the others, near `line`: the median of its lines against each of them."""
    straight = straighten(stems[name].times, line)
    lines, count = [], 0
    for other, file in stems.items():
        if other == name or len(straight) < 2 or len(file.times) < 2:
            continue
        times, lags = meetings(file.times, straight)
        if len(times) >= FEWEST_MEETINGS:
            lines.append(_robust_line(times, lags))
            count += len(times)
    if not lines:
        return replace(line, spread=np.inf, meetings=count)
    offset, drift, spread, error = np.median(np.array(lines), axis=0)
    rate = 1 + line.drift
    return Line(line.offset + offset * rate, line.drift + drift * rate, float(spread), float(error), count)


def fit_of(stems: Mapping[str, FileOnsets], name: str, line: Line) -> float:
    """Mean onset synchrony of one stem with the others, its lag taken away."""
    straight = straighten(stems[name].times, line)
    duration = max(file.duration for file in stems.values())
    straight = straight[(straight >= 0) & (straight < duration)]
    if not len(straight):
        return np.nan
    values = [pair_synchrony(straight, file.times, duration)[0] for other, file in stems.items() if other != name]
    return float(np.mean(values))
