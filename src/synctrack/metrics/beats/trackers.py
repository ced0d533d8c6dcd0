"""The beat trackers to choose from. Their machinery is imported when the first file is tracked, not before."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synctrack.errors import InputError
from synctrack.metrics.beats.madmom.models import distribution
from synctrack.metrics.beats.types import PROTOCOL_FPS, FileBeats, Tracker

if TYPE_CHECKING:
    from synctrack.metrics.beats.madmom.decoding import Audio

# Part of the cache key: to be raised with any change that moves a beat.
REVISION = 1


class MadmomTracker:
    """madmom's downbeat networks, decoded into bars of 3 or 4 beats at 30 to 300 BPM; both protocols at once."""

    protocols = tuple(PROTOCOL_FPS)

    def __init__(self) -> None:
        name, version = distribution()
        self.version = f"madmom ({name} {version}, revision {REVISION})"

    def track_file(self, path: Path) -> FileBeats:
        from synctrack.metrics.beats.madmom.decoding import decode

        return self._track(decode(path), self.protocols)

    def track_waveform(self, waveform: np.ndarray, sample_rate: int) -> np.ndarray:
        """Beat times in seconds (beats,) of a waveform (n,) in memory, as of a 32-bit float file; `corrected`."""
        from synctrack.metrics.beats.madmom.decoding import Audio

        channels = np.asarray(waveform, np.float32)[:, None]
        return self._track(Audio(channels, sample_rate, "WAV", "FLOAT"), ["corrected"]).beats["corrected"]

    def _track(self, audio: "Audio", protocols: Sequence[str]) -> FileBeats:
        from synctrack.metrics.beats.madmom.dbn import decode_beats
        from synctrack.metrics.beats.madmom.decoding import as_madmom_reads
        from synctrack.metrics.beats.madmom.features import features
        from synctrack.metrics.beats.madmom.lstm import activations

        activation = activations(features(as_madmom_reads(audio)))
        beats = {protocol: decode_beats(activation, PROTOCOL_FPS[protocol]) for protocol in protocols}
        return FileBeats(audio.duration, audio.peak, beats)


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
