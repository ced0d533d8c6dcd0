"""What `score_beats` returns, for people: aligned tables, lines of what else there is to know."""

from collections.abc import Mapping, Sequence
from typing import Any

PUBLISHED_NOTE = "published: the decoder is told 150 frames per second, there are 100; times come out at 2/3"
METRICS = {
    "IRS (s, lower is better)": "irs",
    "CBS (higher is better)": "cbs",
    "CBD (half beats, lower)": "cbd",
    "CBS, tempi folded": "folded_cbs",
    "CBD, tempi folded": "folded_cbd",
    "CBD coverage": "coverage",
}
SUMMARY = {"IRS (lower is better)": "irs", "CBS (higher is better)": "cbs", "CBD (lower is better)": "cbd"}


def cell(value: float | None) -> str:
    """A number in four decimals, `-` where there is none."""
    return "-" if value is None else f"{value:.4f}"


def span(interval: Sequence[float] | None) -> str:
    """An interval as text, `-` where there is none."""
    return "-" if interval is None or interval[0] is None else f"{cell(interval[0])} to {cell(interval[1])}"


def table(result: Mapping[str, Any]) -> str:
    """What `score_beats` or `score_folder` returned, as aligned text."""
    reference = result.get("reference")
    head = ["protocol", "metric", "score", "95 % interval", "chance", *(["reference"] if reference else [])]
    rows = [[*head, *(["difference", "95 % interval"] if reference else []), ""]]
    for protocol, values in result["protocols"].items():
        for title, name in METRICS.items():
            row = [protocol, title, cell(values[name]), span(values["interval_95"].get(name))]
            row += [cell(values["chance_floor"].get(name))]
            if reference:
                change = result["comparison"]["protocols"][protocol].get(name, {})
                row += [cell(reference["protocols"][protocol][name])]
                row += [signed(change.get("difference")), span(change.get("interval_95"))]
            mark = values["marks"].get(name)
            rows.append([*row, f"! {mark}" if mark else ""])
    if "onset_synchrony" in result:
        rows.append(_onset_row(result))
    return aligned(rows, left=2)


def _onset_row(result: Mapping[str, Any]) -> list[str]:
    onsets = result["onset_synchrony"]
    row = ["onsets", "onset synchrony (higher)", cell(onsets["value"]), span(onsets["interval_95"]), cell(0.0)]
    if result.get("reference"):
        change = result["comparison"].get("onset_synchrony", {})
        row += [cell(result["reference"].get("onset_synchrony", {}).get("value"))]
        row += [signed(change.get("difference")), span(change.get("interval_95"))]
    mark = onset_mark(onsets)
    return [*row, f"! {mark}" if mark else ""]


def onset_mark(onsets: Mapping[str, Any]) -> str:
    """Why an onset synchrony means little, as `marks` of the other metrics; its chance is 0."""
    low = (onsets["interval_95"] or [onsets["value"]])[0]
    return "not better than chance" if low is not None and low <= 0 else ""


def signed(value: float | None) -> str:
    """A difference in four decimals with its sign, `-` where there is none."""
    return "-" if value is None else f"{value:+.4f}"


def summary_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Several results of `score_folder` as one table: a row for each protocol and name, with 95 % intervals."""
    titles = {**SUMMARY, "CBD coverage": "coverage"}
    rows = [["protocol", "", *titles]]
    for protocol in next(iter(results.values()))["protocols"]:
        for name, result in results.items():
            values = result["protocols"][protocol]
            cells = []
            for key in titles.values():
                interval = values["interval_95"].get(key)
                cells.append(cell(values[key]) + (f" ({span(interval)})" if interval else ""))
            rows.append([protocol, name, *cells])
    return aligned(rows, left=2)


def stem_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Per stem: its own IRS, and how many of its files fall out because they are silent or short of beats."""
    rows = [["protocol", "stem", "IRS", "interval (s)", "files", "silent", "under 2 beats", "half/double tempo"]]
    for protocol, values in result["protocols"].items():
        for stem, row in values["stems"].items():
            suspected = sum(stem in levels for levels in values["suspected_levels"].values())
            counts = [row["files"], row["silent_files"], row["files_with_fewer_than_two_beats"], suspected]
            rows.append([protocol, stem, cell(row["interval_std"]), cell(row["interval_mean"]), *map(str, counts)])
    return rows


def stem_table(result: Mapping[str, Any]) -> str:
    """`stem_rows` as aligned text."""
    return aligned(stem_rows(result), left=2)


def frechet_title(result: Mapping[str, Any]) -> str:
    """What stands above the table of Fréchet distances."""
    return f"Fréchet audio distances to {result['reference']['folder']}, embedding {result['frechet']['embedding']}"


def truth_table(truth: Mapping[str, Any]) -> str:
    """What `score_truth` returned, as aligned text."""
    rows = [["protocol", "beats against truth", "F-measure", "CMLt", "AMLt", "information gain"]]
    for protocol, values in truth["protocols"].items():
        rows += [[protocol, stem, *map(cell, measures.values())] for stem, measures in values["stems"].items()]
    missing = truth["missing"]
    line = f"\n{len(missing)} songs have no known beats, such as {missing[0]}" if missing else ""
    return aligned(rows, left=2) + line


def matrix_table(stems: Sequence[str], matrix: Sequence[Sequence[float | None]], title: str) -> str:
    """A stem x stem matrix as aligned text, `title` above its stems."""
    rows = [[title, *stems]]
    rows += [[stem, *("" if i == j else _short(v) for j, v in enumerate(matrix[i]))] for i, stem in enumerate(stems)]
    return aligned(rows, left=1)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def notes(result: Mapping[str, Any]) -> list[str]:
    """Lines under the table: what protocols mean, why numbers are missing, how the reference compares."""
    lines = [f"paper: {PUBLISHED_NOTE}"] if "paper" in result["protocols"] else []
    first = next(iter(result["protocols"].values()))
    reasons = first["reasons"]
    given = {name: reason for name, reason in reasons["interval_95"].items() if name in ("irs", "cbs", "cbd")}
    if given:
        one = len(set(given.values())) == 1
        lines += [f"no interval: {next(iter(given.values()))}"] if one else []
        lines += [] if one else [f"no interval of {name.upper()}: {reason}" for name, reason in given.items()]
    if reasons["chance_floor"]:
        lines.append(f"no chance level: {reasons['chance_floor']}")
    lines += [f"reference: {note}" for note in result.get("comparison", {}).get("notes", [])]
    for protocol, values in result["protocols"].items():
        suspected = values["suspected_levels"]
        if suspected:
            song, levels = next(iter(suspected.items()))
            stem, ratio = next(iter(levels.items()))
            count = sum(map(len, suspected.values()))
            lines.append(
                f"{protocol}: {count} stems in {len(suspected)} songs seem to be followed at half or double tempo, "
                f"such as {stem} in {song} at {ratio} of the song's"
            )
    problems: dict[str, list[str]] = {}
    for song, row in result.get("onset_synchrony", {}).get("songs", {}).items():
        for stem, reason in row["problems"].items():
            problems.setdefault(reason.partition(":")[0], []).append(f"{stem} in {song}")
    for reason, stems in problems.items():
        lines.append(f"onsets: {len(stems)} stems are {reason}: {', '.join(stems[:3])}{' …' if stems[3:] else ''}")
    return lines


def aligned(rows: Sequence[Sequence[str]], left: int) -> str:
    """Rows of cells as lines, the first `left` columns (and marks) aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            text.ljust(width) if number < left or text.startswith("!") else text.rjust(width)
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
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
