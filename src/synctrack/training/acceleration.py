"""What makes training fast on a GPU: TF32, fused AdamW, a compiled U-Net, and optimiser states that fit the machine."""

import importlib.util
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from synctrack.errors import InputError

logger = logging.getLogger(__name__)

COMPILERS = ("g++", "clang++", "c++", "gcc", "clang", "cc")


def adamw(weights: Iterable[Any], device: torch.device, precision: str, **settings: Any) -> torch.optim.AdamW:
    """AdamW, which on a GPU updates all weights in a few fused kernels.

    Args:
        weights: parameters or groups of them.
        device: of the parameters.
        precision: `trainer.precision`. With `16-mixed` AdamW is not fused: gradients are unscaled before they are
            clipped, and a fused AdamW would do that itself.
        settings: of `torch.optim.AdamW`, such as `lr`.
    """
    fused = device.type == "cuda" and not precision.startswith("16")
    return torch.optim.AdamW(weights, fused=True if fused else None, **settings)


def fit_to_machine(optimizer: torch.optim.AdamW, fused: bool | None) -> None:
    """Let the states of a resumed optimiser, saved on another machine or with other settings, fit this one.

    Args:
        optimizer: its states have just been loaded.
        fused: as the optimiser was created: loading replaces it with the saved run's.
    """
    for group in optimizer.param_groups:
        group["fused"] = fused
        for weight in group["params"]:
            state = optimizer.state.get(weight, {})
            if "step" in state:
                # Fused kernels count where the weights are, all others on the CPU.
                state["step"] = state["step"].to(weight.device if fused else "cpu", torch.float32)
            for name, moment in state.items():
                if name != "step" and moment.stride() != weight.stride():
                    state[name] = torch.empty_like(weight).copy_(moment)


def as_configured(
    optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LambdaLR, settings: Mapping[str, Any]
) -> None:
    """Let a resumed optimiser use the settings of the configuration: loading replaced them with the saved run's.

    Args:
        optimizer: its states have just been loaded.
        schedule: of its learning rate, loaded as well.
        settings: of `torch.optim.AdamW`, with `lr`, which is the rate that the schedule multiplies.
    """
    rate = settings["lr"]
    for name, value in settings.items():
        before = optimizer.param_groups[0].get("initial_lr" if name == "lr" else name)
        before = tuple(before) if isinstance(before, list) else before
        if before != value:
            logger.info("resumed with %s %s instead of %s", "learning rate" if name == "lr" else name, value, before)
    schedule.base_lrs = [rate] * len(schedule.base_lrs)
    for group, factor in zip(optimizer.param_groups, schedule.lr_lambdas, strict=True):
        group |= {**settings, "initial_lr": rate, "lr": rate * factor(schedule.last_epoch)}


def compiled(network: nn.Module) -> Callable[..., torch.Tensor]:
    """The forward pass of a network, compiled at its first call for each shape of its input.

    The network itself, and the names of its weights, stay as they are.

    Raises:
        InputError: torch finds no compiler on this machine.
    """
    require_compiler(next(network.parameters()).device)
    return torch.compile(network.forward, dynamic=False)


def require_compiler(device: torch.device) -> None:
    """Raise InputError unless this machine has what `torch.compile` needs for a device: a C++ compiler, and Triton."""
    named = [os.environ[name] for name in ("CXX", "CC") if os.environ.get(name)]
    if not any(shutil.which(name) for name in (*named, *COMPILERS)):
        raise InputError(
            "trainer.compile: needs a C++ compiler; install one, such as g++, or set trainer.compile=false"
        )
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise InputError("trainer.compile: needs triton on a GPU; pip install triton, or set trainer.compile=false")
