"""The real commands, run as a user runs them or within the test's process."""

import contextlib
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0
"""Seconds after which what has not happened never will; far above what it takes, as the machine may be busy."""


def run_in(folder: Path, script: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess:
    """Run one of the commands in `folder`, as a user would: run_in(folder, "train_synctrack.py", "--config", ...)."""
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert not check or result.returncode == 0, result.stderr[-4000:]
    return result


def run_here(folder: Path, script: str, *arguments: object) -> None:
    """As `run_in`, but in this process, which is faster; with one thread, so that equal runs give equal bits."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        torch.set_num_threads(1)
        try:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        finally:
            torch.set_num_threads(threads)


def only_error(err: str) -> str:
    """The one line with which a command refused its input, from what it printed on stderr; fails if there is more."""
    assert "Traceback" not in err, err[-4000:]
    (line,) = (line for line in err.splitlines() if line.startswith("error: "))
    return line


@contextlib.contextmanager
def ending(process: subprocess.Popen) -> Iterator[subprocess.Popen]:
    """Kill a process in the end if it still runs, whatever has failed; a context manager.

    A process that was started with a session of its own goes with all that it started.
    """
    try:
        yield process
    finally:
        if hasattr(os, "killpg") and process.poll() is None and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()


def wait_for(process: subprocess.Popen, folder: Path, pattern: str, seconds: float = PATIENCE) -> None:
    """Return when a file in `folder` matches `pattern`, or the process has ended; fail after so many seconds."""
    found, end = False, time.monotonic() + seconds
    while process.poll() is None and not found:
        assert time.monotonic() < end, f"{folder}: nothing matches {pattern}"
        # The process renames folders while they are listed.
        with contextlib.suppress(FileNotFoundError):
            found = next(folder.glob(pattern), None) is not None
        time.sleep(0.001)
