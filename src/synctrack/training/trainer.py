"""From a configuration to a Lightning Trainer: devices, loggers, checkpoints and run folder."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from synctrack.config import Config, save_config
from synctrack.devices import check_precision, use_tf32
from synctrack.errors import InputError, Interrupted, LostProcessError
from synctrack.files import remove_temporaries
from synctrack.training.finite import FiniteGuard
from synctrack.training.holding import held_by_first_process
from synctrack.training.interruption import Signals, resume_command
from synctrack.training.launching import LOST, lost_process, process_settings
from synctrack.training.monitoring import SongsPerSecond, loggers
from synctrack.training.progress import Bar
from synctrack.training.saving import LAST, VALIDATED, AtomicCheckpointIO, BackgroundCheckpointIO, SaveLast

Kind = TypeVar("Kind")
RUN_SETTINGS = ("accelerator", "precision", "limit_val_batches")
FIT_SETTINGS = ("max_epochs", "max_steps", "limit_train_batches", "accumulate_grad_batches", "gradient_clip_val")
"""Keys of `trainer` with the names of a Trainer's arguments: of every run, and of training in addition."""


def seed_everything(config: Config) -> None:
    """Seed the global generators, which initialise the weights; all else is drawn from per-item generators."""
    pl.seed_everything(config.seed % 2**32, verbose=False)


def build_trainer(config: Config, **how: Any) -> pl.Trainer:
    """A Trainer on the configured devices; `how` adds to or replaces its arguments.

    Raises:
        InputError: the devices, accelerator or precision are not available on this machine.
    """
    processes = process_settings(config)
    writer = BackgroundCheckpointIO() if config.trainer.save_in_background else AtomicCheckpointIO()
    processes["plugins"] = [*processes.get("plugins", []), writer]
    common = {
        **{name: getattr(config.trainer, name) for name in RUN_SETTINGS},
        **processes,
        # Our samplers distribute the items over the devices, so that no item is repeated.
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
        "enable_model_summary": False,
        "callbacks": [TQDMProgressBar(refresh_rate=1), Signals()],
        "logger": False,
        "enable_checkpointing": False,
    }
    use_tf32(config.trainer.tf32)
    try:
        return pl.Trainer(**common | how)
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise _refusal(error) from error


def build_fit_trainer(config: Config, monitor: str, validate: bool, resume: Path | None = None) -> pl.Trainer:
    """A Trainer that logs, validates and keeps checkpoints in `config.run_dir`.

    Args:
        config: the whole configuration.
        monitor: the logged value whose lowest `save_top_k` checkpoints are kept.
        validate: whether there are validation data.
        resume: the checkpoint to resume from; None for a new run.
    """
    settings, signals, last = config.trainer, Signals(), last_checkpoint(config)
    validated = Path(config.run_dir) / VALIDATED
    save_last = SaveLast(last, validated, settings.save_checkpoint_every_n_steps, signals)
    # The bar shows the loss, and reading it waits for the GPU: no more often than it is logged.
    bar = Bar(settings.log_every_n_steps * settings.accumulate_grad_batches)
    callbacks = [bar, SongsPerSecond(), FiniteGuard(), signals, save_last]
    keeps_best = validate and settings.save_top_k != 0
    if keeps_best:
        best = {"monitor": monitor, "save_top_k": settings.save_top_k, "save_on_train_epoch_end": False}
        callbacks.append(ModelCheckpoint(last.parent, "{step:07d}", enable_version_counter=False, **best))
    return build_trainer(
        config,
        **{name: getattr(settings, name) for name in FIT_SETTINGS},
        val_check_interval=settings.validation_every_n_steps * settings.accumulate_grad_batches if validate else None,
        check_val_every_n_epoch=None if validate else 1,
        log_every_n_steps=settings.log_every_n_steps,
        callbacks=callbacks,
        logger=loggers(config, resume),
        # Without a callback of ours Lightning would add one of its own.
        enable_checkpointing=keeps_best,
    )


def last_checkpoint(config: Config) -> Path:
    """Where a run keeps the checkpoint that it resumes from."""
    return Path(config.run_dir) / "checkpoints" / LAST


def fit(
    config: Config, module: pl.LightningModule, data: pl.LightningDataModule, monitor: str, resume: Path | None
) -> None:
    """Train from the beginning, or resume from a checkpoint; saves the resolved configuration first.

    A run that is interrupted (Ctrl-C, SIGTERM) saves `last.ckpt` and says which command resumes it.

    Args:
        config: the whole configuration.
        module: what is trained.
        data: the data sets.
        monitor: the logged value whose lowest checkpoints are kept.
        resume: the checkpoint to resume from; None for a new run.

    Raises:
        InputError: the devices or the precision are not available, the run folder cannot be written or is another
            run's at present, the settings of `trainer` do not fit the data, or a value is no longer finite.
        Interrupted: by a signal.
        LostProcessError: another process of the run has ended.
    """
    trainer, last = build_fit_trainer(config, monitor, data.valid is not None, resume), last_checkpoint(config)
    with held_by_first_process(config.run_dir) as is_locked, resumable(trainer, last):
        if is_locked:
            remove_temporaries(last.parent)
        if trainer.is_global_zero:
            check_precision(config.trainer.precision, trainer.strategy.root_device)
            save_config(config, Path(config.run_dir) / "config.yaml")
        trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
        if _callback(trainer, SaveLast).lacks_validation(trainer):
            # Stopped before the validation that follows the last step: resuming it has no step left to make.
            trainer.validate(module, datamodule=data, verbose=False)


@contextmanager
def resumable(trainer: pl.Trainer, last: Path | None = None) -> Iterator[None]:
    """Heed signals while a trainer runs; if one of them or the loss of a process ends it, say how to resume.

    Args:
        trainer: with the callback `Signals`.
        last: the checkpoint to resume from, if it is there by then; None where the same command continues.

    Raises:
        InputError: the settings of `trainer` do not fit the data.
        Interrupted: by a signal.
        LostProcessError: another process of the run has ended.
    """

    def hint() -> str:
        if last is None or not last.is_file():
            return "run the same command again to continue"
        return f"resume with: {resume_command(sys.argv)}"

    try:
        with _callback(trainer, Signals).heeded():
            yield
    except Interrupted as stop:
        raise Interrupted(stop.number, hint()) from stop
    except MisconfigurationException as error:
        # What only the size of the data shows, such as a share of the epoch that is less than a batch.
        raise _refusal(error) from error
    except Exception as error:
        if trainer.world_size > 1 and lost_process(error):
            raise LostProcessError(f"{LOST}; {hint()}") from error
        raise


def _refusal(error: Exception) -> InputError:
    """Lightning's refusal of a setting, with the setting's whole key where it is told."""
    named = next((name for name in (*RUN_SETTINGS, *FIT_SETTINGS) if name in str(error)), None)
    return InputError(f"trainer.{named}: {error}" if named else f"trainer: {error}")


def _callback(trainer: pl.Trainer, kind: type[Kind]) -> Kind:
    """The trainer's callback of a kind."""
    return next(callback for callback in trainer.callbacks if isinstance(callback, kind))
