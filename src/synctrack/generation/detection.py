"""Beats of what a person gives, where nobody says them: detected, so that the click can go on."""

import logging
from collections.abc import Sequence

import numpy as np

from synctrack.audio.beat_files import Beats
from synctrack.errors import InputError
from synctrack.metrics.beats.madmom.tracker import MadmomTracker

FEWEST = 4
STEADY = 0.12
"""Largest deviation of an interval from the median interval, as a share of it, of beats that count as steady."""

logger = logging.getLogger(__name__)


def detected_beats(waveforms: Sequence[np.ndarray], sample_rate: int, tempi: Sequence[float]) -> Beats | None:
    """The beats of the sum of stems (n,), where they are steady; says what was found, and where nothing was, why.

    A tracker that errs gives beats that come and go. They would mislead the model more than no click does.

    Args:
        waveforms: the stems that are given, all of one length.
        sample_rate: Hz.
        tempi: lowest and highest tempo in BPM. Of faster beats every second one is taken, slower ones are doubled.

    Returns:
        Beats with the downbeats that the tracker finds; None where there are fewer than four beats, where one of their
        intervals is more than 12 % off the median, where neither they nor their octave lie in the range, or where no
        tracker is installed.
    """
    try:
        tracker = MadmomTracker()
    except InputError as error:
        logger.warning("beats are not detected in what is given: %s", error)
        return None
    beats, downbeats = tracker.track_bars(np.sum(waveforms, axis=0, dtype=np.float32), sample_rate)
    if not is_steady(beats):
        logger.info("no steady beat is detected in what is given; say it with bpm or beats")
        return None
    found = octave_within(Beats(beats, downbeats), tempi)
    if found is None:
        logger.info("the tempo that is detected in what is given is not one of %g to %g BPM", *tempi)
        return None
    logger.info("%.3g BPM is detected in what is given; beats none leaves it out", found.bpm)
    return found


def is_steady(beats: np.ndarray) -> bool:
    """Whether beats (beats,) in seconds are four or more of one tempo."""
    if len(beats) < FEWEST:
        return False
    intervals = np.diff(beats)
    return bool(np.abs(intervals / np.median(intervals) - 1).max() <= STEADY)


def octave_within(beats: Beats, tempi: Sequence[float]) -> Beats | None:
    """The beats, or every second of them, or twice as many, whichever lie within a range of tempi.

    Every second beat is counted from the first downbeat, and downbeats that are then no beats are left out.

    Args:
        beats: of one tempo.
        tempi: lowest and highest, BPM.

    Returns:
        None where none of the three lies within.
    """
    low, high = tempi
    if low <= beats.bpm <= high:
        return beats
    if low <= beats.bpm / 2 <= high and len(beats.beats) > FEWEST:
        first = int(np.searchsorted(beats.beats, beats.downbeats[0])) if len(beats.downbeats) else 0
        half = beats.beats[first % 2 :: 2]
        return Beats(half, beats.downbeats[np.isin(beats.downbeats, half)])
    if low <= beats.bpm * 2 <= high:
        between = (beats.beats[1:] + beats.beats[:-1]) / 2
        return Beats(np.sort(np.concatenate([beats.beats, between])), beats.downbeats)
    return None
