"""Timing of all songs of a folder: each stem against the others, and against how late it usually is.

Soft attacks and strummed chords are late by nature, by about as much in every song. From five songs on, the lag between
two stems that are together is taken from all songs (its median), and offsets are counted from there. A stem that is
found out of time in many songs has no usual lag: there the fault would be taken for its nature.
"""

from collections.abc import Mapping

import numpy as np

from synctrack.metrics.bootstrap import LEAST_SONGS
from synctrack.metrics.check.align import FEWEST_MEETINGS, meetings
from synctrack.metrics.check.timing import DRIFTING, OFFSET, TOGETHER, StemTiming, Usual, check_song
from synctrack.metrics.onsets import FileOnsets

LEAST_TOGETHER = 0.6  # share of its songs in which a stem must be together to have a usual lag
ROBUST = 1.4826  # standard deviation of normal values whose median absolute deviation is 1

Songs = Mapping[str, Mapping[str, FileOnsets]]
Timings = dict[str, dict[str, StemTiming]]


def check_songs(songs: Songs) -> tuple[Timings, dict[str, Usual]]:
    """What is wrong with the timing of the songs of a folder.

    Args:
        songs: song → stem → onsets.

    Returns:
        Song → stem → what was found; and stem → how late it usually is, of those of which that could be found. Offsets
        do not contain it.
    """
    timings = {song: check_song(stems) for song, stems in songs.items()}
    usual = usual_lags(songs, timings)
    if usual:
        timings = {song: check_song(stems, usual) for song, stems in songs.items()}
    return timings, usual


def usual_lags(songs: Songs, timings: Mapping[str, Mapping[str, StemTiming]]) -> dict[str, Usual]:
    """Stem → how late it usually is against the others, from the songs in which it is together with them.

    Args:
        songs: song → stem → onsets.
        timings: what `check_song` found in each.
    """
    stems = _mostly_together(timings)
    lags = {song: _pair_lags(files, [s for s in stems if _together(timings[song], s)]) for song, files in songs.items()}
    pairs = {(a, b): [found[a, b] for found in lags.values() if (a, b) in found] for a in stems for b in stems}
    usual = {pair: float(np.median(values)) for pair, values in pairs.items() if len(values) >= LEAST_SONGS}
    result = {}
    for stem in stems:
        others = [other for other in stems if (other, stem) in usual]
        if others:
            # Each song's own lag, where it is known against the usual one of the same pairs.
            apart = [[found[o, stem] - usual[o, stem] for o in others if (o, stem) in found] for found in lags.values()]
            apart = np.array([np.mean(values) for values in apart if values])
            lag = float(np.mean([usual[other, stem] for other in others] + [0.0]))
            result[stem] = Usual(lag, ROBUST * float(np.median(np.abs(apart))))
    return result


def _together(timings: Mapping[str, StemTiming], stem: str) -> bool:
    return stem in timings and timings[stem].finding == TOGETHER


def _mostly_together(timings: Mapping[str, Mapping[str, StemTiming]]) -> list[str]:
    """The stems that are together with the others in most of the songs in which that could be told."""
    findings: dict[str, list[str]] = {}
    for stems in timings.values():
        for stem, timing in stems.items():
            if timing.finding in (TOGETHER, OFFSET, DRIFTING):
                findings.setdefault(stem, []).append(timing.finding)
    return [stem for stem, found in findings.items() if found.count(TOGETHER) >= LEAST_TOGETHER * len(found)]


def _pair_lags(files: Mapping[str, FileOnsets], stems: list[str]) -> dict[tuple[str, str], float]:
    """(first, second) → median seconds by which the second's onsets follow those of the first that they meet."""
    result = {}
    for i, a in enumerate(stems):
        for b in stems[i + 1 :]:
            _, lags = meetings(files[a].times, files[b].times)
            if len(lags) >= FEWEST_MEETINGS:
                result[a, b] = float(np.median(lags))
                result[b, a] = -result[a, b]
    return result
