"""From a configuration to a Lightning Trainer: devices, loggers, checkpoints, run folder and resuming."""

import logging
import shlex
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from synctrack.checkpoint.files import read_file
from synctrack.checkpoint.loading import differing_keys
from synctrack.config import Config, save_config
from synctrack.errors import InputError, needs_extra, say
from synctrack.training.acceleration import use_tf32

LAST = "last.ckpt"
TERMINATED = 128 + signal.SIGTERM
RUN_SETTINGS = ("devices", "num_nodes", "accelerator", "precision", "limit_val_batches")
FIT_SETTINGS = ("max_epochs", "max_steps", "limit_train_batches", "accumulate_grad_batches", "gradient_clip_val")
"""Keys of `trainer` with the names of a Trainer's arguments: of every run, and of training in addition."""


class SaveLast(Callback):
    """Writes `path` every so many optimiser steps and after the last one.

    Always after a training batch: Lightning resumes exactly from there, but one step off from its other hooks.
    """

    def __init__(self, path: Path, every_n_steps: int) -> None:
        self.path, self.every_n_steps, self.saved_step = path, every_n_steps, 0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        step = trainer.global_step
        ends = step == trainer.max_steps or (trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs)
        if step != self.saved_step and (ends or step % self.every_n_steps == 0):
            trainer.save_checkpoint(self.path)
            self.saved_step = step


