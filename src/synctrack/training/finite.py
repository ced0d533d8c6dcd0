"""Training ends at the first loss, gradient norm or weight that is not finite, and no checkpoint holds one."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from synctrack.errors import InputError

NEVER = 2**62
"""As a step: none so far."""
WATCHED = ("loss", "gradient norm")
REMEDY = "lower the learning rate, set trainer.gradient_clip_val or look at the data"


class FiniteGuard(Callback):
    """Logs the norm of the gradient before clipping, and ends a training whose numbers are no longer finite.

    The steps at which a value was not finite are noted on the device, and looked at when the run logs and before it
    saves, so that no step waits for the device.

    Raises:
        InputError: names the first such value and its step.
    """

    def __init__(self) -> None:
        self._first: torch.Tensor | None = None

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._first = torch.full((len(WATCHED),), NEVER, device=module.device)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        module.log("train/gradient_norm", norm)
        # With float16 an infinite gradient lowers the scale of the loss, and the step is left out.
        if trainer.precision != "16-mixed":
            self._note("gradient norm", norm, trainer.global_step + 1)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        self._note("loss", outputs["loss"], trainer.global_step)
        if trainer.global_step % trainer.log_every_n_steps == 0:
            self.check(trainer)

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        if self._first is not None:
            self.check(trainer)
        name = first_not_finite(checkpoint["state_dict"])
        if name:
            raise InputError(
                f"training: {name} is not finite after step {trainer.global_step}, which is not saved; {REMEDY}"
            )

    def check(self, trainer: pl.Trainer) -> None:
        """Raise InputError if a value of any process was not finite; every process must call this."""
        first = self._first.clone()
        if trainer.world_size > 1:
            torch.distributed.all_reduce(first, torch.distributed.ReduceOp.MIN)
        steps = dict(zip(WATCHED, first.tolist(), strict=True))
        # The loss comes first in a step.
        name = min(steps, key=steps.get)
        if steps[name] < NEVER:
            raise InputError(f"training: the {name} of step {steps[name]} is not finite; {REMEDY}")

    def _note(self, name: str, value: torch.Tensor, step: int) -> None:
        row = WATCHED.index(name)
        seen = torch.where(value.detach().isfinite(), NEVER, step)
        self._first[row] = torch.minimum(self._first[row], seen)


def first_not_finite(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """The name of the first tensor with a value that is not finite; None if all are."""
    floats = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    if not floats:
        return None
    # One read for each device: the EMA weights may be on another one than the rest.
    for device in {tensor.device for tensor in floats.values()}:
        here = {name: tensor for name, tensor in floats.items() if tensor.device == device}
        finite = torch.stack([tensor.isfinite().all() for tensor in here.values()]).tolist()
        if not all(finite):
            return next(name for name, good in zip(here, finite, strict=True) if not good)
    return None
