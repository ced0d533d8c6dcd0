"""The trainings of `ablation.py`: each up to a step, resumed where it was, its EMA weights kept at that step."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from ablation_setup import ROOT, Setup
from synctrack.checkpoint.commands import write_safetensors
from synctrack.checkpoint.files import read_file
from synctrack.errors import InputError, Interrupted
from synctrack.metrics.parallel import processors


def train_to(setup: Setup, variant: str, seed: int, step: int) -> Path:
    """The file of a variant's EMA weights after `step` steps, trained as far as it is not yet.

    Raises:
        InputError: the training failed, or went beyond this step without leaving its weights.
    """
    folder = setup.folder(variant, seed)
    weights, run_dir = folder / "weights" / f"step_{step:05d}.safetensors", folder / "training"
    if weights.is_file():
        return weights
    last = run_dir / "checkpoints" / "last.ckpt"
    reached = _reached(last)
    if reached > step:
        raise InputError(f"{last}: is at step {reached}, and {weights} is missing; remove {folder} to train it again")
    if reached < step:
        resume = "last" if last.is_file() else "null"
        own = [f"run_dir={run_dir}", f"seed={seed}", f"trainer.max_steps={step}", f"trainer.resume={resume}"]
        run_training(setup.files(variant), [*setup.pairs, *setup.data_pairs, *_how(setup), *own], setup.devices)
        if _reached(last) != step:
            raise InputError(f"{run_dir}: its training ended before step {step}; run this command again to resume")
    write_safetensors(read_file(last), weights, small=True)
    return weights


def run_training(files: Sequence[Path], pairs: Sequence[str], devices: int) -> None:
    """Run train_synctrack.py; a signal to stop ends it as well, with its last checkpoint kept.

    Raises:
        InputError: it ended with an error.
        Interrupted: by SIGTERM.
    """
    command = [sys.executable, ROOT / "train_synctrack.py", "--config", *files, *pairs]
    # Two processes of one thread are quicker on two cores than one of two.
    environment = {"OMP_NUM_THREADS": str(max(1, processors() // devices)), **os.environ}
    process = subprocess.Popen([str(part) for part in command], env=environment)

    def stop(number: int, _: FrameType | None) -> None:
        raise Interrupted(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        status = process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
        if process.poll() is None:
            process.terminate()
            process.wait()
    if status:
        raise InputError(f"train_synctrack.py ended with status {status}, see above; run this command again to resume")


def _how(setup: Setup) -> list[str]:
    batch = setup.batch_size // setup.devices
    devices = [f"trainer.devices={setup.devices}", f"trainer.accelerator={setup.accelerator}"]
    return [*devices, f"data.params.batch_size={batch}", f"data.params.path.latents={setup.latents}"]


def _reached(last: Path) -> int:
    return (read_file(last).step or 0) if last.is_file() else 0