def start_logging() -> None:
    """Log to the console as a script does, without Lightning's warnings on what our own samplers and seeds handle."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for chatty in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector"):
        logging.getLogger(f"pytorch_lightning.{chatty}").setLevel(logging.WARNING)
    for advice in (
        ".*does not have many workers.*",
        ".*dataloader is not resumable.*",
        ".*smaller than the logging interval.*",
        ".*in eval mode at the start of training.*",
        ".*Checkpoint directory.*exists and is not empty.*",
        ".*'pin_memory' argument is set as true but no accelerator.*",
    ):
        warnings.filterwarnings("ignore", advice)


def seed_everything(config: Config) -> None:
    """Seed the global generators, which initialise the weights; all else is drawn from per-item generators."""
    pl.seed_everything(config.seed % 2**32, verbose=False)


def build_trainer(config: Config, **how: Any) -> pl.Trainer:
    """A Trainer on the configured devices; `how` adds to or replaces its arguments.

    Raises:
        InputError: the devices, accelerator or precision are not available on this machine.
    """
    common = {
        **{name: getattr(config.trainer, name) for name in RUN_SETTINGS},
        # Our samplers distribute the items over the devices, so that no item is repeated.
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
        "enable_model_summary": False,
        "callbacks": [TQDMProgressBar(refresh_rate=1)],
        "logger": False,
        "enable_checkpointing": False,
    }
    use_tf32(config.trainer.tf32)
    try:
        return pl.Trainer(**common | how)
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise InputError(f"trainer: {error}") from error


def build_fit_trainer(config: Config, monitor: str, validate: bool) -> pl.Trainer:
    """A Trainer that logs, validates and keeps checkpoints in `config.run_dir`.

    Args:
        config: the whole configuration.
        monitor: the logged value whose lowest `save_top_k` checkpoints are kept.
        validate: whether there are validation data.
    """
    settings, folder = config.trainer, Path(config.run_dir) / "checkpoints"
    # The bar shows the loss, and reading it waits for the GPU: no more often than it is logged.
    bar = TQDMProgressBar(refresh_rate=settings.log_every_n_steps * settings.accumulate_grad_batches)
    callbacks = [bar, SaveLast(folder / LAST, settings.save_checkpoint_every_n_steps)]
    if validate and settings.save_top_k:
        best = {"monitor": monitor, "save_top_k": settings.save_top_k, "save_on_train_epoch_end": False}
        callbacks.append(ModelCheckpoint(folder, "{step:07d}", **best))
    return build_trainer(
        config,
        **{name: getattr(settings, name) for name in FIT_SETTINGS},
        val_check_interval=settings.validation_every_n_steps * settings.accumulate_grad_batches if validate else None,
        check_val_every_n_epoch=None if validate else 1,
        log_every_n_steps=settings.log_every_n_steps,
        callbacks=callbacks,
        logger=_loggers(config),
        enable_checkpointing=True,
    )


def _loggers(config: Config) -> list[Logger]:
    with needs_extra("train", "training"):
        import tensorboard  # noqa: F401  its logger reports a missing package without its name
    loggers: list[Logger] = [CSVLogger(config.run_dir, "csv"), TensorBoardLogger(config.run_dir, "tensorboard")]
    if config.trainer.wandb_project:
        try:
            loggers.append(WandbLogger(project=config.trainer.wandb_project, save_dir=config.run_dir))
        except ModuleNotFoundError as error:
            raise InputError("trainer.wandb_project: needs wandb; pip install wandb, or remove the key") from error
    return loggers


def checkpoint_to_resume(config: Config, kind: str) -> Path | None:
    """The checkpoint that `trainer.resume` names: a file, or `last` for the run folder's newest; None for a new run.

    Args:
        config: the whole configuration.
        kind: of the checkpoint's header, `synctrack` or `vae`.

    Raises:
        InputError: it is not there or of another model, or a new run would overwrite what the run folder holds.
    """
    last, resume = Path(config.run_dir) / "checkpoints" / LAST, config.trainer.resume
    if not resume:
        if last.exists():
            raise InputError(
                f"{config.run_dir}: holds a run already; set trainer.resume=last to resume it, or another run_dir"
            )
        return None
    path = last if resume == "last" else Path(resume)
    if not path.is_file():
        raise InputError(f"trainer.resume: {path} is not there; name a checkpoint of a run, or leave it out")
    file = read_file(path)
    if file.kind != kind or file.published or path.suffix == ".safetensors":
        raise InputError(
            f"trainer.resume: {path} is not a checkpoint of such a training run; name it as a ckpt_path instead"
        )
    different = differing_keys(file, config.model.params, tuple(config.data.params.path.stems))
    if different:
        raise InputError(f"{path}: was trained with another configuration: {'; '.join(different)}")
    return path


def fit(
    config: Config, module: pl.LightningModule, data: pl.LightningDataModule, monitor: str, resume: Path | None
) -> None:
    """Train from the beginning, or resume from a checkpoint; saves the resolved configuration first.

    A run that is interrupted (Ctrl-C, SIGTERM) prints the command that resumes it.

    Args:
        config: the whole configuration.
        module: what is trained.
        data: the data sets.
        monitor: the logged value whose lowest checkpoints are kept.
        resume: the checkpoint to resume from; None for a new run.

    Raises:
        InputError: the devices are not available, or the run folder cannot be written.
    """
    trainer = build_fit_trainer(config, monitor, validate=data.valid is not None)
    if trainer.is_global_zero:
        save_config(config, Path(config.run_dir) / "config.yaml")
    try:
        trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    except (KeyboardInterrupt, SystemExit) as stop:
        # Lightning turns Ctrl-C and SIGTERM into either of them, the latter with an exit status of success.
        last = Path(config.run_dir) / "checkpoints" / LAST
        if trainer.is_global_zero and last.is_file():
            say(f"resume with: {resume_command(sys.argv)}")
        if isinstance(stop, SystemExit) and not stop.code:
            raise SystemExit(TERMINATED) from stop
        raise


def resume_command(argv: Sequence[str]) -> str:
    """The command line that resumes the run that `argv` started."""
    program = ["python", argv[0]] if argv[0].endswith(".py") else [Path(argv[0]).name]
    kept = [word for word in argv[1:] if not word.startswith("trainer.resume=")]
    return shlex.join([*program, *kept, "trainer.resume=last"])
