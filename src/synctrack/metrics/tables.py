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
    return _aligned(rows, left=2)


def summary_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Several results of `score_folder` as one table: a row for each protocol and name, with 95 % intervals."""
    rows = [["protocol", "", *(title for title in METRICS)]]
    for protocol in next(iter(results.values()))["protocols"]:
        for name, result in results.items():
            values = result["protocols"][protocol]
            cells = []
            for key in METRICS.values():
                low, high = values["interval_95"].get(key, [None, None])
                cells.append(_cell(values[key]) + (f" ({_cell(low)} to {_cell(high)})" if low is not None else ""))
            rows.append([protocol, name, *cells])
    return _aligned(rows, left=2)


def _aligned(rows: list[list[str]], left: int) -> str:
    """Rows of cells as lines, the first `left` columns aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


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
