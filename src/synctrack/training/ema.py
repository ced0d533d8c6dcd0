"""Exponential moving average (EMA) of a module's weights; generation uses the EMA weights."""

import copy
from collections.abc import Callable

import torch
from torch import nn


class EMA(nn.Module):
    """A copy of `module` with its EMA weights: ema += (1 - decay) * (weights - ema), with a warm-up of the decay.

    The EMA weights stay in float32 when the module around them is converted to another type. The number of updates
    stays on the CPU: it is read at each step, which on a GPU would wait for all the work that is queued there.

    Args:
        module: the module whose weights are averaged; its current weights initialise the EMA weights.
        decay: the final decay; after n updates the decay is min(decay, (1 + n) / (10 + n)).
        on_cpu: whether the EMA weights stay on the CPU, wherever the module around them is moved. They then need no
            memory of a GPU, and each update copies the module's weights to the CPU and waits for them.
    """

    def __init__(self, module: nn.Module, decay: float, on_cpu: bool = False) -> None:
        super().__init__()
        self.decay, self.on_cpu = decay, on_cpu
        self.module = copy.deepcopy(module).requires_grad_(False).eval()
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Update the EMA weights with the current weights of `module`."""
        self.num_updates += 1
        n = self.num_updates.float()
        weight = 1 - torch.clamp((1 + n) / (10 + n), max=self.decay)
        ema_weights = list(self.module.parameters())
        torch._foreach_lerp_(ema_weights, _beside(list(module.parameters()), ema_weights), weight.item())

    def module_on(self, device: torch.device) -> nn.Module:
        """The module with the EMA weights on a device: itself where it is there, a copy elsewhere."""
        own = next(self.module.parameters()).device
        return self.module if own == device else copy.deepcopy(self.module).to(device)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> "EMA":
        """Move as torch's modules do, but see the class on types, the CPU and the number of updates."""
        if self.on_cpu:
            return self

        def moved(tensor: torch.Tensor) -> torch.Tensor:
            result = fn(tensor)
            return result if result.dtype == tensor.dtype else tensor.to(result.device)

        count = self.num_updates
        super()._apply(moved, recurse)
        self.num_updates = count
        return self


def _beside(weights: list[torch.Tensor], ema_weights: list[torch.Tensor]) -> list[torch.Tensor]:
    """The weights in the type and on the device of the EMA weights."""
    moved = [w.to(ema.device, ema.dtype, non_blocking=w.is_cuda) for w, ema in zip(weights, ema_weights, strict=True)]
    if weights[0].is_cuda and not moved[0].is_cuda:
        torch.cuda.current_stream(weights[0].device).synchronize()
    return moved
