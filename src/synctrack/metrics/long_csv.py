"""Scores as a long CSV: one value a line, with its song, stem, pair of stems, metric and protocol."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synctrack.files import atomic_path

COLUMNS = ("song", "stem", "pair", "metric", "protocol", "value")
STEM_METRICS = {"interval_std": "irs", "num_beats": "num_beats", "tempo": "tempo"}


def long_rows(result: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, str, float]]:
    """Every number of `score_beats`, as COLUMNS names them.

    Rows without song are of the whole folder, rows without stem or pair of the whole song. A pair is `first/second`;
    its CBD has the first as reference, and its lag is above 0 where the second is late.
    """
    for protocol, values in result["protocols"].items():
        for metric in ("irs", "cbs", "cbd", "folded_cbs", "folded_cbd", "coverage"):
            yield "", "", "", metric, protocol, values[metric]
        for stem, row in values["stems"].items():
            yield "", stem, "", "irs", protocol, row["interval_std"]
        for song, row in values["songs"].items():
            yield from _song_rows(song, row, result["stems"], protocol)
    for song, row in result.get("onset_synchrony", {}).get("songs", {}).items():
        yield song, "", "", "onset_synchrony", "", row["onset_synchrony"]
        yield from _pairs(song, "onset_synchrony", row["matrix"], result["stems"], "")
    yield from _distances(result.get("frechet"))


def _distances(frechet: Mapping[str, Any] | None) -> Iterator[tuple]:
    """Of `add_frechet`: the embedding stands for the protocol, and the ends of intervals are values of their own."""
    for stem, row in frechet["distances"].items() if frechet else ():
        for metric in ("fad", "fad_infinity", "kad"):
            yield "", stem, "", metric, frechet["embedding"], row[metric]
            ends = row["interval_95"].get(metric) or (None, None)
            for end, value in zip(("low", "high"), ends, strict=True):
                yield "", stem, "", f"{metric}_{end}", frechet["embedding"], value


def _song_rows(song: str, row: Mapping[str, Any], stems: list[str], protocol: str) -> Iterator[tuple]:
    for metric in ("irs", "cbs", "cbd", "folded_cbs", "folded_cbd", "coverage"):
        yield song, "", "", metric, protocol, row[metric]
    for name, metric in STEM_METRICS.items():
        for stem, value in row[name].items():
            yield song, stem, "", metric, protocol, value
    for metric, matrix in row["pairs"].items():
        yield from _pairs(song, metric, matrix, stems, protocol)


def _pairs(song: str, metric: str, matrix: list, stems: list[str], protocol: str) -> Iterator[tuple]:
    for i, first in enumerate(stems):
        for j, second in enumerate(stems):
            if i != j:
                yield song, "", f"{first}/{second}", metric, protocol, matrix[i][j]


def write_csv(path: Path, result: Mapping[str, Any]) -> None:
    """Write `long_rows`; values that do not exist are left out. Raises InputError where that cannot be done."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(row for row in long_rows(result) if row[-1] is not None)
