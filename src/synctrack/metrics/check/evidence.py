"""How well two stems fit under a lag: coincidences of onsets, agreement of harmony, and a common beginning.

The log-odds of a lag are a weighted sum of these against no lag. `experiments/fit_check.py` fitted the weights, and the
costs of a fault, to 60 grooves and to 90 songs in as many styles, made by the accompaniment program MMA. Beside these
four nothing that was tried told more: tracked beats, accents, the low band of the drums, changes of harmony.
"""

from collections.abc import Mapping

import numpy as np

from synctrack.jit import njit
from synctrack.metrics.onsets import CHROMA_PER_SECOND, FileOnsets

STEP = 0.005  # seconds between two lags
REACH = 100  # largest lag, in steps
LAGS = np.arange(-REACH, REACH + 1) * STEP
NO_LAG = slice(REACH - 1, REACH + 2)  # of LAGS, those that count as none
MARGIN = 20
NARROW, WIDE = 0.010, 0.030  # seconds, widths of the kernels
START = 0.015
START_TOLERANCE = 0.02  # seconds
WEIGHTS = {"narrow": 0.6, "wide": 0.7, "harmony": 2.4, "start": 1.4}

_reach = np.arange(-MARGIN, MARGIN + 1) * STEP
KERNELS = {name: np.exp(-((_reach / width) ** 2) / 2) for name, width in (("narrow", NARROW), ("wide", WIDE))}
_KERNEL = sum(WEIGHTS[name] * kernel for name, kernel in KERNELS.items())


def weights_of(file: FileOnsets) -> np.ndarray:
    """(onsets,) weight of each onset: the fourth root of its strength, that of the median being 1."""
    return (file.strengths / np.median(file.strengths)) ** 0.25


def _scale(first: np.ndarray, second: np.ndarray) -> float:
    """What the coincidences of two stems, whose onsets have these weights, are divided by."""
    return float(np.sqrt(max(1.0, min((first**2).sum(), (second**2).sum()))))


def merged(stems: Mapping[str, FileOnsets], name: str) -> tuple[np.ndarray, np.ndarray]:
    """All onsets of the stems other than `name`: times (n,), and weights (n,) scaled for its coincidences."""
    own, times, weights = weights_of(stems[name]), [], []
    for other, file in stems.items():
        if other != name:
            theirs = weights_of(file)
            times.append(file.times)
            weights.append(theirs / _scale(theirs, own))
    order = np.argsort(np.concatenate(times), kind="stable")
    return np.concatenate(times)[order], np.concatenate(weights)[order]


def coincidences(
    first: np.ndarray, first_weights: np.ndarray, second: np.ndarray, second_weights: np.ndarray
) -> np.ndarray:
    """(lags,) weighted coincidences, for each of LAGS by which the second may be late.

    Args:
        first: (n,) ascending onset times in seconds.
        first_weights: (n,) weights of its onsets.
        second: (m,) ascending onset times in seconds.
        second_weights: (m,) weights of its onsets.
    """
    return _smoothed(_weighted_lags(first, first_weights, second, second_weights), _KERNEL)


