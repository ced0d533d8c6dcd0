"""What `score_beats` returns, for people: an aligned table, a line of counts, a CSV file."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synctrack.files import atomic_path

METRICS = {
    "IRS (lower is better)": "avg_interval_std",
    "CBS (higher is better)": "mean_beat_ratio",
    "CBD (lower is better)": "avg_error",
    "CBD coverage": "coverage",
}


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def table(result: Mapping[str, Any]) -> str:
    """What `score_beats` or `score_folder` returned, as aligned text."""
    reference = result.get("reference")
    rows = [["protocol", "metric", "score", "95 % interval", "chance", *(["reference"] if reference else [])]]
    for protocol, values in result["protocols"].items():
        for title, name in METRICS.items():
            interval = values["interval_95"].get(name, [None, None])
            row = [protocol, title, _cell(values[name])]
            row += [" to ".join(map(_cell, interval)) if interval[0] is not None else "-"]
            row += [_cell(values["chance_floor"].get(name))]
            row += [_cell(reference["protocols"][protocol][name])] if reference else []
            rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = [
        [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]
    return "\n".join("  ".join(row).rstrip() for row in aligned)


def counts_line(result: Mapping[str, Any]) -> str:
    """How much was scored and what does not show in the scores."""
    counts = result["counts"]
    short = {
        protocol: sum(stem["files_with_fewer_than_two_beats"] for stem in values["stems"].values())
        for protocol, values in result["protocols"].items()
    }
    fewer = ", ".join(f"{count} ({protocol})" for protocol, count in short.items())
    return (
        f"{counts['songs']} songs x {len(result['stems'])} stems; {counts['files']} files, of which silent: "
        f"{counts['silent_files']}, with fewer than two beats: {fewer}; songs not in every stem: "
        f"{counts['songs_not_in_every_stem']}, unreadable files: {counts['unreadable_files']}"
    )


def write_csv(path: Path, result: Mapping[str, Any]) -> None:
    """Write one row for each song; columns are named protocol_value. Raises InputError where that cannot be done."""
    rows = []
    for song in next(iter(result["protocols"].values()))["songs"]:
        row = {"song": song, "duration": result["durations"][song]}
        for protocol, values in result["protocols"].items():
            for name, value in values["songs"][song].items():
                cells = (
                    {f"{name}_{stem}": item for stem, item in value.items()}
                    if isinstance(value, dict)
                    else {name: value}
                )
                row |= {f"{protocol}_{key}": cell for key, cell in cells.items()}
        rows.append(row)
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
