"""The torch device of a name, and copies to a device."""

import torch

from synctrack.errors import InputError

NAMES = "auto, cpu, cuda, cuda:0, cuda:1, … or mps"


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


def copied_to(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on a device; to a GPU it is copied from pinned memory, and the CPU does not wait for it."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
