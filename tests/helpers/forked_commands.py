"""The real commands by the hundred: a process that has imported them runs each in a fork of itself.

A fork saves the seconds that importing takes. All else is as in a process of its own: arguments, working folder, exit
status, both outputs, a limit of time and one of memory. Run as a program, this file is that process: it reads a request
as a line of JSON and answers with another.
"""

import json
import os
import runpy
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MEMORY = 3 * 2**30
"""Bytes that a command may map beyond what importing maps."""
KILLED = -9
"""Status of a command that SIGKILL ended, which Windows does not have."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: `status` is negative for a signal; `timed_out` where it was killed for its time."""

    status: int
    out: str
    err: str
    seconds: float
    timed_out: bool


def refusal(ended: Ended) -> str:
    """The one line with which a command refused its input, its last beside progress; fails where it did not."""
    assert not ended.timed_out, f"hangs; {ended.err[-2000:]}"
    assert "Traceback" not in ended.err, ended.err[-4000:]
    assert ended.status == 2, f"status {ended.status}: {ended.out[-1000:]} {ended.err[-2000:]}"
    lines = [line for line in ended.err.splitlines() if line.strip() and "%|" not in line]
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1, ended.err[-2000:]
    assert lines[-1] == errors[0], ended.err[-2000:]
    return errors[0]


class Commands:
    """Runs commands in forks of one process; a context manager, which ends that process.

    Args:
        cache: folder for the commands' cache of beats; if relative, in each command's working folder.
        programs: folder of programs that come before those of the system.
    """

    def __init__(self, cache: Path, programs: Path | None = None) -> None:
        self._own = {"SYNCTRACK_CACHE": str(cache)}
        if programs is not None:
            self._own["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"

    def __enter__(self) -> "Commands":
        if sys.platform != "linux":
            # Not above: the process that runs the commands needs no pytest.
            import pytest

            pytest.skip("COMMANDS ARE NOT TESTED BY THE HUNDRED: that needs Linux, for its forks and their memory")
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")} | self._own
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def run(self, folder: Path, command: Sequence[str], seconds: float, outputs: Path, alone: bool = False) -> Ended:
        """Run `command` (`synctrack` or a script of the repository, and its arguments) in `folder`.

        Args:
            folder: the working folder.
            command: as words.
            seconds: after which it is killed, with all that it started.
            outputs: an existing folder for its two outputs, other than `folder`.
            alone: kill the command and not what it started, as the system does where memory is short.
        """
        request = {"command": list(command), "folder": str(folder), "seconds": seconds, "outputs": str(outputs)}
        request["alone"] = alone
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        out, err = ((outputs / name).read_text(errors="replace") for name in ("out", "err"))
        return Ended(answer["status"], out, err, answer["seconds"], answer["timed_out"])


def call(command: Sequence[str]) -> None:
    """Run a command in this process, as its entry point does."""
    program, *rest = command
    if program == "synctrack":
        from synctrack.cli.main import main

        sys.argv = [program, *rest]
        main()
    else:
        sys.argv = [str(ROOT / program), *rest]
        runpy.run_path(sys.argv[0], run_name="__main__")


def _import_all() -> None:
    import torch

    # No thread may exist when the process forks.
    torch.set_num_threads(1)
    import soundfile  # noqa: F401

    import synctrack.cli.check
    import synctrack.cli.checkpoint
    import synctrack.cli.data
    import synctrack.cli.fad
    import synctrack.cli.metrics
    import synctrack.cli.published
    import synctrack.cli.report
    import synctrack.cli.score
    import synctrack.data.latents.encoding
    import synctrack.pipeline
    import synctrack.training.evaluation
    import synctrack.training.run  # noqa: F401


def _child(request: dict[str, Any]) -> None:
    import resource

    os.setsid()
    os.chdir(request["folder"])
    for descriptor, name, flags in ((0, os.devnull, os.O_RDONLY), (1, "out", os.O_WRONLY), (2, "err", os.O_WRONLY)):
        opened = os.open(os.path.join(request["outputs"], name), flags | os.O_CREAT | (os.O_TRUNC if descriptor else 0))
        os.dup2(opened, descriptor)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    status = 0
    try:
        call(request["command"])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        _child(request)
    handle = os.pidfd_open(child)
    ended, _, _ = select.select([handle], [], [], request["seconds"])
    os.close(handle)
    if not ended:
        # With it goes what it started; its own group, so that nothing else is meant.
        (os.kill if request["alone"] else os.killpg)(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    seconds = time.monotonic() - begin
    return {"status": os.waitstatus_to_exitcode(status), "seconds": seconds, "timed_out": not ended}


def serve() -> None:
    """Answer requests until the input ends."""
    _import_all()
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    serve()
