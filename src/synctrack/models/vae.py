"""The first stage: log-mel <-> latent, a convolutional VAE on each stem's mel as a one-channel image."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from synctrack.bounds import check_multiple, check_whole, check_wholes
from synctrack.models.attention import INTRA_STEM, SelfAttention
from synctrack.models.layers import NORM_GROUPS, Conv2d, GroupNorm, ResBlock, Upsample

NORM_EPS = 1e-6
LOGVAR_RANGE = (-30.0, 20.0)


@dataclass(frozen=True)
class VAEConfig:
    """Size of the VAE; the defaults are the published one (55 M parameters, mel 1024 x 64 -> latent 8 x 256 x 16)."""

    channels: int = 128
    channel_mult: list[int] = field(default_factory=lambda: [1, 2, 4])
    num_res_blocks: int = 2
    latent_channels: int = 8

    def __post_init__(self) -> None:
        check_whole("vae.channels", self.channels, 1, 4096)
        check_multiple("vae.channels", self.channels, NORM_GROUPS)
        check_wholes("vae.channel_mult", self.channel_mult, 1, 64, max_length=8)
        check_whole("vae.num_res_blocks", self.num_res_blocks, 1, 32)
        check_whole("vae.latent_channels", self.latent_channels, 1, 1024)

    @property
    def downsampling(self) -> int:
        """Factor by which mel frames and mel bins are downsampled."""
        return 2 ** (len(self.channel_mult) - 1)


class Downsample(nn.Module):
    """Halves time and frequency by a strided convolution, padded at the end only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class MidAttention(nn.Module):
    """Single-head self-attention among all positions of one stem, with a residual connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = GroupNorm(channels, NORM_EPS)
        self.attention = SelfAttention(channels, heads=1, pattern=INTRA_STEM, qkv_bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.attention(rearrange(self.norm(x), "b s c t f -> b s t f c"))
        return x + rearrange(tokens, "b s t f c -> b s c t f")


def _res(in_channels: int, out_channels: int) -> ResBlock:
    return ResBlock(in_channels, out_channels, NORM_EPS)


def _middle(channels: int) -> list[nn.Module]:
    return [_res(channels, channels), MidAttention(channels), _res(channels, channels)]


class Encoder(nn.Sequential):
    """Mel image (b, s, 1, m, f) -> moments before `quant_conv` (b, s, 2c, t, f)."""

    def __init__(self, config: VAEConfig) -> None:
        channels = config.channels
        layers: list[nn.Module] = [Conv2d(1, channels, 3, padding=1)]
        for level, mult in enumerate(config.channel_mult):
            if level > 0:
                layers.append(Downsample(channels))
            for _ in range(config.num_res_blocks):
                layers.append(_res(channels, mult * config.channels))
                channels = mult * config.channels
        layers += _middle(channels)
        layers += [GroupNorm(channels, NORM_EPS), nn.SiLU(), Conv2d(channels, 2 * config.latent_channels, 3, padding=1)]
        super().__init__(*layers)


class Decoder(nn.Sequential):
    """Latent after `post_quant_conv` (b, s, c, t, f) -> mel image (b, s, 1, m, f)."""

    def __init__(self, config: VAEConfig) -> None:
        channels = config.channel_mult[-1] * config.channels
        layers: list[nn.Module] = [Conv2d(config.latent_channels, channels, 3, padding=1)]
        layers += _middle(channels)
        for level, mult in reversed(list(enumerate(config.channel_mult))):
            for _ in range(config.num_res_blocks + 1):
                layers.append(_res(channels, mult * config.channels))
                channels = mult * config.channels
            if level > 0:
                layers.append(Upsample(channels))
        layers += [GroupNorm(channels, NORM_EPS), nn.SiLU(), Conv2d(channels, 1, 3, padding=1)]
        super().__init__(*layers)


@dataclass(frozen=True)
class Posterior:
    """The diagonal Gaussian over latents that the encoder gives for a mel; both (b, s, c, t, f)."""

    mean: torch.Tensor
    logvar: torch.Tensor

    @property
    def std(self) -> torch.Tensor:
        """Standard deviation (b, s, c, t, f)."""
        return torch.exp(0.5 * self.logvar)

    def kl(self) -> torch.Tensor:
        """KL divergence to the standard normal, summed over each item: (b,)."""
        return 0.5 * (self.mean**2 + self.logvar.exp() - 1 - self.logvar).sum(dim=(1, 2, 3, 4))


class VAE(nn.Module):
    """Log-mel (b, s, m, f) <-> latent (b, s, c, t, f)."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = Conv2d(2 * config.latent_channels, 2 * config.latent_channels, 1)
        self.post_quant_conv = Conv2d(config.latent_channels, config.latent_channels, 1)

    def encode(self, mel: torch.Tensor) -> Posterior:
        """Log-mel (b, s, m, f) -> posterior over latents."""
        moments = self.quant_conv(self.encoder(rearrange(mel, "b s m f -> b s 1 m f")))
        mean, logvar = moments.chunk(2, dim=2)
        return Posterior(mean, logvar.clamp(*LOGVAR_RANGE))

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Latent (b, s, c, t, f) -> log-mel (b, s, m, f)."""
        return rearrange(self.decoder(self.post_quant_conv(latent)), "b s 1 m f -> b s m f")
