"""Files written whole or not at all: to a temporary name beside the target, then renamed."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synctrack.errors import InputError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same suffix); renamed to `path` on success, removed on failure.

    Raises:
        InputError: the folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        # mkstemp creates private files; the result should have the usual permissions.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be written ({reason}); free or choose another place") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def changes(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The first three keys for which two sets of settings differ, with both values; empty if they are the same."""
    keys = [key for key in before | now if before.get(key) != now.get(key)]
    listed = [f"{key} {before.get(key)}, now {now.get(key)}" for key in keys[:3]]
    return ", ".join(listed) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")


def sha256(path: str | Path) -> str:
    """The hexadecimal SHA-256 of a file."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_file_name(name: str, what: str) -> str:
    """`name`, if it is safe as the name of a file in a folder.

    Raises:
        InputError: it is empty, hidden, or would lead out of the folder; `what` names its source.
    """
    if not name or name.startswith(".") or any(c in '/\\:*?"<>|' or not c.isprintable() for c in name):
        raise InputError(f"{what}: {name!r} is not a file name; use letters, digits, spaces, - and _")
    return name
