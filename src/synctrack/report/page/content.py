"""What the report page shows: the scores as tables, the songs from worst to best, and the audio that fits."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from synctrack.audio.files import read_channels
from synctrack.metrics.beats.layout import Layout
from synctrack.metrics.tables import METRICS, cell, span

MEGABYTE = 2**20
BASE64_GROWTH = 4 / 3
PUBLISHED = "paper"


def faults_of(result: Mapping[str, Any], song: str) -> dict[str, Mapping[str, Any]]:
    """Stem → what `check_song` said of it, of the stems of a song that are out of time or of another song."""
    timing = result.get("timing", {}).get(song, {})
    return {stem: found for stem, found in timing.items() if found["finding"] not in ("together", "cannot tell")}


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


def encode(path: Path) -> tuple[bytes, int, float]:
    """A file as FLAC, its sample rate and its seconds; channels are averaged.

    Raises:
        InputError: the file cannot be read.
    """
    file, buffer = read_channels(path), io.BytesIO()
    soundfile.write(buffer, np.clip(file.samples.mean(axis=1), -1, 1), file.sample_rate, "PCM_16", format="FLAC")
    return buffer.getvalue(), file.sample_rate, len(file.samples) / file.sample_rate


def choose(order: Sequence[str]) -> list[str]:
    """The songs in the order in which audio is embedded: worst, best, middle, and so on between."""
    left, chosen = list(order), []
    while left:
        turn = len(chosen) % 3
        chosen.append(left.pop((0, len(left) - 1, len(left) // 2)[turn]))
    return chosen


def embed_audio(
    order: Sequence[str], folder: Layout | None, reference: Layout | None, max_mb: float
) -> tuple[dict[str, Any], int]:
    """Song → `stems` and `target`, stem → FLAC in base 64, of the songs that fit into `max_mb` megabytes.

    Returns:
        The audio, and how many songs were left out.

    Raises:
        InputError: a file cannot be read.
    """
    if folder is None:
        return {}, len(order)
    audio, room = {}, max_mb * MEGABYTE
    for song in choose(order):
        sides = {"stems": folder, **({"target": reference} if reference else {})}
        encoded = {
            side: {stem: encode(files[song])[0] for stem, files in layout.stems.items() if song in files}
            for side, layout in sides.items()
        }
        size = sum(len(data) for stems in encoded.values() for data in stems.values()) * BASE64_GROWTH
        if size <= room:
            room -= size
            audio[song] = {
                side: {stem: base64.b64encode(data).decode() for stem, data in stems.items()}
                for side, stems in encoded.items()
                if stems
            }
        elif room < 0.02 * max_mb * MEGABYTE:
            break
    return audio, len(order) - len(audio)


def song_entries(result: Mapping[str, Any], order: Sequence[str], audio: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the page's script needs of each song: scores, findings, beats and audio."""
    protocol, values = next(iter(result["protocols"].items()))
    entries = []
    for song in order:
        row = values["songs"][song]
        entries.append(
            {
                "name": song,
                "scores": {name: cell(row[name]) for name in ("irs", "cbs", "cbd", "folded_cbs", "folded_cbd")},
                "onset_synchrony": cell(
                    result.get("onset_synchrony", {}).get("songs", {}).get(song, {}).get("onset_synchrony")
                ),
                "faults": {stem: _fault(found) for stem, found in faults_of(result, song).items()},
                "beats": {} if protocol == PUBLISHED else result["beats"][protocol][song],
                "seconds": result["durations"][song],
                "audio": audio.get(song),
            }
        )
    return entries


def _fault(found: Mapping[str, Any]) -> str:
    if found["finding"] == "offset":
        return f"{'late' if found['offset_ms'] > 0 else 'early'} by {abs(found['offset_ms']):.0f} ms"
    if found["finding"] == "drifting":
        return f"drifting by {found['drift_percent']:+.2f} %"
    return str(found["finding"])
