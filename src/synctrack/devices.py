"""The torch device of a name, all devices of a machine, and copies to a device."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from synctrack.errors import InputError

logger = logging.getLogger(__name__)
EMULATES_BFLOAT16 = ("NO AVX", "AVX2")
"""Capabilities of x86 processors, as torch names them, without instructions for bfloat16."""
NAMES = "auto, cpu, cuda, cuda:0, cuda:1, … or mps"


def use_tf32(on: bool) -> None:
    """Let products and convolutions of float32 on NVIDIA GPUs round their factors to TF32, 10 bits of mantissa, or not.

    Applies to the whole process; CPUs and other types of numbers are not affected.
    """
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on


@contextmanager
def exact_float32() -> Iterator[None]:
    """No TF32 within this context; by default torch uses it in convolutions."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    use_tf32(False)
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """The device of a name; `auto` is the first CUDA GPU, else Apple's, else the CPU. `gpu` is either of the GPUs.

    Raises:
        InputError: the name is unknown, or this machine has no such device.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if str(name) in ("auto", "gpu"):
        found = next(kind for kind, there in available.items() if there)
        if str(name) == "gpu" and found == "cpu":
            raise InputError("device gpu: this machine has none; use cpu or auto")
        return torch.device(found)
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"device {name}: must be one of {NAMES}") from error
    if device.type not in available:
        raise InputError(f"device {name}: must be one of {NAMES}")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if not available[device.type] or (device.index or 0) >= count:
        raise InputError(f"device {name}: this machine has no such device; use cpu or auto")
    return device


def all_devices(accelerator: str, devices: Any) -> list[torch.device]:
    """The devices that `trainer.accelerator` and `trainer.devices` ask for on this machine.

    Args:
        accelerator: a name, see `resolve_device`.
        devices: how many (-1 and `auto`: all of its GPUs, or one CPU), or the list of their numbers.

    Raises:
        InputError: this machine does not have them, or not the cores for so many processes.
    """
    first = resolve_device(accelerator)
    if first.type == "mps":
        return [first]
    if isinstance(devices, list | tuple):
        numbers = [int(number) for number in devices]
    elif devices in ("auto", -1):
        numbers = list(range(torch.cuda.device_count() if first.type == "cuda" else 1))
    else:
        numbers = list(range(int(devices)))
    if first.type == "cuda":
        return [resolve_device(f"cuda:{number}") for number in numbers]
    most = max(2, os.cpu_count() or 1)
    if len(numbers) > most:
        raise InputError(f"trainer.devices: {devices} are more than the {most} processes that this machine can run")
    return [first] * len(numbers)


def emulates_bfloat16() -> bool:
    """Whether this machine's CPU has no instructions for torch's bfloat16 kernels: x86 without AVX-512."""
    return torch.backends.cpu.get_cpu_capability() in EMULATES_BFLOAT16


def check_precision(precision: str, device: torch.device) -> None:
    """Check that a device computes in a precision; warn where bfloat16 is slower there than float32.

    On a CPU that emulates bfloat16 a training step of the demo's model took ten times as long as in float32.

    Args:
        precision: `float16` and `bfloat16` are checked, also as Lightning's `16-mixed`, `bf16-mixed` and so on.
        device: where the networks compute.

    Raises:
        InputError: float16 on a CPU.
    """
    if device.type != "cpu":
        return
    if precision.startswith(("float16", "16")):
        raise InputError(f"precision {precision}: float16 needs a GPU; use bfloat16 or float32")
    if precision.startswith("bf") and emulates_bfloat16():
        logger.warning("precision %s: emulated by this CPU, several times slower than float32", precision)


def copied_to(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on a device; to a GPU it is copied from pinned memory, and the CPU does not wait for it."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
