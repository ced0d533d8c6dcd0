"""Resampling to 44.1 kHz exactly as madmom does, which reads files of other rates through the ffmpeg program.

ffmpeg's default resampler is short: images of the signal remain above the old Nyquist frequency, which change the
networks' output. A better one (soxr) moves beats in one file of five; this one leaves ffmpeg's own samples, for 16-bit
files to the last bit.

Each output sample is a sum over 32 input samples (more when the rate falls), weighted with a sinc function at 97 % of
the lower Nyquist frequency, at most the input's own, under a Kaiser window with beta 9.
"""

import math
from functools import cache

import numpy as np

from synctrack.jit import njit

TAPS = 32
CUTOFF = 0.97
KAISER_BETA = 9.0
INT16_STEPS = 32768


@cache
def _filters(rate: int, target: int, sixteen_bit: bool) -> np.ndarray:
    """(phases, taps) weights, one row for each position that an output sample can have between two input samples."""
    phases = target // math.gcd(rate, target)
    scale = min(target * CUTOFF / rate, 1.0)
    taps = math.ceil(TAPS / scale)
    offsets = np.arange(taps) - (taps - 1) // 2 - np.arange(phases)[:, None] / phases
    window = np.i0(KAISER_BETA * np.sqrt(np.maximum(1 - (2 * offsets / taps) ** 2, 0)))
    weights = np.sinc(offsets * scale) * window
    weights /= weights[0].sum()
    # ffmpeg resamples 16-bit files with 16-bit weights.
    if sixteen_bit:
        weights = np.clip(np.rint(weights * INT16_STEPS), -INT16_STEPS, INT16_STEPS - 1) / INT16_STEPS
    return weights


@njit(fastmath=True)
def _convolve(padded, weights, step, out):
    """Weighted sums: output n lies n * step phases after the first input sample."""
    phases, taps = weights.shape
    for n in range(len(out)):
        begin = n * step // phases
        row = weights[n * step % phases]
        window = padded[begin : begin + taps]
        total = 0.0
        for i in range(taps):
            total += row[i] * window[i]
        out[n] = total


def resample(samples: np.ndarray, rate: int, target: int, sixteen_bit: bool) -> np.ndarray:
    """Resample one channel.

    Args:
        samples: (n,) floating-point numbers.
        rate: of the samples, Hz.
        target: wanted, Hz.
        sixteen_bit: whether the samples come from 16-bit integers.

    Returns:
        (⌈n · target / rate⌉,) floating-point numbers.
    """
    if rate == target or len(samples) == 0:
        return samples
    weights = _filters(rate, target, sixteen_bit)
    taps = weights.shape[1]
    before = (taps - 1) // 2
    # ffmpeg mirrors the beginning around its first sample, and the end including its last.
    padded = np.pad(np.pad(samples, (before, 0), mode="reflect"), (0, taps - before), mode="symmetric")
    out = np.empty(-(-len(samples) * target // rate))
    _convolve(padded, weights, rate // math.gcd(rate, target), out)
    return out
