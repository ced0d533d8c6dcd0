"""The 314 inputs of the downbeat networks: three log-filtered spectrograms and their positive differences.

For each of the window lengths 1024, 2048 and 4096 samples at 44.1 kHz, every 441 samples: magnitudes of the
Hann-windowed Fourier transform, triangular filters of unit area with 3, 6 and 12 bands an octave from 30 Hz to 17 kHz,
log10(1 + x), and the rise of that over the frame one (one, two) before.

Source: S. Böck, F. Krebs, G. Widmer, "Joint beat and downbeat tracking with recurrent neural networks", ISMIR 2016.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.fft

from synctrack.jit import njit
from synctrack.metrics.beats.madmom.decoding import SAMPLE_RATE

FPS = 100
HOP = SAMPLE_RATE // FPS
BANDS_PER_OCTAVE = {1024: 3, 2048: 6, 4096: 12}
MIN_HZ, MAX_HZ, TUNING_HZ = 30.0, 17000.0, 440.0
# Frames transformed at once: few enough for the processor's cache, many enough for the FFT to fill its vector lanes.
BLOCK = 64


@dataclass(frozen=True)
class Filterbank:
    """Triangular filters in compressed form.

    Attributes:
        window: (frame size,) float32 Hann window.
        edges: (bands + 1,) where each band's weights begin.
        first_bins: (bands,) the bin of each band's first weight.
        weights: float32 weights of all bands, one after the other.
        lag: the difference is taken to the frame this many before.
    """

    window: np.ndarray
    edges: np.ndarray
    first_bins: np.ndarray
    weights: np.ndarray
    lag: int

    @property
    def num_bands(self) -> int:
        return len(self.first_bins)


def _centre_bins(frame_size: int) -> np.ndarray:
    """FFT bins nearest to the band frequencies, each bin once."""
    bands = BANDS_PER_OCTAVE[frame_size]
    steps = np.arange(np.floor(np.log2(MIN_HZ / TUNING_HZ) * bands), np.ceil(np.log2(MAX_HZ / TUNING_HZ) * bands))
    frequencies = TUNING_HZ * 2.0 ** (steps / bands)
    frequencies = frequencies[(frequencies >= MIN_HZ) & (frequencies <= MAX_HZ)]
    bins = np.arange(frame_size // 2) * SAMPLE_RATE / frame_size
    return np.unique(np.abs(bins[None, :] - frequencies[:, None]).argmin(axis=1))


@cache
def filterbank(frame_size: int) -> Filterbank:
    """The filters for one window length."""
    centres = _centre_bins(frame_size)
    bands = []
    for low, centre, high in zip(centres, centres[1:], centres[2:], strict=False):
        rise = np.linspace(0, 1, centre - low, endpoint=False)
        fall = np.linspace(1, 0, high - centre, endpoint=False)
        band = np.concatenate([rise, fall])
        bands.append((band / band.sum()).astype(np.float32))
    edges = np.concatenate([[0], np.cumsum([len(band) for band in bands])])
    window = np.hanning(frame_size)
    # The lag is how far the window's half-height point lies from its middle, in whole frames and at least one.
    half_width = frame_size / 2 - np.argmax(window > window.max() / 2)
    lag = max(1, round(half_width / HOP))
    return Filterbank(window.astype(np.float32), edges, centres[:-2].copy(), np.concatenate(bands), lag)


# The slices are there for speed: the compiler cannot tell that computed indices are not negative, and Python's meaning
# of negative ones would keep it from using vector instructions.
@njit(fastmath=True, error_model="numpy")
def _filter_magnitudes(spectra, edges, first_bins, weights, out):
    """Write the filtered magnitudes of complex spectra (frames, bins) to `out` (frames, bands)."""
    magnitude = np.empty(first_bins[-1] + edges[-1] - edges[-2], np.float32)
    for frame in range(len(spectra)):
        for k in range(len(magnitude)):
            value = spectra[frame, k]
            magnitude[k] = np.sqrt(value.real * value.real + value.imag * value.imag)
        for band in range(len(first_bins)):
            band_weights = weights[edges[band] : edges[band + 1]]
            band_magnitude = magnitude[first_bins[band] :]
            total = np.float32(0)
            for i in range(len(band_weights)):
                total += band_weights[i] * band_magnitude[i]
            out[frame, band] = total


def _log_spectrogram(samples: np.ndarray, frame_size: int, num_frames: int) -> np.ndarray:
    """(frames, bands) float32 log-filtered magnitudes for one window length."""
    bank = filterbank(frame_size)
    half = frame_size // 2
    padded = np.zeros(half + max(len(samples), (num_frames - 1) * HOP + half), np.float32)
    padded[half : half + len(samples)] = samples
    frames = np.lib.stride_tricks.sliding_window_view(padded, frame_size)[::HOP][:num_frames]
    out = np.empty((num_frames, bank.num_bands), np.float32)
    for begin in range(0, num_frames, BLOCK):
        spectra = scipy.fft.rfft(frames[begin : begin + BLOCK] * bank.window, axis=1)
        _filter_magnitudes(spectra, bank.edges, bank.first_bins, bank.weights, out[begin : begin + BLOCK])
    return np.log10(1 + out)


def features(samples: np.ndarray) -> np.ndarray:
    """Network inputs.

    Args:
        samples: (n,) float32, mono at 44.1 kHz, full scale 1.

    Returns:
        (⌈n / 441⌉ and at least 1, 314) float32: for each window length the spectrogram, then its positive differences.
    """
    num_frames = max(1, -(-len(samples) // HOP))
    parts = []
    for frame_size in BANDS_PER_OCTAVE:
        spectrogram = _log_spectrogram(samples, frame_size, num_frames)
        lag = filterbank(frame_size).lag
        rise = np.zeros_like(spectrogram)
        np.maximum(spectrogram[lag:] - spectrogram[:-lag], 0, out=rise[lag:])
        parts += [spectrogram, rise]
    return np.concatenate(parts, axis=1)
