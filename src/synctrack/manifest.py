"""The manifest of an output folder: the settings that its content was created with, so that no two are mixed."""

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synctrack.documents import LARGEST_LIST, read_json
from synctrack.errors import InputError
from synctrack.files import changes, write_json

MANIFEST = "manifest.json"
SONG_FILE = "song.json"
"""In a song's folder: how it was made."""


def installed_versions(*packages: str) -> dict[str, str]:
    """The versions of those of these packages that are installed, by name."""
    versions = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def claim(
    folder: str | Path,
    settings: dict[str, Any],
    remedy: str,
    key: str = "settings",
    describe: Callable[[dict[str, Any], dict[str, Any]], str] = changes,
) -> None:
    """Start a manifest in a new folder, or check that an earlier run used the same settings.

    Args:
        folder: where files will be written.
        settings: everything that determines their content, as JSON.
        remedy: what the user can do if the folder cannot be used.
        key: the manifest's entry that holds the settings.
        describe: how to list the differences of two settings.

    Raises:
        InputError: the folder holds files of another origin, a damaged manifest, or files that were created with
            different settings.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        # Hidden files do not count: another process may be writing this very manifest.
        if not (folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir())):
            write_json(path, {"complete": False, key: settings})
            return
        # It may have been written since.
        if not path.is_file():
            raise InputError(f"{folder}: holds files but no {MANIFEST}; {remedy}")
    try:
        before = read_json(path, {key: {str: object}}, LARGEST_LIST)[key]
    except InputError as error:
        raise InputError(f"{path}: is damaged or not a manifest of this kind; move it away or {remedy}") from error
    changed = describe(before, json.loads(json.dumps(settings)))
    if changed:
        raise InputError(f"{folder}: was created with different settings ({changed}); {remedy}")
