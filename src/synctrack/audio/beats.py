"""Beats of a song: times in seconds, and which of them begin a bar."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from synctrack.errors import InputError

LONGEST_SECONDS = 86400.0
"""No beat lies later than this, one day: a later time is taken as damage."""
MIN_BPM, MAX_BPM = 10.0, 1000.0
MAX_METER = 64
DOWNBEAT_TOLERANCE = 1e-3
"""Seconds by which a downbeat may differ from the beat that it is."""


@dataclass(frozen=True, eq=False)
class Beats:
    """The beats of one song.

    Attributes:
        beats: (beats,) times in seconds from the first sample, strictly ascending, 2 or more.
        downbeats: (bars,) those of them that begin a bar, strictly ascending; empty where the bars are not known. Times
            within 1 ms of a beat are taken as that beat.

    Raises:
        InputError: the times are not numbers, not finite, negative, later than a day or not ascending; there are fewer
            than two beats; a downbeat is not a beat.
    """

    beats: np.ndarray
    downbeats: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        beats = _checked_times(self.beats, "beats")
        if len(beats) < 2:
            raise InputError(f"holds {len(beats)} beats; 2 or more are needed")
        downbeats = _on_beats(_checked_times(self.downbeats, "downbeats"), beats)
        for name, times in (("beats", beats), ("downbeats", downbeats)):
            times.setflags(write=False)
            object.__setattr__(self, name, times)

    @property
    def bpm(self) -> float:
        """Beats per minute, by the median interval."""
        return 60.0 / float(np.median(np.diff(self.beats)))

    @property
    def meters(self) -> tuple[int, ...]:
        """Beats of each bar from one downbeat to the next; without what precedes the first and follows the last."""
        return tuple(np.diff(np.searchsorted(self.beats, self.downbeats)).tolist())

    @property
    def meter(self) -> int | None:
        """Beats per bar where all whole bars have the same number; None where they differ or there is no whole bar."""
        different = set(self.meters)
        return different.pop() if len(different) == 1 else None

    def shifted(self, seconds: float) -> "Beats":
        """The beats `seconds` later (earlier if negative), without those that would lie before 0.

        Raises:
            InputError: fewer than two beats are left, or they lie later than a day.
        """
        beats, downbeats = self.beats + seconds, self.downbeats + seconds
        return Beats(beats[beats >= 0], downbeats[downbeats >= 0])

    def within(self, start: float, stop: float) -> "Beats":
        """The beats in [start, stop) seconds, at the times that they have; ``within(a, b).shifted(-a)`` counts from a.

        Raises:
            InputError: there are fewer than two.
        """
        chosen = [times[(times >= start) & (times < stop)] for times in (self.beats, self.downbeats)]
        return Beats(*chosen)


def regular_beats(bpm: float, meter: int, seconds: float, first: float = 0.0) -> Beats:
    """Beats of one tempo and meter, from a downbeat at `first` on, all before `seconds`.

    Args:
        bpm: beats per minute, 10 to 1000.
        meter: beats per bar, 1 to 64.
        seconds: length of the song.
        first: time of the first downbeat in seconds.

    Raises:
        InputError: a value is out of range, or fewer than two beats fit.

    Example:
        >>> regular_beats(120, 3, 2.5).downbeats
        array([0. , 1.5])
    """
    if not MIN_BPM <= bpm <= MAX_BPM:
        raise InputError(f"{bpm:g} beats per minute: must be {MIN_BPM:g} to {MAX_BPM:g}")
    if not (isinstance(meter, int | np.integer) and 1 <= meter <= MAX_METER):
        raise InputError(f"{meter} beats per bar: must be a whole number from 1 to {MAX_METER}")
    if not 0 < seconds <= LONGEST_SECONDS:
        raise InputError(f"beats for {seconds:g} s: must be above 0 and at most {LONGEST_SECONDS:g}")
    if not 0 <= first < seconds:
        raise InputError(f"first beat at {first:g} s: must be 0 or later and before the end at {seconds:g} s")
    count = math.ceil((seconds - first) * bpm / 60.0) + 1
    times = first + np.arange(count) * (60.0 / bpm)
    times = times[times < seconds]
    return Beats(times, times[::meter])


def _checked_times(values: ArrayLike, what: str) -> np.ndarray:
    try:
        times = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{what}: must be a list of seconds") from error
    if times.ndim != 1:
        raise InputError(f"{what}: must be a list of seconds")
    inside = (times >= 0) & (times <= LONGEST_SECONDS)
    if not inside.all():
        number = int(np.argmin(inside))
        raise InputError(f"{what}: number {number + 1} is {times[number]:g} s; must be 0 to {LONGEST_SECONDS:g}")
    later = np.diff(times) > 0
    if not later.all():
        number = int(np.argmin(later)) + 1
        pair = f"number {number + 1} ({times[number]:g} s) does not follow number {number} ({times[number - 1]:g} s)"
        raise InputError(f"{what}: {pair}; the times must ascend")
    return times


def _on_beats(downbeats: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """The beats that the downbeats are."""
    after = np.clip(np.searchsorted(beats, downbeats), 1, len(beats) - 1)
    nearest = np.where(downbeats - beats[after - 1] < beats[after] - downbeats, after - 1, after)
    far = np.abs(beats[nearest] - downbeats) > DOWNBEAT_TOLERANCE
    if far.any():
        raise InputError(f"the downbeat at {downbeats[np.argmax(far)]:g} s is not one of the beats")
    if len(set(nearest.tolist())) < len(nearest):
        raise InputError("two downbeats lie on the same beat")
    return beats[nearest]
