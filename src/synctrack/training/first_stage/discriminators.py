"""Discriminators for training the first stages: patches of mels, periods and scales of waveforms.

Each returns, for one or more discriminators, the outputs of their layers, the last of which are the logits. Every stem
of every song is classified independently.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from synctrack.models.layers import Conv2d, GroupNorm

Features = list[torch.Tensor]
"""Outputs of one discriminator's layers; the last are the logits, high for real items and always float32."""

NORM_EPS = 1e-5
PATCH_SLOPE = 0.2
WAVE_SLOPE = 0.1
PERIOD_WIDTHS = (1, 4, 16, 32, 32)
SCALE_LAYERS = ((4, 15, 1, 1), (4, 41, 2, 4), (8, 41, 2, 16), (16, 41, 4, 16), (32, 41, 4, 16), (32, 41, 1, 16))
"""Width, kernel size, stride and groups of each convolution of a `ScaleDiscriminator`."""
SCALE_LAST = (32, 5, 1, 1)


class PatchDiscriminator(nn.Module):
    """Classifies overlapping patches of a mel image (Isola et al., 2017), 70 frames and bins each with three `layers`.

    Uses group normalisation per stem, where the original has batch normalisation, so that the logits do not depend on
    the other items of the batch.

    Args:
        channels: width of the first layer, a multiple of 16; 64 as published.
        layers: number of layers that halve time and frequency.
    """

    def __init__(self, channels: int = 64, layers: int = 3) -> None:
        super().__init__()
        widths = [min(2**i, 8) * channels for i in range(layers + 1)]
        self.convs = nn.ModuleList([Conv2d(1, widths[0], 4, stride=2, padding=1)])
        self.norms = nn.ModuleList([nn.Identity()])
        for i, (before, width) in enumerate(pairwise(widths), start=1):
            self.convs.append(Conv2d(before, width, 4, stride=2 if i < layers else 1, padding=1))
            self.norms.append(GroupNorm(width, NORM_EPS))
        self.verdict = Conv2d(widths[-1], 1, 4, padding=1)

    def forward(self, mel: torch.Tensor) -> list[Features]:
        """Log-mel (b, s, m, f), m and f at least `least_size` -> features of one discriminator (b, s, c, t, f)."""
        x, features = rearrange(mel, "b s m f -> b s 1 m f"), []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), PATCH_SLOPE)
            features.append(x)
        return [[*features, self.verdict(x).float()]]

    @staticmethod
    def least_size(layers: int = 3) -> int:
        """Minimum number of frames and bins: one patch is left after the halvings and two more convolutions."""
        return 3 * 2**layers


class PeriodDiscriminator(nn.Module):
    """Classifies every `period`-th sample of a waveform together (Kong et al., 2020, multi-period discriminator)."""

    def __init__(self, period: int, channels: int) -> None:
        super().__init__()
        self.period = period
        widths = [1, *(factor * channels for factor in PERIOD_WIDTHS)]
        strides = [3] * (len(PERIOD_WIDTHS) - 1) + [1]
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(before, width, (5, 1), (stride, 1), padding=(2, 0)))
            for before, width, stride in zip(widths, widths[1:], strides, strict=False)
        )
        self.verdict = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, rows: torch.Tensor) -> Features:
        """Waveforms (r, 1, n) -> features (r, c, n', period)."""
        missing = -rows.shape[-1] % self.period
        x, features = rearrange(F.pad(rows, (0, missing), "reflect"), "r 1 (n p) -> r 1 n p", p=self.period), []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), WAVE_SLOPE)
            features.append(x)
        return [*features, self.verdict(x).float()]


class ScaleDiscriminator(nn.Module):
    """Classifies a waveform at its own rate (Kong et al., 2020, one scale of the multi-scale discriminator)."""

    def __init__(self, channels: int, norm: Callable[[nn.Module], nn.Module] = weight_norm) -> None:
        super().__init__()
        self.convs, before = nn.ModuleList(), 1
        for factor, kernel_size, stride, groups in (*SCALE_LAYERS, SCALE_LAST):
            width = factor * channels
            conv = nn.Conv1d(before, width, kernel_size, stride, padding=kernel_size // 2, groups=groups)
            self.convs.append(norm(conv))
            before = width
        self.verdict = norm(nn.Conv1d(before, 1, 3, padding=1))

    def forward(self, rows: torch.Tensor) -> Features:
        """Waveforms (r, 1, n) -> features (r, c, n')."""
        x, features = rows, []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), WAVE_SLOPE)
            features.append(x)
        return [*features, self.verdict(x).float()]


class WaveDiscriminator(nn.Module):
    """HiFi-GAN's discriminators: one for each period and one for each scale, each at half the rate of the previous.

    Args:
        periods: in samples; primes overlap least.
        scales: number of scales; the first, of the waveform itself, has spectral norm, the others weight norm.
        channels: width of the narrowest layer, a multiple of 4; 32 as published.
    """

    def __init__(self, periods: Sequence[int] = (2, 3, 5, 7, 11), scales: int = 3, channels: int = 32) -> None:
        super().__init__()
        self.periods = nn.ModuleList(PeriodDiscriminator(period, channels) for period in periods)
        norms = [spectral_norm] + [weight_norm] * (scales - 1)
        self.scales = nn.ModuleList(ScaleDiscriminator(channels, norm) for norm in norms[:scales])

    def forward(self, waveform: torch.Tensor) -> list[Features]:
        """Waveform (b, s, n) -> features of each discriminator, with r = b * s rows."""
        rows = rearrange(waveform, "b s n -> (b s) 1 n")
        with parametrize.cached():
            self._make_weights(waveform.device.type)
            features = [discriminator(rows) for discriminator in self.periods]
            for discriminator in self.scales:
                features.append(discriminator(rows))
                rows = F.avg_pool1d(rows, 4, 2, padding=2)
        return features

    def _make_weights(self, device_type: str) -> None:
        """Compute the parametrised weights in float32, for the forward passes that follow."""
        # Autocast would round the products of the spectral norm, and on GPUs some versions of torch fail at it.
        with torch.autocast(device_type, enabled=False):
            for layer in self.modules():
                if parametrize.is_parametrized(layer):
                    _ = layer.weight
