"""The section `trainer`: how Lightning runs."""

from dataclasses import dataclass
from typing import Any

from synctrack.bounds import MOST_STEPS, check_choice, check_number, check_path, check_whole, check_wholes

ACCELERATORS = ("auto", "cuda", "gpu", "mps", "cpu")
PRECISIONS = ("32-true", "32", "bf16-mixed", "16-mixed")
"""Lightning's others need weights that are not float32, or packages that are not supported."""
STRATEGIES = ("auto", "ddp")
EMA_DEVICES = ("auto", "cpu")
MOST_DEVICES = 1024


@dataclass
class TrainerConfig:
    """How Lightning runs."""

    devices: Any = "auto"
    num_nodes: int = 1
    strategy: str = "auto"
    accelerator: str = "auto"
    precision: str = "32-true"
    max_epochs: int = 1200
    max_steps: int = -1
    limit_train_batches: float | int = 1.0
    limit_val_batches: float | int = 1.0
    validation_every_n_steps: int = 5000
    save_checkpoint_every_n_steps: int = 1000
    save_in_background: bool = False
    """Whether the training continues while a checkpoint is written, which takes its size in the CPU's memory."""
    save_top_k: int = 3
    resume: str | None = None
    accumulate_grad_batches: int = 1
    gradient_clip_val: float | None = None
    log_every_n_steps: int = 10
    wandb_project: str | None = None
    tf32: bool = False
    """Whether float32 products and convolutions are rounded to TF32 on NVIDIA GPUs."""
    compile: bool = False
    """Whether the U-Net is compiled for training."""
    channels_last: bool = True
    """Whether the U-Net's convolutions keep the channels of a position side by side in memory."""
    ema_device: str = "auto"
    """Where the EMA weights are kept: `auto` (beside the model) or `cpu`."""

    def __post_init__(self) -> None:
        _check_devices(self.devices)
        check_whole("trainer.num_nodes", self.num_nodes, 1, 10_000)
        _check_strategy(self.strategy)
        check_choice("trainer.accelerator", self.accelerator, ACCELERATORS)
        check_choice("trainer.precision", self.precision, PRECISIONS)
        for name in ("max_epochs", "max_steps"):
            check_whole(f"trainer.{name}", getattr(self, name), -1, MOST_STEPS)
        for name in ("limit_train_batches", "limit_val_batches"):
            value = getattr(self, name)
            # A float is a share of the epoch, an integer a number of batches.
            check_number(f"trainer.{name}", value, 0, 1 if isinstance(value, float) else MOST_STEPS)
        if self.limit_train_batches == 0:
            raise ValueError("trainer.limit_train_batches: 0 would train nothing; it must be above 0")
        for name in ("validation_every_n_steps", "save_checkpoint_every_n_steps", "log_every_n_steps"):
            check_whole(f"trainer.{name}", getattr(self, name), 1, MOST_STEPS)
        check_whole("trainer.save_top_k", self.save_top_k, -1, 100_000)
        check_path("trainer.resume", self.resume, optional=True)
        check_whole("trainer.accumulate_grad_batches", self.accumulate_grad_batches, 1, 100_000)
        self._check_accumulation()
        check_number("trainer.gradient_clip_val", self.gradient_clip_val, 1e-9, 1e9, optional=True)
        check_path("trainer.wandb_project", self.wandb_project, optional=True)
        check_choice("trainer.ema_device", self.ema_device, EMA_DEVICES)

    def _check_accumulation(self) -> None:
        """An epoch is whole optimiser steps."""
        limit, count = self.limit_train_batches, self.accumulate_grad_batches
        if count > 1 and limit != 1.0 and (isinstance(limit, float) or limit % count):
            raise ValueError(
                f"trainer.limit_train_batches: {limit} is not a number of batches that "
                f"trainer.accumulate_grad_batches, {count}, divides"
            )


def _check_devices(devices: Any) -> None:
    """Lightning takes `auto`, a number of devices (-1: all), or the list of the devices' numbers."""
    key = "trainer.devices"
    if isinstance(devices, int) and not isinstance(devices, bool) and devices == -1:
        return
    if isinstance(devices, list):
        check_wholes(key, devices, 0, MOST_DEVICES, max_length=MOST_DEVICES)
        if len(set(devices)) < len(devices):
            raise ValueError(f"{key}: {devices} names a device twice")
    elif devices != "auto":
        if isinstance(devices, str):
            raise ValueError(f"{key}: {devices!r} is not auto, a number of devices or a list of their numbers")
        check_whole(key, devices, 1, MOST_DEVICES)


def _check_strategy(strategy: str) -> None:
    """Every process holds all weights and their EMA; strategies that share them out are refused with the reason."""
    if strategy.lower().startswith(("fsdp", "deepspeed", "model_parallel")):
        raise ValueError(
            f"trainer.strategy: {strategy} divides the weights among the devices, which the EMA weights, a whole copy "
            "on each, cannot follow; use ddp, with model.params.unet.gradient_checkpointing=true for less memory"
        )
    check_choice("trainer.strategy", strategy, STRATEGIES)
