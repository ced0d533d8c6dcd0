"""The available beat trackers, in one table. What a tracker needs is imported when it is chosen, or tracks a file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from synctrack.errors import InputError
from synctrack.metrics.beats.types import Tracker


@dataclass(frozen=True)
class TrackerChoice:
    """A tracker that can be chosen.

    Attributes:
        make: the tracker, with the weights given, or its own where they are None.
        takes_weights: whether weights can be given.
        summary: what it is, for help on the command line.
    """

    make: Callable[[Path | None], Tracker]
    takes_weights: bool
    summary: str


def _madmom(weights: Path | None) -> Tracker:
    from synctrack.metrics.beats.madmom.tracker import MadmomTracker

    return MadmomTracker()


def _librosa(weights: Path | None) -> Tracker:
    from synctrack.metrics.beats.librosa_tracker import LibrosaTracker

    return LibrosaTracker()


def _beat_this(weights: Path | None) -> Tracker:
    from synctrack.metrics.beats.beat_this import BeatThisTracker

    return BeatThisTracker(weights)


TRACKERS = {
    "madmom": TrackerChoice(_madmom, False, "madmom's networks, both protocols"),
    "librosa": TrackerChoice(_librosa, False, "no trained models, quick, less exact"),
    "beat_this": TrackerChoice(_beat_this, True, "a transformer, in the extra beat-this"),
}
DEFAULT_TRACKER = "madmom"


def make_tracker(name: str, weights: Path | None = None) -> Tracker:
    """The tracker called `name`.

    Args:
        name: one of TRACKERS.
        weights: checkpoint of a tracker that takes one (`beat_this`); its package's own where None.

    Raises:
        InputError: there is no such tracker, it or its weights are missing, or it takes no weights.
    """
    if name not in TRACKERS:
        raise InputError(f"no tracker called {name}: choose from {', '.join(TRACKERS)}")
    choice = TRACKERS[name]
    if weights is not None and not choice.takes_weights:
        takers = " or ".join(other for other, it in TRACKERS.items() if it.takes_weights)
        raise InputError(f"--weights goes with --tracker {takers}; {name} takes none")
    return choice.make(weights)
