"""The processes of a run: one for each device, on one machine or several, which start together and end together."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments import SLURMEnvironment
from lightning_fabric.utilities.distributed import _set_num_threads_if_needed
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from synctrack.config import Config
from synctrack.errors import HEAD_START, InputError, say

GRACE = 2 * HEAD_START
"""Seconds in which the first process can itself report that another one has ended."""
ENDING = 60.0
"""Seconds that it has where the others were interrupted: it has saved by then, and its loggers may upload."""
INTERRUPTED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
LOST = "another process of this run has ended, so that it cannot go on"


class Launcher(_SubprocessScriptLauncher):
    """Starts one process for each further device of this machine; if one of them fails, all end, with one line.

    A command that runs several Trainers, one after the other, starts the processes for the first of them.
    """

    started: ClassVar[list[subprocess.Popen]] = []

    def launch(self, function: Callable[..., Any], *args: Any, trainer: pl.Trainer | None = None, **kwargs: Any) -> Any:
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            self._call_children_scripts()
            Launcher.started.extend(self.procs)
            threading.Thread(target=_watch, args=(self.procs,), daemon=True).start()
        # Each process computes in its part of the processors.
        _set_num_threads_if_needed(num_processes=self.num_processes)
        try:
            return function(*args, **kwargs)
        except BaseException:
            for process in Launcher.started:
                process.terminate()
            raise


class Processes(DDPStrategy):
    """Lightning's DDP with `Launcher`."""

    def _configure_launcher(self) -> None:
        self._launcher = Launcher(self.cluster_environment, self.num_processes, self.num_nodes)


def _watch(processes: list[subprocess.Popen]) -> None:
    """End this process, which may wait for ever for one that has failed."""
    while all(process.poll() in (None, 0) for process in processes):
        time.sleep(0.5)
    failed = {process.poll() for process in processes} - {None, 0}
    time.sleep(ENDING if failed <= set(INTERRUPTED) else GRACE)
    say(f"error: {LOST}; run it again with trainer.resume=last")
    for process in processes:
        process.kill()
    os._exit(1)


def process_settings(config: Config) -> dict[str, Any]:
    """The arguments of a Trainer that decide on its processes.

    Raises:
        InputError: more processes are asked for than a machine can run.
    """
    settings = config.trainer
    devices = settings.devices
    local = os.environ.get("LOCAL_WORLD_SIZE")
    if devices == "auto" and local and "TORCHELASTIC_RUN_ID" in os.environ:
        devices = int(local)
    _require_sensible(devices, settings.accelerator)
    arguments = {"devices": devices, "num_nodes": settings.num_nodes, "strategy": settings.strategy}
    several = settings.num_nodes > 1 or _count(devices, settings.accelerator) > 1
    if settings.strategy == "ddp" or several:
        arguments["strategy"] = Processes()
    if SLURMEnvironment.detect():
        # The job script resumes from last.ckpt; Lightning would queue the job again by itself, from a file of its own.
        arguments["plugins"] = [SLURMEnvironment(auto_requeue=False)]
    return arguments


def _count(devices: Any, accelerator: str) -> int:
    """The devices of this machine that a run uses; 1 where Lightning will refuse them."""
    if isinstance(devices, list | tuple):
        return len(devices)
    if str(devices).lstrip("-").isdigit() and int(devices) >= 0:
        return int(devices)
    if isinstance(devices, str) and "," in devices:
        return len([part for part in devices.split(",") if part.strip()])
    # All of them: `auto` or -1.
    gpus = torch.cuda.device_count() if accelerator in ("auto", "gpu", "cuda") else 0
    return max(1, gpus)


def _require_sensible(devices: Any, accelerator: str) -> None:
    gpus = torch.cuda.device_count()
    if accelerator in ("auto", "gpu", "cuda") and gpus:
        return
    most = max(2, os.cpu_count() or 1)
    if _count(devices, accelerator) > most:
        raise InputError(f"trainer.devices: {devices} are more than the {most} processes that this machine can run")


def lost_process(error: BaseException) -> bool:
    """Whether an error says that another process of the run is gone."""
    if isinstance(error, torch.distributed.DistError):
        return True
    words = ("by peer", "gloo", "NCCL", "Broken pipe", "Socket Timeout", "connection reset", "Connection reset")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
