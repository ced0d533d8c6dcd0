"""What was made and how: the facts of a folder's manifest.json and of each song's song.json, for the page."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synctrack.documents import read_json
from synctrack.errors import InputError
from synctrack.manifest import MANIFEST, SONG_FILE
from synctrack.metrics.beats.layout import Layout

LONGEST = 400  # characters of a value; longer ones are cut
# What says nothing of how songs were made, or stands on the page already.
LEFT_OUT = ("clips", "complete", "format", "stems", "files", "beats", "num_samples")


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, {str: object})
    except InputError:
        return {}


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _flat(values: Mapping[str, Any], before: str = "") -> list[list[str]]:
    """Names, with those of the sections that they are in before them, and values, as text."""
    rows = []
    for key, value in values.items():
        if isinstance(value, dict) and value:
            rows += _flat(value, f"{before}{key}.")
        elif before or key not in LEFT_OUT:
            rows.append([f"{before}{key}", _text(value)])
    return rows


def folder_facts(folder: Path | None) -> list[list[str]]:
    """Name and value of each fact of a folder's manifest; none where there is no manifest."""
    return _flat(_read(folder / MANIFEST)) if folder is not None else []


def song_facts(layout: Layout | None, song: str) -> list[list[str]]:
    """Name and value of each fact of a song's `song.json`; none where there is none."""
    if layout is None or layout.kind == "stems":
        return []
    file = next((files[song] for files in layout.stems.values() if song in files), None)
    return _flat(_read(file.parent / SONG_FILE)) if file is not None else []
