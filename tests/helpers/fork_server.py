"""Runs the `synctrack` command in forks of one process that has imported all of it, and kills some of them.

A program: reads a request as JSON a line, answers each with a line. A fork starts in milliseconds where the command
would import torch for seconds, so that hundreds of runs can be killed at any point of their work.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

COMMANDS = ("data", "generate", "score", "train")


class ForkServer:
    """The other side: starts the program, and asks it for runs."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=pipe, stdout=pipe, text=True, env=environment
        )

    def run(self, folder: Path, arguments: list[Any], kill_after: float | None = None) -> tuple[int, float]:
        """Run `synctrack` with `arguments` in `folder`; SIGKILL after so many seconds.

        Returns:
            The exit status, -9 where it was killed, and how many seconds it ran. What it prints is in `folder`/log.
        """
        request = {"folder": str(folder), "arguments": [str(a) for a in arguments], "kill_after": kill_after}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        status, seconds = json.loads(self._process.stdout.readline())
        return status, seconds

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=60)


def _serve() -> None:
    import importlib

    import torch

    torch.set_num_threads(1)
    for command in COMMANDS:
        importlib.import_module(f"synctrack.cli.{command}")
    for module in ("synctrack.data.latents.encoding", "synctrack.pipeline", "synctrack.training.run", "scipy.signal"):
        importlib.import_module(module)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        begin = time.monotonic()
        child = os.fork()
        if child == 0:
            _run(request)
        status = _wait(child, begin, request["kill_after"])
        answers.write(json.dumps([status, time.monotonic() - begin]) + "\n")
        answers.flush()


def _wait(child: int, begin: float, kill_after: float | None) -> int:
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if kill_after is not None and time.monotonic() - begin > kill_after:
            os.kill(child, signal.SIGKILL)
            kill_after = None
        time.sleep(0.001)


def _run(request: dict[str, Any]) -> None:
    """In the fork: become the command, and never return."""
    status = 1
    try:
        os.chdir(request["folder"])
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ["SYNCTRACK_CACHE"] = "cache"
        sys.argv = ["synctrack", *request["arguments"]]
        runpy.run_module("synctrack.cli.main", run_name="__main__")
        status = 0
    except SystemExit as stop:
        status = stop.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve()
