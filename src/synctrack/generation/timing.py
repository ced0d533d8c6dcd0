"""Beats and lengths: how many samples a song has, where its beats are, and where its bars are."""

import math
from collections.abc import Sequence

import numpy as np

from synctrack.audio.beat_files import Beats, regular_beats
from synctrack.errors import InputError
from synctrack.generation.request import MAX_SECONDS, Request

DEFAULT_METER = 4
END_TOLERANCE = 1e-3
"""Seconds; a beat that is no more before a song's end begins the next bar, as lengths are rounded to samples."""

FITTED_BEATS = 16
REGULAR = 0.02
"""Seconds; beats that lie no farther from a line count as regular."""


def asked_beats(request: Request, seconds: float) -> Beats | None:
    """The beats that a request names, for a song of so many seconds; None where it names none.

    Raises:
        InputError: the file of beats is damaged, or fewer than two beats fit.
    """
    named = request.named_beats
    try:
        if request.bpm is not None:
            return regular_beats(request.bpm, request.meter or DEFAULT_METER, max(1e-6, seconds - END_TOLERANCE))
        return None if named is None else until(named, seconds)
    except InputError as error:
        name = "bpm" if request.bpm is not None else "beats"
        raise InputError(f"{name}: a song of {seconds:.6g} s {error}; make it longer") from error


def until(beats: Beats, seconds: float) -> Beats:
    """The beats before a song's end at `seconds`. Raises InputError where these are fewer than two."""
    return beats if beats.beats[-1] < seconds - END_TOLERANCE else beats.within(0, max(0.0, seconds - END_TOLERANCE))


def new_length(request: Request, longest_given: int, sample_rate: int) -> int | None:
    """Samples of a new song; None where the request leaves it to the model.

    Args:
        request: of a song without an original.
        longest_given: samples of the longest given audio, 0 where there is none.
        sample_rate: Hz.

    Raises:
        InputError: there are not so many bars, or it is too long.
    """
    if request.bars is not None:
        seconds = _bars_seconds(request)
    elif request.seconds is not None:
        seconds = request.seconds
    elif longest_given:
        seconds = longest_given / sample_rate
    elif request.named_beats is not None:
        times = request.named_beats.beats
        seconds = times[-1] + np.median(np.diff(times))
    else:
        return None
    if seconds > MAX_SECONDS:
        raise InputError(f"song: would be {seconds:g} s long; up to {MAX_SECONDS:g} s are possible")
    return max(1, round(seconds * sample_rate))


def _bars_seconds(request: Request) -> float:
    if request.bpm is not None:
        return request.bars * (request.meter or DEFAULT_METER) * 60.0 / request.bpm
    ends = bar_ends(request.named_beats)
    if not 1 <= request.bars <= len(ends):
        raise InputError(f"bars: {request.bars} are asked for, but {request.beats} has {len(ends)} bars")
    return ends[request.bars - 1]


def bar_ends(beats: Beats) -> list[float]:
    """End of each bar in seconds; the last one is as long as the bar before, or as its beats where it is alone."""
    starts = beats.downbeats.tolist()
    if not starts:
        return []
    if len(starts) > 1:
        last = starts[-1] + starts[-1] - starts[-2]
    else:
        last = beats.beats[-1] + float(np.median(np.diff(beats.beats)))
    return [*starts[1:], last]


def bar_span(beats: Beats | None, bars: tuple[int, int], seconds: float) -> tuple[float, float]:
    """Start and end in seconds of a range of bars, counted from 1, within a song.

    Raises:
        InputError: the song's bars are not known, or it has fewer.
    """
    if beats is None or not len(beats.downbeats):
        raise InputError("bars: the song does not say where its bars are; add bpm or beats, or give a span in seconds")
    starts = beats.downbeats[beats.downbeats < seconds].tolist()
    first, last = bars
    if last > len(starts):
        raise InputError(f"bars: {first}-{last} are asked for, but the song has {len(starts)} bars")
    return starts[first - 1], min(seconds, bar_ends(beats)[last - 1])


def whole_bars(beats: Beats | None, seconds: float) -> tuple[float, float, int] | None:
    """Start of the first bar, end of the last one that is whole, and their number; None where there is no whole bar."""
    if beats is None:
        return None
    ends = [end for end in bar_ends(beats) if end <= seconds + END_TOLERANCE]
    return (float(beats.downbeats[0]), min(ends[-1], seconds), len(ends)) if ends else None


def continued_beats(beats: Beats, seconds: float) -> Beats:
    """The beats and what follows them up to `seconds`, in the tempo and meter in which they end."""
    last, interval = _last_beat(beats.beats)
    following = np.arange(last + interval, seconds - END_TOLERANCE, interval)
    downbeats = beats.downbeats
    if len(downbeats):
        position = len(beats.beats) - int(np.searchsorted(beats.beats, downbeats[-1]))
        meter = beats.meters[-1] if beats.meters else DEFAULT_METER
        downbeats = np.concatenate([downbeats, following[(position + np.arange(len(following))) % meter == 0]])
    return Beats(np.concatenate([beats.beats, following]), downbeats)


def preceded_beats(beats: Beats) -> Beats:
    """The beats and what comes before them from 0 on, in the tempo and meter in which they begin."""
    # Backwards in time, what comes before is what follows.
    end = float(beats.beats[-1])
    first, interval = _last_beat(end - beats.beats[::-1])
    count = max(0, math.floor((end - first) / interval + 1e-9))
    before = (end - first) - interval * np.arange(count, 0, -1)
    before = before[before >= 0]
    downbeats = beats.downbeats
    if len(downbeats) and len(before):
        position = int(np.searchsorted(beats.beats, downbeats[0]))
        meter = beats.meters[0] if beats.meters else DEFAULT_METER
        numbers = np.arange(-len(before), 0) - position
        downbeats = np.concatenate([before[numbers % meter == 0], downbeats])
    return Beats(np.concatenate([before, beats.beats]), downbeats)


def _last_beat(times: np.ndarray) -> tuple[float, float]:
    """Where the last beat lies and the interval after it, by a line through the last beats where they are regular.

    Detected times are rounded to 10 ms or so: over many beats, an interval that is off by a few milliseconds drifts.
    """
    recent = times[-FITTED_BEATS:]
    numbers = np.arange(len(recent))
    interval, first = np.polyfit(numbers, recent, 1)
    fitted = first + interval * numbers
    if np.abs(recent - fitted).max() <= REGULAR:
        return float(fitted[-1]), float(interval)
    return float(times[-1]), float(np.median(np.diff(recent)))


def complement(spans: Sequence[tuple[int, int]], num_samples: int) -> list[tuple[int, int]]:
    """What of [0, num_samples) no span covers; spans ascend and do not overlap."""
    borders = [0, *(edge for span in spans for edge in span), num_samples]
    return [(start, stop) for start, stop in zip(borders[::2], borders[1::2], strict=True) if start < stop]


def beats_json(beats: Beats) -> dict[str, list[float]]:
    """Beats as `song.json` holds them."""
    return {"beats": beats.beats.tolist(), "downbeats": beats.downbeats.tolist()}
