"""Checkpoints of a training: when they are written, and how, so that none is ever incomplete."""

import json
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.io import TorchCheckpointIO

from synctrack.errors import Interrupted
from synctrack.files import atomic_path, write_json
from synctrack.training.interruption import Signals

LAST = "last.ckpt"
VALIDATED = "validated.json"
"""In the run folder: the step of the last validation that was completed."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary name in the checkpoint's own folder, then renames; Lightning goes through another place."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint whole or not at all.

        Raises:
            InputError: the folder cannot be written, or the disk is full.
        """
        with atomic_path(path) as temporary:
            try:
                torch.save(checkpoint, temporary)
            except RuntimeError as error:
                # What torch raises when the disk is full.
                raise OSError("disk full or not writable") from error

    def finish(self) -> None:
        """Wait until nothing is being written; here nothing ever is."""


class BackgroundCheckpointIO(AtomicCheckpointIO):
    """Copies a checkpoint to the CPU's memory and writes it while the training continues, one at a time.

    What a write raises is raised by the next call.
    """

    def __init__(self) -> None:
        super().__init__()
        self._writer = ThreadPoolExecutor(1)
        self._written: Future[None] | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Wait for the checkpoint before, copy this one, and begin to write it.

        Raises:
            InputError: the checkpoint before could not be written.
        """
        self.finish()
        copy = apply_to_collection(checkpoint, torch.Tensor, _copied)
        self._written = self._writer.submit(super().save_checkpoint, copy, path)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint, once the one that replaces it is written."""
        self.finish()
        super().remove_checkpoint(path)

    def teardown(self) -> None:
        """Called when a run ends, however it ends: its last checkpoint is whole then."""
        self.finish()

    def finish(self) -> None:
        """Wait until nothing is being written."""
        written, self._written = self._written, None
        if written is not None:
            written.result()


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", copy=True)


class SaveLast(Callback):
    """Writes `last.ckpt` every so many optimiser steps, before each validation, on a signal and after the last step.

    Always after a training batch: Lightning resumes exactly from there, but one step off from its other hooks. A
    validation that did not come to its end is made when the run is resumed.

    Args:
        path: of the checkpoint.
        validated: of the file that notes completed validations.
        every_n_steps: optimiser steps between two checkpoints.
        signals: tells when the run is to end.
    """

    def __init__(self, path: Path, validated: Path, every_n_steps: int, signals: Signals) -> None:
        self.path, self.validated, self.every_n_steps, self.signals = path, validated, every_n_steps, signals
        self.saved_step = self.seen_step = 0
        self.ending: int | None = None

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.saved_step = self.seen_step = trainer.global_step
        if trainer.global_step > 0 and self.lacks_validation(trainer):
            val_loop = trainer.fit_loop.epoch_loop.val_loop
            val_loop.restarting = False
            trainer.validating = True
            val_loop.run()
            trainer.training = True
            # Where the checkpoint ends an epoch, Lightning would take this validation for a resumed one that ends the
            # epoch again, and every epoch after it without a batch.
            val_loop._has_run = False

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        step = trainer.global_step
        if step == self.seen_step:
            # Gradients are being accumulated: here a run could not be resumed exactly.
            return
        self.seen_step = step
        self.ending = self.signals.received_by_any(trainer)
        ends = step == trainer.max_steps or (trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs)
        if self.ending or ends or step % self.every_n_steps == 0 or _validation_is_due(trainer):
            trainer.save_checkpoint(self.path)
            self.saved_step = step
        if self.ending:
            # The first process to end may take the others with it, so that none ends before the file is whole.
            trainer.strategy.checkpoint_io.finish()
            trainer.strategy.barrier("checkpoint written")

    def on_train_batch_start(self, *_: Any) -> None:
        self._end()

    def on_validation_start(self, *_: Any) -> None:
        self._end()

    def _end(self) -> None:
        # Not at the end of a step, when its values have not been logged yet.
        if self.ending:
            raise Interrupted(self.ending)

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.is_global_zero and trainer.state.fn == "fit":
            write_json(self.validated, {"step": trainer.global_step})

    def lacks_validation(self, trainer: pl.Trainer) -> bool:
        """Whether the run was stopped between a checkpoint and the validation that was to follow it."""
        return _validation_is_due(trainer) and trainer.strategy.broadcast(self._last_validated()) != trainer.global_step

    def _last_validated(self) -> int | None:
        try:
            return json.loads(self.validated.read_text())["step"]
        except (OSError, ValueError, LookupError, TypeError):
            return None


def _validation_is_due(trainer: pl.Trainer) -> bool:
    """Whether a validation follows the training batch that was the last one."""
    return (
        trainer.check_val_every_n_epoch is None
        and (trainer.fit_loop.total_batch_idx + 1) % trainer.val_check_batch == 0
    )
