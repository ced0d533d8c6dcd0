"""The progress bar of a training."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar

SHOWN = "train/loss"


class Bar(TQDMProgressBar):
    """Lightning's bar, with the loss of the step at which it is drawn.

    Lightning reads values that are logged with `prog_bar` at each step, whether the bar is drawn or not, and on a GPU
    waits for them; the loss is therefore logged without.

    Args:
        every_n_batches: how often it is drawn.
    """

    def __init__(self, every_n_batches: int) -> None:
        super().__init__(refresh_rate=every_n_batches)

    def get_metrics(self, trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
        """What stands behind the bar."""
        metrics = super().get_metrics(trainer, module)
        loss = trainer.callback_metrics.get(SHOWN)
        return metrics if loss is None else {**metrics, SHOWN: loss.item()}
