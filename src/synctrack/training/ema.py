"""Exponential moving average (EMA) of a module's weights; generation uses the EMA weights."""

import copy

import torch
from torch import nn


class EMA(nn.Module):
    """A copy of `module` with its EMA weights: ema += (1 - decay) * (weights - ema), with a warm-up of the decay.

    Args:
        module: the module whose weights are averaged; its current weights initialise the EMA weights.
        decay: the final decay; after n updates the decay is min(decay, (1 + n) / (10 + n)).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.module = copy.deepcopy(module).requires_grad_(False).eval()
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Update the EMA weights with the current weights of `module`."""
        self.num_updates += 1
        n = self.num_updates.float()
        weight = 1 - torch.clamp((1 + n) / (10 + n), max=self.decay)
        ema_weights, weights = list(self.module.parameters()), list(module.parameters())
        torch._foreach_lerp_(ema_weights, weights, weight.item())
