"""Onsets of a file without a beat tracker: spectral flux, its peaks, and the moments at which they begin to rise.

The flux is the mean over mel bands of the rise of the log magnitude over 12 ms (after S. Böck, G. Widmer, "Maximum
filter vibrato suppression for onset detection", DAFx 2013, without the maximum filter). The time of an onset is where
its peak begins to rise, so that a strummed chord begins with its first string.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import scipy.fft
import soxr
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from synctrack.audio.files import read_channels
from synctrack.errors import InputError
from synctrack.metrics.summary import SILENCE_PEAK

SAMPLE_RATE = 16000
HOP = 64
WINDOW = 512
BANDS = 32
RISE = 3  # frames over which the flux is taken
FRAMES_PER_SECOND = SAMPLE_RATE / HOP
# The flux rises before its window's middle reaches the onset; measured on clicks and notes.
DELAY = -0.022
SHORTEST_GAP = 0.05  # seconds between two onsets
CHROMA_RATE = 8000
CHROMA_HOP = 160
CHROMA_WINDOW = 2048
CHROMA_PER_SECOND = CHROMA_RATE / CHROMA_HOP
BLOCK = 4096  # frames of which spectra are held at once
FEWEST_ONSETS = 4
START_LEVEL = 0.001  # of the peak, above which a file is said to sound


@dataclass(frozen=True)
class FileOnsets:
    """The onsets of one file.

    Attributes:
        duration: seconds.
        peak: highest absolute sample, full scale 1.
        times: (onsets,) ascending seconds.
        strengths: (onsets,) height of the flux there.
        chroma: (frames, 12) log magnitude of each pitch class, CHROMA_PER_SECOND frames per second.
        start: seconds at which the file begins to sound; None where only its onsets are known.
    """

    duration: float
    peak: float
    times: np.ndarray
    strengths: np.ndarray
    chroma: np.ndarray
    start: float | None = None

    @property
    def problem(self) -> str | None:
        """Why the file says nothing about timing: silent, or too few onsets; None where it does."""
        if self.peak < SILENCE_PEAK:
            return "silent"
        if len(self.times) < FEWEST_ONSETS:
            return f"sustained: {len(self.times)} onsets, {FEWEST_ONSETS} are needed"
        return None


@cache
def _mel_bands() -> np.ndarray:
    """(WINDOW / 2 + 1, BANDS) weights of triangular mel bands from 30 Hz on."""
    import librosa

    bands = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=WINDOW, n_mels=BANDS, fmin=30, fmax=SAMPLE_RATE / 2)
    return np.ascontiguousarray(bands.T, np.float32)


@cache
def _chroma_bands() -> np.ndarray:
    import librosa

    return np.ascontiguousarray(librosa.filters.chroma(sr=CHROMA_RATE, n_fft=CHROMA_WINDOW).T, np.float32)


@cache
def _hann(size: int) -> np.ndarray:
    return np.hanning(size).astype(np.float32)


def _spectra(samples: np.ndarray, window: int, hop: int) -> Iterator[np.ndarray]:
    """(frames, window / 2 + 1) magnitudes of samples (n,), in blocks; frame i is centred on sample i · hop."""
    padded = np.pad(samples, (window // 2, window // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    for first in range(0, len(frames), BLOCK):
        yield np.abs(scipy.fft.rfft(frames[first : first + BLOCK] * _hann(window), axis=1))


def onset_envelope(samples: np.ndarray) -> np.ndarray:
    """Spectral flux (frames,) of samples (n,) at SAMPLE_RATE; FRAMES_PER_SECOND frames per second."""
    mel = np.concatenate([block @ _mel_bands() for block in _spectra(samples, WINDOW, HOP)])
    loud = np.percentile(mel.max(axis=1), 95) + 1e-9
    level = np.log1p(mel * np.float32(100 / loud))
    flux = np.zeros(len(level))
    if len(level) > RISE:
        rise = np.maximum(level[RISE:] - level[:-RISE], 0).mean(axis=1)
        flux[1 : 1 + len(rise)] = rise
    return gaussian_filter1d(flux, 1.0)


def _floor(envelope: np.ndarray) -> np.ndarray:
    """A running median (frames,) of the flux, from blocks of 0.3 s."""
    block = round(0.3 * FRAMES_PER_SECOND)
    count = -(-len(envelope) // block)
    medians = np.median(np.pad(envelope, (0, count * block - len(envelope)), mode="edge").reshape(count, block), axis=1)
    return np.interp(np.arange(len(envelope)), (np.arange(count) + 0.5) * block, medians)


def pick_onsets(envelope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times (onsets,) in seconds and strengths (onsets,) of the peaks of a flux (frames,)."""
    if len(envelope) < 2:
        return np.empty(0), np.empty(0)
    floor, top = _floor(envelope), np.percentile(envelope, 99.5)
    high = (envelope > 3 * floor + 0.1 * top) & (envelope > 1e-3)
    times, strengths = [], []
    for peak in np.flatnonzero((envelope == maximum_filter1d(envelope, 11)) & high):
        level = floor[peak] + 0.15 * (envelope[peak] - floor[peak])
        first = max(0, peak - round(0.08 * FRAMES_PER_SECOND))
        below = np.flatnonzero(envelope[first:peak] < level)
        start = first if not len(below) else first + below[-1] + 1
        frame = float(start)
        if len(below):
            step = envelope[start] - envelope[start - 1]
            frame -= (envelope[start] - level) / step if step > 0 else 0.0
        time = frame / FRAMES_PER_SECOND - DELAY
        if times and time - times[-1] < SHORTEST_GAP:
            strengths[-1] = max(strengths[-1], envelope[peak])
        else:
            times.append(time)
            strengths.append(envelope[peak])
    return np.maximum(np.array(times, float), 0.0), np.array(strengths, float)


