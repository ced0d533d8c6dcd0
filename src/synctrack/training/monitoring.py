"""What a run shows of itself: songs per second, and audio and pictures beside the curves of its loggers."""

import json
import logging
import time
import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from synctrack.audio.files import peak_gain
from synctrack.config import Config
from synctrack.errors import InputError, is_first_process, needs_extra
from synctrack.files import write_json

WANDB = "wandb.json"
"""In the run folder: the name under which Weights & Biases knows the run."""
ADVICE = (
    ".*does not have many workers.*",
    ".*dataloader is not resumable.*",
    ".*smaller than the logging interval.*",
    ".*in eval mode at the start of training.*",
    ".*Checkpoint directory.*exists and is not empty.*",
    ".*'pin_memory' argument is set as true but no accelerator.*",
    # Values of an epoch that are logged without it are sums over all processes already.
    ".*It is recommended to use .* when logging on epoch level in distributed setting.*",
    ".*LeafSpec.* is deprecated.*",
    # Without validation data.
    ".*across ranks is zero.*",
)
"""Warnings on what our own samplers, seeds and loggers handle, and on Lightning's use of torch."""


def start_logging() -> None:
    """Log to the console as a script does, from the first process of a run alone, without Lightning's advice."""
    first = is_first_process()
    logging.basicConfig(level=logging.INFO if first else logging.ERROR, format="%(message)s")
    for chatty in ("pytorch_lightning", "lightning_fabric", "lightning"):
        for name in (chatty, *(name for name in logging.root.manager.loggerDict if name.startswith(f"{chatty}."))):
            logging.getLogger(name).setLevel(logging.WARNING if first else logging.ERROR)
    if not first:
        warnings.simplefilter("ignore")
    for advice in ADVICE:
        warnings.filterwarnings("ignore", advice)


class SongsPerSecond(Callback):
    """Logs how many songs all devices together train on in a second, validation not counted."""

    def __init__(self) -> None:
        self.songs, self.since = 0, 0.0

    def on_train_start(self, *_: Any) -> None:
        self._start()

    def on_validation_end(self, *_: Any) -> None:
        self._start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: dict[str, Any], *_: Any
    ) -> None:
        self.songs += len(batch["index"]) * trainer.world_size
        # When a row is logged; the device's clock decides between two of them, since logging waits for it.
        if trainer.global_step % trainer.log_every_n_steps == 0:
            rate = self.songs / max(time.monotonic() - self.since, 1e-9)
            module.log("train/songs_per_second", torch.tensor(rate))
            self._start()

    def _start(self) -> None:
        self.songs, self.since = 0, time.monotonic()


def loggers(config: Config, resume: Path | None) -> list[Logger]:
    """The loggers of a run: CSV, TensorBoard and, if it is configured, Weights & Biases.

    A run that is resumed continues the curves of TensorBoard, from which what came after its checkpoint is taken away,
    and of Weights & Biases; its CSV is a new file.

    Args:
        config: the whole configuration.
        resume: the checkpoint to resume from; None for a new run.

    Raises:
        InputError: a package is missing.
    """
    with needs_extra("train", "training"):
        import tensorboard  # noqa: F401  its logger reports a missing package without its name
    purge = {} if resume is None else {"purge_step": _step_of(resume)}
    found: list[Logger] = [
        CSVLogger(config.run_dir, "csv"),
        TensorBoardLogger(config.run_dir, "tensorboard", version=0, **purge),
    ]
    if config.trainer.wandb_project:
        how = {"id": _wandb_id(Path(config.run_dir), resume), "resume": "allow"}
        try:
            found.append(WandbLogger(project=config.trainer.wandb_project, save_dir=config.run_dir, **how))
        except ModuleNotFoundError as error:
            raise InputError("trainer.wandb_project: needs wandb; pip install wandb, or remove the key") from error
    return found


def show_clip(
    trainer: pl.Trainer, name: str, waveforms: np.ndarray, stems: Sequence[str], sample_rate: int, picture: Path
) -> None:
    """Give a clip's stems, their mix and the picture of their mels to the loggers that can show them.

    Args:
        trainer: whose loggers, at its step.
        name: of the clip.
        waveforms: (s, n).
        stems: their names.
        sample_rate: in Hz.
        picture: a PNG.
    """
    mix = waveforms.sum(axis=0)
    audio = {
        f"{name}/mix": mix * np.float32(peak_gain([mix])),
        **{f"{name}/{s}": w for s, w in zip(stems, waveforms, strict=True)},
    }
    # As Lightning counts when it logs the losses of the same validation.
    step = max(0, trainer.global_step - 1)
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            board = logger.experiment
            for tag, wave in audio.items():
                sound = torch.from_numpy(np.ascontiguousarray(wave)).clamp(-1, 1)[None]
                board.add_audio(tag, sound, step, sample_rate)
            board.add_image(f"{name}/mels", matplotlib.image.imread(picture), step, dataformats="HWC")
        elif isinstance(logger, WandbLogger):
            for tag, wave in audio.items():
                logger.log_audio(tag, [np.clip(wave, -1, 1)], sample_rate=[sample_rate])
            logger.log_image(f"{name}/mels", [str(picture)])


def _step_of(checkpoint: Path) -> int:
    return torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["global_step"]


def _wandb_id(run_dir: Path, resume: Path | None) -> str:
    """The name of a run that it keeps when it is resumed."""
    path = run_dir / WANDB
    if resume is not None:
        try:
            return str(json.loads(path.read_text())["id"])
        except (OSError, ValueError, LookupError, TypeError):
            pass
    name = uuid.uuid4().hex[:12]
    if is_first_process():
        write_json(path, {"id": name})
    return name