def _smoothed(counts: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(lags,) coincidences under a kernel, from what `_weighted_lags` gives."""
    return np.convolve(counts, kernel, mode="same")[MARGIN:-MARGIN]


@njit()
def _weighted_lags(
    first: np.ndarray, first_weights: np.ndarray, second: np.ndarray, second_weights: np.ndarray
) -> np.ndarray:
    """(lags and twice MARGIN,) sum of the products of weights of all pairs of onsets, by their rounded lag."""
    reach = REACH + MARGIN
    sums = np.zeros(2 * reach + 1)
    begin = 0
    for i in range(len(first)):
        while begin < len(second) and second[begin] < first[i] - reach * STEP:
            begin += 1
        partner = begin
        while partner < len(second) and second[partner] < first[i] + reach * STEP:
            lag = int(np.rint((second[partner] - first[i]) / STEP))
            sums[lag + reach] += first_weights[i] * second_weights[partner]
            partner += 1
    return sums


def harmony(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(lags,) correlation of two chromas (frames, 12) times the root of their seconds; 0 where either has no pitch."""
    frames = min(len(first), len(second))
    reach = round(LAGS[-1] * CHROMA_PER_SECOND)
    if frames < 4 * reach:
        return np.zeros(len(LAGS))
    sides = []
    for chroma in (first[:frames], second[:frames]):
        centred = chroma - chroma.mean(axis=0)
        sides.append(centred - centred.mean(axis=1, keepdims=True))
    norm = np.linalg.norm(sides[0]) * np.linalg.norm(sides[1]) + 1e-9
    size = 2 ** int(np.ceil(np.log2(frames + reach + 1)))
    spectra = [np.fft.rfft(side, size, axis=0) for side in sides]
    product = np.fft.irfft((np.conj(spectra[0]) * spectra[1]).sum(axis=1), size)
    correlation = np.concatenate([product[-reach:], product[: reach + 1]]) / norm
    coarse = np.arange(-reach, reach + 1) / CHROMA_PER_SECOND
    return np.sqrt(min(frames / CHROMA_PER_SECOND, 20.0)) * np.interp(LAGS, coarse, correlation)


def beginning(first: FileOnsets, second: FileOnsets) -> np.ndarray:
    """(lags,) agreement, 0 to 1, of how both begin, for each of LAGS."""
    late, early = LAGS[REACH:], -LAGS[REACH - 1 :: -1]
    return np.concatenate([_common_start(second, first, early)[::-1], _common_start(first, second, late)])


def _common_start(early: FileOnsets, late: FileOnsets, lags: np.ndarray) -> np.ndarray:
    """(n,) agreement, 0 to 1, of how two stems begin, for each of `lags` (n,), at least 0, of the late one.

    Either their first onsets are the same, and the late stem is silent for as long as the lag; or the early stem, which
    sounds at once, is cut at its start, and its first onset is the late one's first that was not cut.
    """
    whole = np.exp(-(((late.times[0] - early.times[0] - lags) / START) ** 2) / 2)
    whole[start_of(late) < lags - START_TOLERANCE] = 0.0
    if start_of(early) > START_TOLERANCE:
        return whole
    partner = np.searchsorted(late.times, lags - START_TOLERANCE)
    times = np.append(late.times, np.inf)[partner]
    return np.maximum(whole, np.exp(-(((times - early.times[0] - lags) / START) ** 2) / 2))


def start_of(file: FileOnsets) -> float:
    """Seconds at which a stem begins to sound, or its first onset where that is not known."""
    return float(file.times[0]) if file.start is None else file.start


def pitched(file: FileOnsets, name: str) -> bool:
    """Whether a stem's chroma says something: drums have none."""
    return len(file.chroma) > 0 and not any(word in name.lower() for word in ("drum", "perc", "kick", "snare"))


def pair_features(stems: Mapping[str, FileOnsets]) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """(first, second), each pair once → each kind of evidence (lags,), unweighted, that the second is late."""
    names, result = list(stems), {}
    weights = {name: weights_of(file) for name, file in stems.items()}
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            first, second = stems[a], stems[b]
            counts = _weighted_lags(first.times, weights[a], second.times, weights[b]) / _scale(weights[a], weights[b])
            features = {name: _smoothed(counts, kernel) for name, kernel in KERNELS.items()}
            both = pitched(first, a) and pitched(second, b)
            features["harmony"] = harmony(first.chroma, second.chroma) if both else np.zeros(len(LAGS))
            features["start"] = beginning(first, second)
            result[a, b] = features
    return result


def pair_evidence(stems: Mapping[str, FileOnsets]) -> dict[tuple[str, str], np.ndarray]:
    """(first, second) → (lags,) evidence that the second is late by each of LAGS, for every ordered pair."""
    result = {}
    for (a, b), features in pair_features(stems).items():
        total = sum(WEIGHTS[name] * feature for name, feature in features.items())
        result[a, b], result[b, a] = total, total[::-1]
    return result
