"""Files written whole or not at all, to a temporary name beside the target, then renamed; and which files are safe."""

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synctrack import bounds
from synctrack.errors import InputError

TEMPORARY = ".writing-"
"""How the names of files begin that are not complete; what a killed process leaves of them can be removed."""


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same suffix); renamed to `path` on success, removed on failure.

    Where `path` is a symbolic link, the file that it leads to is written and the link stays.

    Raises:
        InputError: `path` is a folder, a device or another thing that is no ordinary file; the folder cannot be made or
            written, or the disk is full.
    """
    temporary = None
    try:
        target = _target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, suffix=target.suffix, dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        # mkstemp creates private files; the result should have the usual permissions.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be written ({reason}); free or choose another place") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _target(path: str | Path) -> Path:
    """The file that a name leads to, links followed, if it is one that may be replaced or does not exist."""
    if "\0" in str(path):
        raise InputError(f"{str(path)!r}: is not the name of a file; leave out the NUL character")
    target = Path(os.path.realpath(path))
    if target.exists():
        require_ordinary(target, path)
    return target


def require_ordinary(file: Path, named: str | Path | None = None) -> None:
    """Raise InputError where there is something else than an ordinary file, such as a folder, a device or a pipe.

    Opening one of those may wait for ever, read without end, or destroy it. What does not exist passes.

    Args:
        file: is looked at; links are followed.
        named: how the message calls it, if not by its path.
    """
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, a pipe or a socket"
        raise InputError(f"{file if named is None else named}: is {kind}, not an ordinary file; name another")


def remove_temporaries(folder: str | Path) -> None:
    """Remove what killed processes left of files below a folder. No other process may be writing there."""
    for path in Path(folder).rglob(f"{TEMPORARY}*"):
        if path.is_file() and not path.is_symlink():
            with contextlib.suppress(OSError):
                path.unlink()


def changes(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The first three keys for which two sets of settings differ, with both values; empty if they are the same."""
    keys = [key for key in before | now if before.get(key) != now.get(key)]
    listed = [f"{key} {before.get(key)}, now {now.get(key)}" for key in keys[:3]]
    return ", ".join(listed) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def write_text(path: str | Path, text: str) -> None:
    """Write text in UTF-8, its line ends as they are on every system, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def sha256(path: str | Path) -> str:
    """The hexadecimal SHA-256 of a file; raises InputError where `path` is no ordinary file."""
    require_ordinary(Path(path))
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_file_name(name: str, what: str) -> str:
    """`name`, if it is safe as the name of a file in a folder.

    Raises:
        InputError: see `bounds.check_file_name`; `what` names its source.
    """
    try:
        bounds.check_file_name(what, name)
    except ValueError as error:
        raise InputError(str(error)) from error
    return name
