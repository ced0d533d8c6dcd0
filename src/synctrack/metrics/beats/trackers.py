"""The available beat trackers. Their dependencies are imported when the first file is tracked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synctrack.errors import InputError
from synctrack.metrics.beats.madmom.models import distribution
from synctrack.metrics.beats.types import PROTOCOL_FPS, FileBeats, Tracker

if TYPE_CHECKING:
    from synctrack.metrics.beats.madmom.decoding import Audio

# Part of the cache key; increment it with any change that moves a beat.
REVISION = 1


class MadmomTracker:
    """madmom's downbeat networks, decoded into bars of 3 or 4 beats at 30 to 300 BPM; both protocols at once."""

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

    def track_bars(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        """Beats and downbeats of one file, in seconds. Raises InputError where it cannot be read."""
        from synctrack.metrics.beats.madmom.decoding import decode

        return _bars(self._activations(decode(path)))

    def track_waveform(self, waveform: np.ndarray, sample_rate: int) -> np.ndarray:
        """Beat times in seconds (beats,) of a waveform (n,) in memory, as of a 32-bit float file; `corrected`."""
        from synctrack.metrics.beats.madmom.dbn import decode_beats

        return decode_beats(self._waveform_activations(waveform, sample_rate), PROTOCOL_FPS["corrected"])

    def track_waveform_bars(self, waveform: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
        """Beats and downbeats, in seconds, of a waveform (n,) in memory, as of a 32-bit float file."""
        return _bars(self._waveform_activations(waveform, sample_rate))

    def _waveform_activations(self, waveform: np.ndarray, sample_rate: int) -> np.ndarray:
        from synctrack.metrics.beats.madmom.decoding import Audio

        return self._activations(Audio(np.asarray(waveform, np.float32)[:, None], sample_rate, "WAV", "FLOAT"))

    def _activations(self, audio: Audio) -> np.ndarray:
        """(frames, 2) of beat and downbeat, 100 a second."""
        from synctrack.metrics.beats.madmom.decoding import as_madmom_reads
        from synctrack.metrics.beats.madmom.features import features
        from synctrack.metrics.beats.madmom.lstm import activations

        return activations(features(as_madmom_reads(audio)))


def _bars(activation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from synctrack.metrics.beats.madmom.dbn import decode_bars

    beats, numbers = decode_bars(activation, PROTOCOL_FPS["corrected"])
    return beats, beats[numbers == 1]


def make_tracker(name: str, weights: Path | None = None) -> Tracker:
    """The tracker called `name`.

    Args:
        name: one of TRACKERS.
        weights: checkpoint of `beat_this`; its package's own where None.

    Raises:
        InputError: there is no such tracker, it or its weights are missing, or it takes no weights.
    """
    if name == "madmom":
        if weights is not None:
            raise InputError("--weights goes with --tracker beat_this; madmom's come with its package")
        return MadmomTracker()
    if name == "beat_this":
        from synctrack.metrics.beats.beat_this import BeatThisTracker

        return BeatThisTracker(weights)
    raise InputError(f"no tracker called {name}: choose from {', '.join(TRACKERS)}")


TRACKERS = ("madmom", "beat_this")
