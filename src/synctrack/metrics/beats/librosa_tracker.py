"""librosa's beat tracker, which needs no trained models. Its times are true: it knows protocol `corrected` alone.

Source: D. P. W. Ellis, "Beat tracking by dynamic programming", Journal of New Music Research 36 (1), 2007, as
`librosa.beat.beat_track` implements it: one tempo for the whole file, with a preference for 120 BPM, and no downbeats.
"""

import importlib.metadata

import numpy as np
import soxr

from synctrack.metrics.beats.bar_tracker import BarTracker

SAMPLE_RATE = 22050
HOP = 256  # samples: beats lie on a grid of 11.6 ms, half of librosa's default
# Part of the cache key; increment it with any change that moves a beat.
REVISION = 1


class LibrosaTracker(BarTracker):
    """`librosa.beat.beat_track` of one channel at 22050 Hz, in frames of HOP samples, otherwise as by default."""

    def __init__(self) -> None:
        self.version = f"librosa {importlib.metadata.version('librosa')}, revision {REVISION}"

    def track_bars(self, waveform: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
        """Beats in seconds of a waveform (n,); there are no downbeats."""
        import librosa

        samples = soxr.resample(np.asarray(waveform, np.float32), sample_rate, SAMPLE_RATE)
        if len(samples) < HOP or not np.any(samples):
            return np.empty(0), np.empty(0)
        envelope = librosa.onset.onset_strength(y=samples, sr=SAMPLE_RATE, hop_length=HOP, aggregate=np.median)
        _, beats = librosa.beat.beat_track(onset_envelope=envelope, sr=SAMPLE_RATE, hop_length=HOP, units="time")
        return np.asarray(beats, float), np.empty(0)
