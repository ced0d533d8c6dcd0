"""The beat trackers to choose from. Their machinery is imported when the first file is tracked, not before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from eval_metrics.madmom_models import distribution
from synctrack.errors import InputError

# What the decoder is told of the 100 activations per second that it gets: `paper` is the published evaluation's
# mistake, under which every time comes out at 2/3 of the truth and the tempo limits are 20 to 200 BPM.
PROTOCOL_FPS = {"paper": 150.0, "corrected": 100.0}
# Part of the cache key: to be raised with any change that moves a beat.
REVISION = 1


@dataclass(frozen=True)
class FileBeats:
    """What is known of one file.

    Attributes:
        duration: seconds.
        peak: highest absolute sample, full scale 1; NaN where there is no audio.
        beats: protocol → (beats,) ascending times in seconds.
    """

    duration: float
    peak: float
    beats: Mapping[str, np.ndarray]


class Tracker(Protocol):
    """Finds the beats of one file at a time; called from several threads.

    Attributes:
        version: name and version; files tracked under another one are tracked anew.
        protocols: what `track_file` gives beats for.
    """

    version: str
    protocols: Sequence[str]

    def track_file(self, path: Path) -> FileBeats:
        """Track one file. Raises InputError where it cannot be read."""
        ...


class MadmomTracker:
    """madmom's downbeat networks, decoded into bars of 3 or 4 beats at 30 to 300 BPM; both protocols at once."""

    protocols = tuple(PROTOCOL_FPS)

    def __init__(self) -> None:
        name, version = distribution()
        self.version = f"madmom ({name} {version}, revision {REVISION})"

    def track_file(self, path: Path) -> FileBeats:
        from eval_metrics.dbn import decode_beats
        from eval_metrics.decoding import as_madmom_hears, decode
        from eval_metrics.features import features
        from eval_metrics.lstm import activations

        audio = decode(path)
        activation = activations(features(as_madmom_hears(audio)))
        beats = {protocol: decode_beats(activation, fps) for protocol, fps in PROTOCOL_FPS.items()}
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
        from eval_metrics.beat_this_tracker import BeatThisTracker

        return BeatThisTracker(weights)
    raise InputError(f"no tracker called {name}: choose from {', '.join(TRACKERS)}")


TRACKERS = ("madmom", "beat_this")
