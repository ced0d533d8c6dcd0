"""How well two stems fit under a lag: coincidences of onsets, agreement of harmony, and a common beginning.

The log-odds of a lag are a weighted sum of these against no lag. The weights were fitted to grooves and to rendered
scores with one stem of four shifted by 20 to 300 ms (conditional logit); tracked beats got no weight beside them.
"""

from collections.abc import Mapping

import numpy as np

from synctrack.metrics.onsets import CHROMA_PER_SECOND, FileOnsets

STEP = 0.005  # seconds between two lags
REACH = 100  # largest lag, in steps
LAGS = np.arange(-REACH, REACH + 1) * STEP
MARGIN = 20
NARROW, WIDE = 0.010, 0.030  # seconds, widths of the kernels
START = 0.015
WEIGHTS = {"narrow": 0.12, "wide": 1.15, "harmony": 2.27, "start": 1.64}

_reach = np.arange(-MARGIN, MARGIN + 1) * STEP
KERNEL = sum(
    WEIGHTS[name] * np.exp(-((_reach / width) ** 2) / 2) for name, width in (("narrow", NARROW), ("wide", WIDE))
)


def _weights(strengths: np.ndarray) -> np.ndarray:
    return np.sqrt(strengths / np.median(strengths))


def coincidences(first: FileOnsets, second: FileOnsets, times: np.ndarray) -> np.ndarray:
    """(lags,) weighted coincidences of onsets, `times` (n,) being those of `second`, for each of LAGS."""
    size = len(LAGS) + 2 * MARGIN
    ours, theirs = _weights(first.strengths), _weights(second.strengths)
    reach = (REACH + MARGIN) * STEP
    low, high = np.searchsorted(times, first.times - reach), np.searchsorted(times, first.times + reach)
    counts_each = high - low
    owner = np.repeat(np.arange(len(first.times)), counts_each)
    partner = np.arange(len(owner)) - np.repeat(np.cumsum(counts_each) - counts_each, counts_each) + low[owner]
    places = np.round((times[partner] - first.times[owner]) / STEP).astype(int) + size // 2
    kept = (places >= 0) & (places < size)
    weights = np.sqrt(ours[owner] * theirs[partner])[kept]
    counts = np.bincount(places[kept], weights, size)
    scale = np.sqrt(max(1.0, min(ours.sum(), theirs.sum())))
    return np.convolve(counts, KERNEL, mode="same")[MARGIN:-MARGIN] / scale


def harmony(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(lags,) weighted correlation of two chromas (frames, 12) for each of LAGS; 0 where either holds no pitch."""
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
    return WEIGHTS["harmony"] * np.sqrt(min(frames / CHROMA_PER_SECOND, 20.0)) * np.interp(LAGS, coarse, correlation)


def beginning(first: FileOnsets, second: FileOnsets) -> np.ndarray:
    """(lags,) weighted agreement of the first onsets for each of LAGS."""
    gap = second.times[0] - first.times[0]
    return WEIGHTS["start"] * np.exp(-(((gap - LAGS) / START) ** 2) / 2)


def pitched(file: FileOnsets, name: str) -> bool:
    """Whether a stem's chroma says something: drums have none."""
    return len(file.chroma) > 0 and not any(word in name.lower() for word in ("drum", "perc", "kick", "snare"))


def pair_evidence(stems: Mapping[str, FileOnsets]) -> dict[tuple[str, str], np.ndarray]:
    """(first, second) → (lags,) evidence that the second is late by each of LAGS, for every ordered pair."""
    names, result = list(stems), {}
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            first, second = stems[a], stems[b]
            total = coincidences(first, second, second.times) + beginning(first, second)
            if pitched(first, a) and pitched(second, b):
                total = total + harmony(first.chroma, second.chroma)
            result[a, b], result[b, a] = total, total[::-1]
    return result