def _chroma(samples: np.ndarray) -> np.ndarray:
    """(frames, 12) log magnitudes of the pitch classes of samples (n,) at CHROMA_RATE."""
    # Twice, as all of them take 0.2 MB for each second.
    loudest = max(float(block.max()) for block in _spectra(samples, CHROMA_WINDOW, CHROMA_HOP))
    scale = np.float32(100 / (loudest + 1e-9))
    return np.concatenate(
        [np.log1p(block * scale) @ _chroma_bands() for block in _spectra(samples, CHROMA_WINDOW, CHROMA_HOP)]
    )


def find_onsets(path: Path) -> FileOnsets:
    """The onsets of one file. Raises InputError where it cannot be read or holds samples that are not numbers."""
    file = read_channels(path)
    return onsets_of(file.samples.mean(axis=1), file.sample_rate, str(path))


def onsets_of(samples: np.ndarray, rate: int, name: str = "audio") -> FileOnsets:
    """The onsets of samples (n,) at `rate` Hz. Raises InputError, with `name`, where they are not numbers."""
    peak = float(np.abs(samples).max(initial=0.0))
    if not np.isfinite(peak):
        raise InputError(f"{name}: holds samples that are not numbers")
    duration = len(samples) / rate
    if peak < SILENCE_PEAK:
        return FileOnsets(duration, peak, np.empty(0), np.empty(0), np.zeros((0, 12), np.float32))
    fine = samples if rate == SAMPLE_RATE else soxr.resample(samples, rate, SAMPLE_RATE, quality="MQ")
    times, strengths = pick_onsets(onset_envelope(fine))
    chroma = _chroma(soxr.resample(fine, SAMPLE_RATE, CHROMA_RATE, quality="MQ"))
    start = float(np.argmax(np.abs(samples) > START_LEVEL * peak)) / rate
    return FileOnsets(duration, peak, times, strengths, chroma, start)
