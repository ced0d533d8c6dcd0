"""Image layers that treat every stem of (b, s, c, t, f) on its own; VAE and U-Net are made of them.

Each layer folds batch and stem into the rows of a 4-D image, which costs no copy, and unfolds at once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

STEMS_TO_ROWS = "b s c t f -> (b s) c t f"
ROWS_TO_STEMS = "(b s) c t f -> b s c t f"
NORM_GROUPS = 32


def check_widths(name: str, widths: list[int]) -> None:
    """Raise ValueError unless group normalisation divides all widths, numbers of channels."""
    if wrong := [width for width in widths if width <= 0 or width % NORM_GROUPS]:
        raise ValueError(f"{name}: {wrong[0]} channels are not a multiple of the {NORM_GROUPS} normalisation groups")


def in_float32(operation: Callable[..., torch.Tensor], *tensors: torch.Tensor) -> torch.Tensor:
    """`operation` of float32 copies where autocast would have it in bfloat16; the result in the tensors' type.

    For what gains nothing from bfloat16: on a CPU, torch's group norm and attention learn three times as slowly in it.
    """
    device, kind = tensors[0].device.type, tensors[0].dtype
    if not torch.is_autocast_enabled(device):
        return operation(*tensors)
    with torch.autocast(device, enabled=False):
        return operation(*(tensor.float() for tensor in tensors)).to(kind)


def _per_stem(operation, x: torch.Tensor) -> torch.Tensor:
    return rearrange(operation(rearrange(x, STEMS_TO_ROWS)), ROWS_TO_STEMS, s=x.shape[1])


class Conv2d(nn.Conv2d):
    """A convolution over time and frequency: (b, s, c, t, f) -> (b, s, c', t', f')."""

    circular = False
    """Whether time is padded with its other end instead of with zeros: see `circular_time`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _per_stem(self._circular if self.circular else super().forward, x)

    def _circular(self, rows: torch.Tensor) -> torch.Tensor:
        time, frequency = self.padding
        rows = F.pad(rows, (0, 0, time, time), mode="circular") if time else rows
        return F.conv2d(rows, self.weight, self.bias, self.stride, (0, frequency), self.dilation, self.groups)


@contextmanager
def circular_time(module: nn.Module) -> Iterator[None]:
    """Let time be a circle in all `Conv2d` of a module: it then has no edge, and where it begins does not matter.

    A module whose other layers do not know where they are in time, such as the U-Net, is then equivariant to circular
    shifts in time by multiples of its downsampling.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, Conv2d)]
    for layer in layers:
        layer.circular = True
    try:
        yield
    finally:
        for layer in layers:
            layer.circular = False


class GroupNorm(nn.GroupNorm):
    """Group normalisation with statistics of one stem: (b, s, c, t, f) -> same shape."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__(NORM_GROUPS, channels, eps=eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _per_stem(partial(in_float32, super().forward), x)


class Upsample(nn.Module):
    """Doubles time and frequency by the nearest neighbour, then a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(_per_stem(lambda rows: F.interpolate(rows, scale_factor=2, mode="nearest"), x))


class ResBlock(nn.Module):
    """norm-SiLU-conv, plus the embedding if there is one, norm-SiLU-conv, plus the input.

    Args:
        eps: of the group norms (1e-5 in the U-Net, 1e-6 in the VAE).
        embedding_channels: width of the embedding added between the convolutions; None for none.
        zero_init: start as the identity, as the blocks of a diffusion U-Net do.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        eps: float,
        embedding_channels: int | None = None,
        zero_init: bool = False,
    ) -> None:
        super().__init__()
        self.norm1 = GroupNorm(in_channels, eps)
        self.conv1 = Conv2d(in_channels, out_channels, 3, padding=1)
        self.embedding = nn.Linear(embedding_channels, out_channels) if embedding_channels else None
        self.norm2 = GroupNorm(out_channels, eps)
        self.conv2 = Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()
        if zero_init:
            zero_(self.conv2)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor | None = None) -> torch.Tensor:
        """(b, s, c, t, f) and, where the block takes one, an embedding (b, s, e) -> (b, s, c', t, f)."""
        h = self.conv1(F.silu(self.norm1(x)))
        if self.embedding is not None:
            h = h + rearrange(self.embedding(F.silu(embedding)), "b s c -> b s c 1 1")
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


def concat_channels(x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
    """Join two (b, s, c, t, f) tensors along the channels."""
    # As 4-D rows, so that torch keeps their channels-last memory, which it does not for 5-D tensors.
    rows = torch.cat([rearrange(x, STEMS_TO_ROWS), rearrange(skip, STEMS_TO_ROWS)], dim=1)
    return rearrange(rows, ROWS_TO_STEMS, s=x.shape[1])


def zero_(layer: nn.Module) -> nn.Module:
    """Set all parameters of a layer to zero and return it."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
