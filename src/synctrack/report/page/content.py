"""What the report page shows: the scores as tables, the songs from worst to best."""

from collections.abc import Mapping, Sequence
from typing import Any

from synctrack.metrics.faults import faults_of
from synctrack.metrics.tables import METRICS, cell, span

PUBLISHED = "paper"
SONG_SCORES = {"CBS": "cbs", "CBD": "cbd", "IRS": "irs", "CBS, tempi folded": "folded_cbs"}


def song_order(result: Mapping[str, Any]) -> list[str]:
    """The songs from worst to best: those with a stem out of time first, then by CBS, those without a value last."""
    songs = next(iter(result["protocols"].values()))["songs"]

    def key(song: str) -> tuple:
        value = songs[song]["cbs"]
        return -len(faults_of(result, song)), value is None, value or 0.0, song

    return sorted(songs, key=key)


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
                    cell(change.get("difference")),
                    span(change.get("interval_95")),
                )
            rows.append(row)
    if "onset_synchrony" in result:
        onsets = result["onset_synchrony"]
        row = {"protocol": "onsets", "title": "onset synchrony (higher)", "score": cell(onsets["value"])}
        row |= {"interval": span(onsets["interval_95"]), "chance": cell(0.0), "mark": ""}
        if reference:
            change = result["comparison"].get("onset_synchrony", {})
            row["reference"] = cell(reference.get("onset_synchrony", {}).get("value"))
            row["difference"] = cell(change.get("difference"))
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
        known = [abs(value) for row in matrix for value in row if value is not None]
        top = max(known, default=1.0) or 1.0
        cells = [
            [{"text": "" if v is None else f"{v:.3f}", "shade": 0.0 if v is None else round(min(abs(v) / top, 1), 3)}
             for v in row]
            for row in matrix
        ]  # fmt: skip
        tables.append({"title": title, "name": name, "rows": cells})
    return tables


def strips(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each metric where its songs lie between the lowest and the highest: the distributions, as places 0 to 1."""
    protocol, values = next(iter(result["protocols"].items()))
    drawn = []
    for title, name in list(METRICS.items())[:5]:
        known = {song: row[name] for song, row in values["songs"].items() if row.get(name) is not None}
        if known:
            low, high = min(known.values()), max(known.values())
            width = (high - low) or 1.0
            dots = [{"song": song, "value": f"{v:.4f}", "x": (v - low) / width} for song, v in known.items()]
            drawn.append({"title": f"{title}, {protocol}", "low": cell(low), "high": cell(high), "dots": dots})
    return drawn


def song_entries(result: Mapping[str, Any], order: Sequence[str], audio: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the page's script needs of each song: its scores and faults as text, beats, and audio where there is any.

    Args:
        result: what `score_folder` returned.
        order: the songs as they are listed.
        audio: of `embed_audio`.
    """
    protocol, values = next(iter(result["protocols"].items()))
    onsets = result.get("onset_synchrony", {}).get("songs", {})
    targets = result.get("reference", {}).get("beats", {}).get(protocol, {})
    entries = []
    for song in order:
        scores = [[title, cell(values["songs"][song][name])] for title, name in SONG_SCORES.items()]
        scores.append(["onset synchrony", cell(onsets.get(song, {}).get("onset_synchrony"))])
        entry = {"name": song, "scores": scores, "audio": audio.get(song)}
        entry["faults"] = [f"{stem} {phrase}" for stem, phrase in faults_of(result, song).items()]
        # Beats of the published protocol lie at two thirds of their times: they would be drawn in the wrong places.
        if protocol != PUBLISHED:
            entry |= {"beats": result["beats"][protocol][song], "targetBeats": targets.get(song, {})}
        entries.append(entry)
    return entries
