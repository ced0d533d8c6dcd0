"""Stems that are out of time, in words: "piano is late by 0.25 s in song Groove00003"."""

from collections.abc import Mapping
from typing import Any

LATE = {True: "late", False: "early"}
SLOW = {True: "slow", False: "fast"}


def fault(finding: Mapping[str, Any]) -> str | None:
    """What is wrong with a stem, to be put after its name; None for one that is together or of which nothing is known.

    Args:
        finding: `StemTiming.as_dict` of it.
    """
    offset, drift = finding["offset_ms"], finding["drift_percent"]
    if finding["finding"] == "offset":
        return f"is {LATE[offset > 0]} by {abs(offset) / 1000:.3g} s"
    if finding["finding"] == "drifting":
        return f"runs {SLOW[drift > 0]} by {abs(drift):.2f} %"
    return "seems to be from another song" if finding["finding"] == "other song" else None


def faults_of(result: Mapping[str, Any], song: str) -> dict[str, str]:
    """Stem → `fault`, of the stems of a song that have one.

    Args:
        result: what `score_folder` returned.
        song: one of its songs.
    """
    found = {stem: fault(finding) for stem, finding in result.get("timing", {}).get(song, {}).items()}
    return {stem: phrase for stem, phrase in found.items() if phrase}


def _size(finding: Mapping[str, Any]) -> float:
    """For sorting: milliseconds of an offset, those that a drift amounts to in 10 s, or a second for another song."""
    if finding["finding"] == "offset":
        return abs(finding["offset_ms"])
    return 100 * abs(finding["drift_percent"]) if finding["finding"] == "drifting" else 1000.0


def out_of_time(result: Mapping[str, Any], most: int = 5) -> list[str]:
    """The stems most out of time by name, one line each, and the songs of lowest CBS."""
    timing = result.get("timing", {})
    faults = [
        (_size(timing[song][stem]), f"{stem} {phrase} in song {song}")
        for song in timing
        for stem, phrase in faults_of(result, song).items()
    ]
    lines = [line for _, line in sorted(faults, reverse=True)[:most]]
    if len(faults) > most:
        lines.append(f"… and {len(faults) - most} more stems out of time: synctrack check lists them")
    songs = next(iter(result["protocols"].values()))["songs"]
    known = sorted((row["cbs"], song) for song, row in songs.items() if row["cbs"] is not None)
    if len(known) > 3:
        lines.append("lowest CBS: " + ", ".join(f"{song} ({value:.3f})" for value, song in known[:3]))
    return lines
