"""The default tracker: madmom's networks and dynamic Bayesian network. Numba and SciPy are imported with a file.

Source: S. Böck, F. Krebs, G. Widmer, "Joint beat and downbeat tracking with recurrent neural networks", ISMIR 2016.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synctrack.metrics.beats.madmom.models import distribution
from synctrack.metrics.beats.types import PROTOCOL_FPS, FileBeats

if TYPE_CHECKING:
    from synctrack.metrics.beats.madmom.decoding import Audio

# Part of the cache key; increment it with any change that moves a beat.
REVISION = 1


class MadmomTracker:
    """madmom's downbeat networks, decoded into bars of 3 or 4 beats at 30 to 300 BPM; both protocols at once.

    Raises:
        InputError: no distribution of madmom is installed.
    """

    protocols = tuple(PROTOCOL_FPS)

    def __init__(self) -> None:
        name, version = distribution()
        self.version = f"madmom ({name} {version}, revision {REVISION})"

    def track_file(self, path: Path) -> FileBeats:
        """Track one file. Raises InputError where it cannot be read."""
        from synctrack.metrics.beats.madmom.dbn import decode_beats
        from synctrack.metrics.beats.madmom.decoding import decode

        audio = decode(path)
        activation = self._activations(audio)
        beats = {protocol: decode_beats(activation, fps) for protocol, fps in PROTOCOL_FPS.items()}
        return FileBeats(audio.duration, audio.peak, beats)

    def track_bars(self, waveform: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
        """Beats and downbeats in seconds of a waveform (n,), as of a 32-bit float file; `corrected`."""
        from synctrack.metrics.beats.madmom.dbn import decode_bars

        beats, numbers = decode_bars(self._activations(_as_file(waveform, sample_rate)), PROTOCOL_FPS["corrected"])
        return beats, beats[numbers == 1]

    def track_waveform(self, waveform: np.ndarray, sample_rate: int) -> np.ndarray:
        """Beat times in seconds (beats,) of a waveform (n,), as of a 32-bit float file; `corrected`."""
        from synctrack.metrics.beats.madmom.dbn import decode_beats

        return decode_beats(self._activations(_as_file(waveform, sample_rate)), PROTOCOL_FPS["corrected"])

    def _activations(self, audio: Audio) -> np.ndarray:
        """(frames, 2) of beat and downbeat, 100 a second."""
        from synctrack.metrics.beats.madmom.decoding import as_madmom_reads
        from synctrack.metrics.beats.madmom.features import features
        from synctrack.metrics.beats.madmom.lstm import activations

        return activations(features(as_madmom_reads(audio)))


def _as_file(waveform: np.ndarray, sample_rate: int) -> Audio:
    from synctrack.metrics.beats.madmom.decoding import Audio

    return Audio(np.asarray(waveform, np.float32)[:, None], sample_rate, "WAV", "FLOAT")
