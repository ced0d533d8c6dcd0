"""A folder beside its reference: do they hold the same songs and stems, and how far do their scores differ?

Songs of the same name are compared one by one (paired), which removes what differs from song to song; without a song
in common the means are compared.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synctrack.errors import InputError
from synctrack.metrics.beats.types import StemBeats
from synctrack.metrics.bootstrap import (
    difference_interval,
    songs_with_a_value,
    stem_mean,
    stem_mean_interval,
    too_few,
)

LENGTH_TOLERANCE = 0.1  # seconds
MEAN_LENGTH_RATIO = 1.2


def match_stems(ours: Sequence[str], theirs: Sequence[str]) -> dict[str, str]:
    """The reference's stem that each stem is compared with: that of its name, or of its place where they are numbered.

    Args:
        ours: the folder's stems.
        theirs: those of the reference.

    Raises:
        InputError: the numbers of stems differ, or their names do where neither are `stem_0`, `stem_1`, …
    """
    if len(ours) != len(theirs):
        raise InputError(
            f"--reference: has {len(theirs)} stems ({', '.join(theirs)}), the folder {len(ours)} "
            f"({', '.join(ours)}); scores depend on how many there are: choose the same with --stems"
        )
    if set(ours) == set(theirs):
        return {stem: stem for stem in ours}
    if not any(all(re.fullmatch(r"stem_\d+", stem) for stem in stems) for stems in (ours, theirs)):
        raise InputError(
            f"--reference: has the stems {', '.join(theirs)}, the folder {', '.join(ours)}; "
            "choose the same with --stems"
        )
    return dict(zip(ours, theirs, strict=True))


def matching_notes(stems: Sequence[str], reference: Sequence[str]) -> list[str]:
    """A line that says which stem stands for which, where `match_stems` goes by their order."""
    if set(stems) == set(reference):
        return []
    pairs = ", ".join(f"{ours} = {theirs}" for ours, theirs in match_stems(stems, reference).items())
    return [f"stems are matched by their order: {pairs}"]


def pairing_notes(beats: StemBeats, reference: StemBeats) -> list[str]:
    """What is unlike in songs, stems and lengths, one line each."""
    notes, ours, theirs = [], beats.durations, reference.durations
    alone = len(beats.incomplete), len(reference.incomplete)
    if any(alone):
        notes.append(
            f"IRS is also of songs that not every stem has ({alone[0]} in the folder, {alone[1]} in the reference); "
            "its difference is not"
        )
    common = [song for song in ours if song in theirs]
    notes += matching_notes(beats.stems, reference.stems)
    if not common:
        notes.append("no song of the folder is in the reference: means are compared, not songs")
        ratio = np.mean(list(ours.values())) / np.mean(list(theirs.values()))
        if not 1 / MEAN_LENGTH_RATIO < ratio < MEAN_LENGTH_RATIO:
            notes.append(
                f"songs last {np.mean(list(ours.values())):.2f} s on average, the reference's "
                f"{np.mean(list(theirs.values())):.2f} s: IRS and CBS depend on the length"
            )
        return notes
    if len(common) < len(ours) or len(common) < len(theirs):
        notes.append(
            f"{len(common)} songs are in both ({len(ours)} in the folder, {len(theirs)} in the reference): "
            "differences are of these"
        )
    unlike = {song: ours[song] - theirs[song] for song in common if abs(ours[song] - theirs[song]) > LENGTH_TOLERANCE}
    if unlike:
        worst = max(unlike, key=lambda song: abs(unlike[song]))
        notes.append(
            f"{len(unlike)} of {len(common)} songs are longer or shorter than in the reference, {worst} by "
            f"{unlike[worst]:+.2f} s"
        )
    return notes


def _values(side: Mapping[str, Any], metric: str, stems: Sequence[str], songs: Sequence[str]) -> np.ndarray:
    """(songs, columns) values of one side: of each stem for IRS, which looks at each alone, else one of the song."""
    rows = [side["songs"][song] for song in songs]
    if metric != "irs":
        return np.array([[row[metric]] for row in rows], float)
    return np.array([[row["interval_std"][stem] for stem in stems] for row in rows], float)


def compare(
    values: Mapping[str, Any], reference: Mapping[str, Any], metrics: tuple[str, ...], seed: int
) -> dict[str, dict[str, Any]]:
    """Differences, folder minus reference, of one protocol.

    Args:
        values: what `summarise` gave for the folder.
        reference: the same of the reference.
        metrics: keys of the songs' rows.
        seed: of the bootstrap.

    Returns:
        Metric → `difference` (of the common songs, or of the means where there is none), `interval_95` or None,
        `reason` (why there is no interval), `songs` (how many pairs; 0 where means are compared) and `clear`: whether
        the interval leaves out 0.
    """
    common = [song for song in values["songs"] if song in reference["songs"]]
    matched = match_stems(list(values["stems"]), list(reference["stems"])) if "irs" in metrics else {}
    ours, theirs = list(matched.keys()), list(matched.values())
    result = {}
    for metric in metrics:
        if common:
            change = _values(values, metric, ours, common) - _values(reference, metric, theirs, common)
            known = songs_with_a_value(change)
            difference, interval, reason = float(stem_mean(change)), stem_mean_interval(change, seed), too_few(known)
        else:
            sets = [
                _values(side, metric, stems, list(side["songs"]))
                for side, stems in ((values, ours), (reference, theirs))
            ]
            known, counts = 0, [songs_with_a_value(side) for side in sets]
            difference = float(stem_mean(sets[0]) - stem_mean(sets[1])) if all(counts) else np.nan
            interval, reason = difference_interval(*sets, seed), too_few(min(counts))
        clear = interval is not None and (interval[0] > 0 or interval[1] < 0)
        result[metric] = {
            "difference": difference,
            "interval_95": interval,
            "reason": reason,
            "songs": known,
            "clear": clear,
        }
    return result
