"""Ctrl-C and SIGTERM: a training ends after a checkpoint, an evaluation at once, and both say how to continue."""

import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from synctrack.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)
REPEATED = 3.0
"""Seconds within which a signal counts once: a terminal and a launcher may both send it."""


class Signals(Callback):
    """Turns Ctrl-C and SIGTERM into `Interrupted`: in training after the step in which they arrive, else at once.

    A second signal, some seconds later, ends a training step at once as well.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.since = 0.0
        self.waits = False
        self._cpu_group: Any = None

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Handle the signals inside this context, and as before after it; only in a process's main thread.

        After an interruption they are ignored: the process is about to end, and has a line to say.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        self._install()
        try:
            yield
        except Interrupted:
            before = dict.fromkeys(SIGNALS, signal.SIG_IGN)
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._install()
        self.waits = True
        # Lightning would exchange its own note of a signal before each batch, for which every GPU has to wait.
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None

    def on_validation_start(self, *_: Any) -> None:
        self._install()
        self.waits = False

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.waits = trainer.state.fn == "fit"

    def on_train_end(self, *_: Any) -> None:
        self.waits = False

    def on_test_start(self, *_: Any) -> None:
        self._install()

    def received_by_any(self, trainer: pl.Trainer) -> int | None:
        """The signal that this process or another one of the run has received; every process must ask."""
        if trainer.world_size == 1:
            return self.received
        # Exchanged on the CPU, so that no GPU has to finish its work for it.
        if self._cpu_group is None:
            self._cpu_group = torch.distributed.new_group(backend="gloo")
        shared = torch.tensor([self.received or 0])
        torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MAX, group=self._cpu_group)
        return int(shared) or None

    def _install(self) -> None:
        # Lightning puts its own handlers in front of these when it starts to run; theirs lead to no checkpoint.
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._handle)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.waits and self.received is None:
            self.received, self.since = number, time.monotonic()
        elif not self.waits or time.monotonic() - self.since > REPEATED:
            raise Interrupted(number)


def resume_command(argv: Sequence[str]) -> str:
    """The command line that resumes the run that `argv` started."""
    program = ["python", argv[0]] if argv[0].endswith(".py") else [Path(argv[0]).name]
    kept = [word for word in argv[1:] if not word.startswith("trainer.resume=")]
    words = [*program, *kept, "trainer.resume=last"]
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
