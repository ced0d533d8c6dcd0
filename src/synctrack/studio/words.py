"""The scores of one song: in words, and as numbers with their names."""

from collections.abc import Mapping
from typing import Any

from synctrack.metrics.faults import fault

SCORES = {"CBS": "cbs", "CBD": "cbd", "IRS": "irs"}


def timing_in_words(findings: Mapping[str, Mapping[str, Any]]) -> str:
    """Which stems are together, and what is wrong with the others: "bass and drums together, piano is late by 0.04 s".

    Args:
        findings: stem -> `StemTiming.as_dict`.
    """
    together = [stem for stem, found in findings.items() if found["finding"] == "together"]
    parts = [f"{_listed(together)} together"] if len(together) > 1 else []
    parts += [f"{stem} {phrase}" for stem, found in findings.items() if (phrase := fault(found))]
    for stem, found in findings.items():
        if found["finding"] == "cannot tell":
            parts.append(f"{stem} cannot be told ({found['reason']})")
    return ", ".join(parts) or "nothing can be told of its timing"


def score_lines(result: Mapping[str, Any]) -> list[str]:
    """The scores of the one song of a result of `score_folder`, in words first."""
    song = next(iter(result["durations"]))
    lines = [timing_in_words(result.get("timing", {}).get(song, {}))]
    synchrony = result.get("onset_synchrony", {}).get("songs", {}).get(song, {}).get("onset_synchrony")
    values = {"onset synchrony": synchrony}
    rows = next(iter(result["protocols"].values()))["songs"][song]
    values |= {title: rows.get(name) for title, name in SCORES.items()}
    known = [f"{title} {value:.3f}" for title, value in values.items() if value is not None]
    return [*lines, " · ".join(known)] if known else lines


def stem_beats(result: Mapping[str, Any]) -> dict[str, list[float]]:
    """Stem -> its beats in seconds, of the one song of a result of `score_folder`."""
    songs = next(iter(result["beats"].values()))
    return next(iter(songs.values()))


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
