"""Exponential moving average of a module's weights, which generation uses."""

import copy

import torch
from torch import nn


class EMA(nn.Module):
    """A copy of `module` that follows it slowly: average += (1 - decay) (weights - average), decay rising at first.

    Args:
        module: what to follow; its present weights are the first average.
        decay: the decay in the long run; before, (1 + n) / (10 + n) after n updates.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.module = copy.deepcopy(module).requires_grad_(False).eval()
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average one step towards the present weights of `module`."""
        self.num_updates += 1
        n = self.num_updates.float()
        weight = 1 - torch.clamp((1 + n) / (10 + n), max=self.decay)
        averages, weights = list(self.module.parameters()), list(module.parameters())
        torch._foreach_lerp_(averages, weights, weight.item())
