"""What trackers share that detect beats and bars in a waveform, at true times: protocol `corrected` alone."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from synctrack.metrics.beats.madmom.decoding import decode
from synctrack.metrics.beats.types import FileBeats


class BarTracker(ABC):
    """A tracker of one channel; files are decoded as madmom does, their channels averaged."""

    protocols = ("corrected",)
    version: str

    def track_file(self, path: Path) -> FileBeats:
        """Track one file. Raises InputError where it cannot be read."""
        audio = decode(path)
        beats, _ = self.track_bars(audio.channels.mean(axis=1), audio.rate)
        return FileBeats(audio.duration, audio.peak, {"corrected": beats})

    @abstractmethod
    def track_bars(self, waveform: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
        """Beats and downbeats in seconds of a waveform (n,)."""
