"""What the report page shows of the scores: tables, matrices and distributions, as text for its template."""

from collections.abc import Mapping
from typing import Any

from synctrack.metrics.tables import METRICS, cell, frechet_title, onset_mark, signed, span


def metric_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The table of metrics: one row for each protocol and metric, cells as text."""
    rows, reference = [], result.get("reference")
    for protocol, values in result["protocols"].items():
        for title, name in METRICS.items():
            row = {"protocol": protocol, "title": title, "score": cell(values[name])}
            row["interval"] = span(values["interval_95"].get(name))
            row["chance"] = cell(values["chance_floor"].get(name))
            row["mark"] = values["marks"].get(name, "")
            if reference:
                change = result["comparison"]["protocols"][protocol].get(name, {})
                row["reference"] = cell(reference["protocols"][protocol][name])
                row["difference"], row["difference_interval"] = (
                    signed(change.get("difference")),
                    span(change.get("interval_95")),
                )
            rows.append(row)
    if "onset_synchrony" in result:
        onsets = result["onset_synchrony"]
        row = {"protocol": "onsets", "title": "onset synchrony (higher)", "score": cell(onsets["value"])}
        row |= {"interval": span(onsets["interval_95"]), "chance": cell(0.0), "mark": onset_mark(onsets)}
        if reference:
            change = result["comparison"].get("onset_synchrony", {})
            row["reference"] = cell(reference.get("onset_synchrony", {}).get("value"))
            row["difference"] = signed(change.get("difference"))
            row["difference_interval"] = span(change.get("interval_95"))
        rows.append(row)
    return rows


def matrices(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The stem x stem matrices, each with a title and cells of text and a shade from 0 to 1."""
    protocol, values = next(iter(result["protocols"].items()))
    found = [(f"{name.upper() if name != 'lag' else 'lag (s)'}, {protocol}", values["matrices"][name], name)
             for name in ("cbs", "cbd", "lag")]  # fmt: skip
    if "onset_synchrony" in result:
        found.append(("onset synchrony", result["onset_synchrony"]["matrix"], "onsets"))
    tables = []
    for title, matrix, name in found:
        form = "+.3f" if name == "lag" else ".3f"
        known = [abs(value) for row in matrix for value in row if value is not None]
        top = max(known, default=1.0) or 1.0
        cells = [
            [{"text": "" if v is None else f"{v:{form}}", "shade": 0.0 if v is None else round(min(abs(v) / top, 1), 3)}
             for v in row]
            for row in matrix
        ]  # fmt: skip
        tables.append({"title": title, "name": name, "rows": cells})
    return tables


def strips(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each metric where its songs lie between the lowest and the highest: the distributions, as places 0 to 1.

    Each has a line of dots for the folder and, where there is one, for the reference.
    """
    protocol = next(iter(result["protocols"]))
    sides = {"folder": result, **({"reference": result["reference"]} if result.get("reference") else {})}
    drawn = []
    for title, name in list(METRICS.items())[:5]:
        known = {
            side: {song: row[name] for song, row in scores["protocols"][protocol]["songs"].items()}
            for side, scores in sides.items()
        }
        values = [value for songs in known.values() for value in songs.values() if value is not None]
        if values:
            low, width = min(values), (max(values) - min(values)) or 1.0
            lines = [
                {"side": side, "dots": [
                    {"song": song, "value": f"{v:.4f}", "x": (v - low) / width} for song, v in songs.items()
                    if v is not None
                ]}
                for side, songs in known.items()
            ]  # fmt: skip
            strip = {"title": f"{title}, {protocol}", "low": cell(low), "high": cell(max(values)), "lines": lines}
            drawn.append(strip)
    return drawn


def frechet_rows(result: Mapping[str, Any]) -> dict[str, Any] | None:
    """The table of Fréchet distances: `title`, `rows` and `notes`; None where they were not asked for."""
    if "frechet" not in result:
        return None
    # Here and not above: it is rarely asked for.
    from synctrack.metrics.fad.folders import frechet_cells, frechet_notes

    distances = result["frechet"]["distances"]
    rows = {name: frechet_cells(row) for name, row in distances.items()}
    return {"title": frechet_title(result), "rows": rows, "notes": frechet_notes(distances)}


def truth_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """The beats against those that are known, as rows of text; none where there are none."""
    protocols = result.get("truth", {}).get("protocols", {})
    return [
        [protocol, stem, *map(cell, measures.values())]
        for protocol, values in protocols.items()
        for stem, measures in values["stems"].items()
    ]
