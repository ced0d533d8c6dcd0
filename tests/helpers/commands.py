"""The real commands, run as a user runs them or within the test's process."""

import contextlib
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


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


def wait_for(process: subprocess.Popen, folder: Path, pattern: str) -> None:
    """Return when a file in `folder` matches `pattern`, or the process has ended."""
    found = False
    while process.poll() is None and not found:
        # The process renames folders while they are listed.
        with contextlib.suppress(FileNotFoundError):
            found = next(folder.glob(pattern), None) is not None
        time.sleep(0.001)
