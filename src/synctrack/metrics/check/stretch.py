"""Change of tempo without change of pitch: overlapping frames, each moved to where it fits (WSOLA)."""

import numpy as np
from scipy.signal import correlate

FRAME = 0.064
"""Seconds; a frame holds two periods of 31 Hz."""
SEARCH = 0.010
"""Seconds by which a frame may be moved: half a period of 50 Hz."""


def stretch(samples: np.ndarray, rate: int, factor: float) -> np.ndarray:
    """Samples that play `factor` times as fast, at the same pitch.

    Half-overlapping frames are taken from where they belong, moved by at most 10 ms to where they continue the frame
    before best (Verhelst and Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for high quality
    time-scale modification of speech", ICASSP 1993). Attacks stay as they are, which a phase vocoder smears over its
    window: what it stretched was no longer found to be in time.

    Args:
        samples: (n,), or (n, channels), whose frames are moved alike.
        rate: in Hz.
        factor: above 0; above 1 is faster.

    Returns:
        (round(n / factor),) or (round(n / factor), channels), float64; the samples as they are where `factor` is 1.
    """
    wave = samples.reshape(len(samples), -1).astype(np.float64)
    hop, reach = max(1, round(FRAME * rate / 2)), round(SEARCH * rate)
    frame, length = 2 * hop, round(len(wave) / factor)
    # Sums to 1 with itself moved by a hop.
    window = np.hanning(frame + 1)[:frame, None]
    padded = np.pad(wave, ((hop + reach, 2 * frame + reach + hop), (0, 0)))
    mono = padded.sum(axis=1)
    result = np.zeros((length + 2 * frame, wave.shape[1]))
    before = None
    for begin in range(0, length + hop, hop):
        # The middle of a frame is the moment that it stands for.
        place = min(round(begin * factor) + reach, len(padded) - frame - reach - hop)
        if before is not None:
            place += _best_shift(mono[before + hop : before + hop + frame], mono[place - reach : place + frame + reach])
        result[begin : begin + frame] += window * padded[place : place + frame]
        before = place
    return result[hop : hop + length].reshape(length, *samples.shape[1:])


def _best_shift(wanted: np.ndarray, region: np.ndarray) -> int:
    """How far from the middle of `region` a frame is most like `wanted`; 0 where there is nothing to compare."""
    reach = (len(region) - len(wanted)) // 2
    sums = np.concatenate([[0.0], np.cumsum(region**2)])
    energy = np.maximum(sums[len(wanted) :] - sums[: -len(wanted)], 0)
    if not wanted.any() or energy.max() < 1e-12:
        return 0
    similarity = correlate(region, wanted, mode="valid") / np.sqrt(energy + 1e-6 * energy.max())
    return int(np.argmax(similarity)) - reach
