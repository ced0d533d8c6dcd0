"""Onset synchrony: how many onsets of one stem have a partner in another, beyond chance. Needs no beat tracker.

For a pair of stems, of the onsets of the one that has fewer (where both have as many, the mean of both ways):

    share     = onsets with an onset of the other stem within the tolerance / onsets
    chance    = mean share over circular shifts of the other stem
    synchrony = (share - chance) / (1 - chance)

so that 0 is chance and 1 is perfect. A song's value is the mean over its pairs, a folder's the mean over its songs.
Stems that are silent or sustained have too few onsets to say anything; they are named instead.
"""

from collections.abc import Mapping

import numpy as np

from synctrack.metrics.onsets import FileOnsets

TOLERANCE = 0.03  # seconds
SHIFTS = 97


def _shares(asking: np.ndarray, answering: np.ndarray, duration: float, tolerance: float) -> np.ndarray:
    """(1 + SHIFTS,) share of `asking` with a partner: unshifted, then under each circular shift."""
    steps = np.r_[0.0, (np.arange(SHIFTS) + 0.5) / SHIFTS * duration]
    asked = (asking[None] - steps[:, None]) % duration
    # The last and the first onset stand on both sides, since time is a circle here.
    circle = np.r_[answering[-1] - duration, answering, answering[0] + duration]
    after = np.clip(np.searchsorted(circle, asked), 1, len(circle) - 1)
    distance = np.minimum(np.abs(asked - circle[after - 1]), np.abs(circle[after] - asked))
    return (distance <= tolerance).mean(axis=1)


def pair_synchrony(
    first: np.ndarray, second: np.ndarray, duration: float, tolerance: float = TOLERANCE
) -> tuple[float, float]:
    """Synchrony of two stems, and its chance level as a share.

    Args:
        first: (n,) ascending onset times in seconds, n >= 1.
        second: (m,) ascending onset times in seconds, m >= 1.
        duration: of the longer stem, in seconds.
        tolerance: seconds.

    Returns:
        A number of at most 1, below 0 where fewer onsets meet than by chance, NaN where chance meets all; and the
        share that chance meets.
    """
    asking, answering = sorted([np.asarray(first), np.asarray(second)], key=len)
    shares = _shares(asking, answering, duration, tolerance)
    if len(asking) == len(answering):
        shares = (shares + _shares(answering, asking, duration, tolerance)) / 2
    share, *shifted = shares
    chance = float(np.mean(shifted))
    return (float((share - chance) / (1 - chance)) if chance < 1 else np.nan), chance


def song_synchrony(stems: Mapping[str, FileOnsets], tolerance: float = TOLERANCE) -> dict[str, object]:
    """One song's onset synchrony.

    Args:
        stems: stem → onsets.
        tolerance: seconds.

    Returns:
        `value`, the mean over pairs (NaN where no pair has one); `matrix`, (stems, stems) with NaN where a pair has
        none; and `problems`, stem → why it says nothing.
    """
    names = list(stems)
    problems = {name: file.problem for name, file in stems.items() if file.problem}
    matrix = np.full((len(names), len(names)), np.nan)
    duration = max(file.duration for file in stems.values())
    for i, first in enumerate(names):
        for j in range(i + 1, len(names)):
            second = names[j]
            if first not in problems and second not in problems:
                value, _ = pair_synchrony(stems[first].times, stems[second].times, duration, tolerance)
                matrix[i, j] = matrix[j, i] = value
    known = matrix[np.isfinite(matrix)]
    return {"value": float(known.mean()) if len(known) else np.nan, "matrix": matrix, "problems": problems}
