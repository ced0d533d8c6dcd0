"""Half and double tempo: which stems a tracker followed at another metrical level, and their beats folded onto one.

A stem whose tempo stands to that of the other stems as 1/2, 2, 2/3 or 3/2 is suspected: trackers choose the wrong level
now and then though nothing is wrong with the music, and IRS, CBS and CBD then move. Folding brings such a stem's beats
to the level of the others; CBS and CBD of folded beats stand beside the plain ones.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

RATIOS = (Fraction(1, 2), Fraction(2), Fraction(2, 3), Fraction(3, 2))
# Levels differ by a third at least; inter-beat intervals of one level by the tracker's grid of tempi, a few per cent.
TOLERANCE = 0.06
PREFERRED_BPM = 120.0
"""Of true beat times. For beat times scaled by a factor, divide the preferred tempo by it."""


def tempo(beats: np.ndarray) -> float:
    """Beats per minute, from the median inter-beat interval; NaN with fewer than two beats."""
    return 60.0 / float(np.median(np.diff(beats))) if len(beats) > 1 else np.nan


def reference_tempo(tempi: Sequence[float], preferred: float = PREFERRED_BPM) -> float:
    """The tempo of most stems; of equally frequent ones the nearest to `preferred`; NaN where none is known."""
    known = [value for value in tempi if np.isfinite(value)]
    if not known:
        return np.nan

    def standing(candidate: float) -> tuple[int, float]:
        agreeing = sum(abs(np.log(value / candidate)) < TOLERANCE for value in known)
        return agreeing, -abs(np.log(candidate / preferred))

    return max(known, key=standing)


def suspected_ratio(stem_tempo: float, song_tempo: float) -> Fraction | None:
    """The ratio of RATIOS that a stem's tempo is near; None where it is near none."""
    for ratio in RATIOS:
        if abs(np.log(stem_tempo / song_tempo / float(ratio))) < TOLERANCE:
            return ratio
    return None


def suspected_levels(stems: Mapping[str, np.ndarray], preferred: float = PREFERRED_BPM) -> dict[str, Fraction]:
    """Stem → ratio of its tempo to the song's, of the stems that are suspected.

    Args:
        stems: stem → (beats,) ascending beat times in seconds, of one song.
        preferred: see `reference_tempo`.
    """
    tempi = {stem: tempo(beats) for stem, beats in stems.items()}
    song = reference_tempo(list(tempi.values()), preferred)
    ratios = {stem: suspected_ratio(value, song) for stem, value in tempi.items() if np.isfinite(value)}
    return {stem: ratio for stem, ratio in ratios.items() if ratio is not None}


def _subdivide(beats: np.ndarray, parts: int) -> np.ndarray:
    """`parts - 1` more beats in each interval, at equal distances."""
    places = np.arange((len(beats) - 1) * parts + 1) / parts
    return np.interp(places, np.arange(len(beats)), beats)


def _distance(beats: np.ndarray, others: np.ndarray) -> float:
    """Median distance in seconds from each of `others` to the nearest of `beats`."""
    after = np.clip(np.searchsorted(beats, others), 1, len(beats) - 1)
    return float(np.median(np.minimum(np.abs(others - beats[after - 1]), np.abs(others - beats[after]))))


def fold(stems: Mapping[str, np.ndarray], preferred: float = PREFERRED_BPM) -> dict[str, np.ndarray]:
    """The stems' beats, suspected ones brought to the level of the others.

    A stem at p/q of the song's tempo is subdivided by q, and every p-th beat is kept, from that one on with which the
    kept beats lie nearest to those of the stems that are not suspected.

    Args:
        stems: stem → (beats,) ascending beat times in seconds, of one song.
        preferred: see `reference_tempo`.
    """
    levels = suspected_levels(stems, preferred)
    trusted = np.sort(np.concatenate([beats for stem, beats in stems.items() if stem not in levels] or [np.empty(0)]))
    folded = dict(stems)
    for stem, ratio in levels.items():
        fine = _subdivide(stems[stem], ratio.denominator)
        choices = [fine[first :: ratio.numerator] for first in range(ratio.numerator)]
        choices = [choice for choice in choices if len(choice) > 1]
        if choices:
            folded[stem] = min(choices, key=lambda choice: _distance(choice, trusted))
    return folded
