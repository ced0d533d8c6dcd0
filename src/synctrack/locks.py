"""One writer for a folder: a lock that the system releases when its process ends, however it ends."""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from synctrack.errors import InputError
from synctrack.files import remove_temporaries

try:
    import fcntl
except ModuleNotFoundError:
    # Not on Windows, where folders are not locked.
    fcntl = None

LOCK = ".lock"
PATIENCE = 3.0
"""Seconds that are waited for a lock: the workers of a process that was killed take a moment to end."""


@contextmanager
def locked(folder: str | Path, part: str = "", clear: bool = True) -> Iterator[bool]:
    """Be the only process that writes into a folder, which is made where it is missing.

    The lock is the file `.lock`, which is gone afterwards. A place that cannot be written, or whose file system has no
    locks, is not locked.

    Args:
        folder: to write into.
        part: several processes may hold different parts of one folder at a time, but none of them together with
            one that holds all of it; temporary files are left alone then.
        clear: remove what killed processes left, if the folder is locked.

    Yields:
        Whether the folder is locked: whether no other process can be writing there, or in this part of it.

    Raises:
        InputError: another process holds the folder, or this part of it.
    """
    folder = Path(folder)
    with ExitStack() as held:
        is_locked = held.enter_context(_lock_file(folder / LOCK, shared=bool(part)))
        if part:
            is_locked &= held.enter_context(_lock_file(folder / f"{LOCK}-{part}", shared=False))
        elif clear and is_locked:
            remove_temporaries(folder)
        yield is_locked


@contextmanager
def locked_empty(folder: str | Path, remedy: str) -> Iterator[None]:
    """`locked`, of a folder that is empty or not there.

    Args:
        folder: to write into.
        remedy: what to do where it is not, for the message.

    Raises:
        InputError: it holds files, or another process holds it.
    """
    folder = Path(folder)
    new = not folder.exists()
    try:
        with locked(folder, clear=False):
            if any(path.name != LOCK for path in folder.glob("*")):
                raise InputError(f"{folder}: holds files; {remedy}")
            yield
    except BaseException:
        if new:
            # What came to nothing leaves nothing; a folder that holds something stays.
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def _lock_file(path: Path, shared: bool) -> Iterator[bool]:
    file = _acquire(path, shared)
    try:
        yield file is not None
    finally:
        if file is not None:
            _release(path, file)


def _acquire(path: Path, shared: bool) -> TextIO | None:
    """The open file that holds the lock; None where there are no locks."""
    if fcntl is None:
        return None
    until = time.monotonic() + PATIENCE
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+")
        except OSError:
            # Whoever cannot write here does not disturb others; their writes say what is wrong.
            return None
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                file.close()
                return None
            holder = _holder(file)
            file.close()
            if time.monotonic() > until:
                raise InputError(
                    f"{path.parent}: another process{holder} is writing there; wait for it, or choose another folder"
                ) from error
            time.sleep(0.05)
            continue
        # Another process may have removed the file between its opening and its locking.
        if _is_at(file, path):
            _sign(file)
            return file
        file.close()


def _release(path: Path, file: TextIO) -> None:
    with contextlib.suppress(OSError):
        # The last holder removes the file, while nobody else can hold it.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(file, path):
            path.unlink()
    with contextlib.suppress(OSError), file:
        fcntl.flock(file, fcntl.LOCK_UN)


def _is_at(file: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _sign(file: TextIO) -> None:
    """Say who holds the lock, for the message of others; a full disk does not matter."""
    with contextlib.suppress(OSError):
        file.truncate(0)
        file.write(f"{os.getpid()} on {socket.gethostname()}")
        file.flush()


def _holder(file: TextIO) -> str:
    with contextlib.suppress(OSError, ValueError):
        file.seek(0)
        holder = file.read(100)
        return f" ({holder})" if holder else ""
    return ""
