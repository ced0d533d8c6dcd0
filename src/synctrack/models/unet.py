"""The denoising U-Net: latents of all stems of a song and a time step -> the noise in them (paper, section 3)."""

import math
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from synctrack.bounds import check_choice, check_multiple, check_whole, check_wholes
from synctrack.models.attention import TIME_ATTENTION_SCOPES, StemTransformer
from synctrack.models.conditioning import ConditioningConfig
from synctrack.models.layers import NORM_GROUPS, Conv2d, GroupNorm, ResBlock, Upsample, concat_channels, zero_

NORM_EPS = 1e-5
SWITCHES = ("global_attention", "time_attention", "time_attention_scope")


@dataclass(frozen=True)
class UNetConfig:
    """Size and switches of the U-Net; the defaults are the paper's model (241 M parameters)."""

    model_channels: int = 128
    channel_mult: list[int] = field(default_factory=lambda: [1, 2, 3, 5])
    num_res_blocks: int = 2
    attention_resolutions: list[int] = field(default_factory=lambda: [2, 4, 8])
    """Downsampling factors at which transformer blocks follow the ResBlocks."""
    num_head_channels: int = 32
    prior_channels: int = 128
    """Hidden width of the instrument prior's MLP."""
    global_attention: bool = True
    time_attention: bool = True
    time_attention_scope: str = "frame"
    """`frame` (paper) or `bin` (published weights)."""
    instrument_prior: bool = True
    gradient_checkpointing: bool = False
    """Recompute each block, ResBlock and transformer, in the backward pass: less memory, more time."""

    def __post_init__(self) -> None:
        check_whole("unet.model_channels", self.model_channels, 1, 4096)
        check_multiple("unet.model_channels", self.model_channels, NORM_GROUPS)
        check_wholes("unet.channel_mult", self.channel_mult, 1, 64, max_length=8)
        check_whole("unet.num_res_blocks", self.num_res_blocks, 1, 32)
        if self.attention_resolutions:
            check_wholes("unet.attention_resolutions", self.attention_resolutions, 1, 128)
        levels = [2**level for level in range(len(self.channel_mult))]
        if unknown := [factor for factor in self.attention_resolutions if factor not in levels]:
            known = ", ".join(map(str, levels))
            raise ValueError(f"unet.attention_resolutions: {unknown[0]} is no level's; the levels are {known}")
        check_whole("unet.num_head_channels", self.num_head_channels, 1, 4096)
        check_whole("unet.prior_channels", self.prior_channels, 1, 65536)
        check_choice("unet.time_attention_scope", self.time_attention_scope, tuple(TIME_ATTENTION_SCOPES))
        for level, mult in enumerate(self.channel_mult):
            width = mult * self.model_channels
            if 2**level in self.attention_resolutions and width % self.num_head_channels:
                raise ValueError(f"unet.num_head_channels: {self.num_head_channels} does not divide {width} channels")


def timestep_embedding(t: torch.Tensor, channels: int) -> torch.Tensor:
    """Time steps (b,) -> [cos | sin] of t at geometrically spaced frequencies (b, channels)."""
    half = channels // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angles = t[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def _mlp(in_channels: int, hidden_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_channels, hidden_channels), nn.SiLU(), nn.Linear(hidden_channels, out_channels))


class InstrumentPrior(nn.Module):
    """The learnable prior of each stem: one-hot -> [sin | cos] -> two-layer MLP (paper, stem-specific modules).

    The order of the one-hot vectors is reversed (stem 0 has its one in the last place), as in the published weights.
    """

    def __init__(self, num_stems: int, hidden_channels: int, embedding_channels: int) -> None:
        super().__init__()
        self.one_hot = nn.Parameter(torch.eye(num_stems).flip(0), requires_grad=False)
        self.mlp = _mlp(2 * num_stems, hidden_channels, embedding_channels)

    def forward(self) -> torch.Tensor:
        """-> (s, embedding_channels)."""
        return self.mlp(torch.cat([self.one_hot.sin(), self.one_hot.cos()], dim=-1))


class UNetBlock(nn.Module):
    """A ResBlock, followed by an optional transformer block and, at the end of a decoder level, by upsampling."""

    def __init__(self, res: ResBlock, attention: StemTransformer | None, upsample: Upsample | None = None) -> None:
        super().__init__()
        self.res = res
        self.attention = attention
        self.upsample = upsample

    def forward(self, x: torch.Tensor, embedding: torch.Tensor, skip: torch.Tensor | None = None) -> torch.Tensor:
        """(b, s, c, t, f), an embedding (b, s, e) and, in the decoder, the encoder's output of that resolution."""
        x = self.res(x if skip is None else concat_channels(x, skip), embedding)
        x = x if self.attention is None else self.attention(x)
        return x if self.upsample is None else self.upsample(x)


class Downsample(Conv2d):
    """Halves time and frequency by a strided convolution; has the call signature of `UNetBlock`."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        return super().forward(x)


class UNet(nn.Module):
    """Predicts the noise in the latents of all stems of a song, or their velocity: see `Diffusion.target`.

    Args:
        config: size and switches.
        num_stems: number of stems, s.
        latent_channels: channels of a latent, c.
        conditioning: what the U-Net can be told.
    """

    def __init__(
        self,
        config: UNetConfig,
        num_stems: int,
        latent_channels: int,
        conditioning: ConditioningConfig | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.num_stems = num_stems
        time_channels = 4 * config.model_channels
        self.time_embed = _mlp(config.model_channels, time_channels, time_channels)
        self.prior = (
            InstrumentPrior(num_stems, config.prior_channels, time_channels) if config.instrument_prior else None
        )
        self.conv_in = Conv2d(latent_channels, config.model_channels, 3, padding=1)
        self.conv_condition = self._condition_input(conditioning, latent_channels)
        self.down, skip_channels = self._encoder()
        widest, deepest = config.model_channels * config.channel_mult[-1], 2 ** (len(config.channel_mult) - 1)
        self.middle = nn.ModuleList([self._block(widest, widest, deepest), UNetBlock(self._res(widest, widest), None)])
        self.up = self._decoder(skip_channels)
        self.norm_out = GroupNorm(config.model_channels, NORM_EPS)
        self.conv_out = zero_(Conv2d(config.model_channels, latent_channels, 3, padding=1))
        # Convolutions are faster in this format on all devices, and the transformer's tokens become views.
        self.to(memory_format=torch.channels_last)

    def _condition_input(self, conditioning: ConditioningConfig | None, latent_channels: int) -> Conv2d | None:
        """The weights of `conv_in` for further input channels, zero at the start.

        A layer of its own, added to `conv_in`: the same as one convolution over all channels, but one with more
        channels sums in another order, and weights without conditioning must give the same output to the last bit.
        """
        channels = conditioning.num_channels(latent_channels) if conditioning else 0
        if not channels:
            return None
        return zero_(Conv2d(channels, self.config.model_channels, 3, padding=1, bias=False))

    def _res(self, in_channels: int, out_channels: int) -> ResBlock:
        # Twice the time embedding's width, with or without the prior, as in MusicLDM's weights.
        return ResBlock(in_channels, out_channels, NORM_EPS, 8 * self.config.model_channels, zero_init=True)

    def _block(self, in_channels: int, out_channels: int, downsampling: int, upsample: bool = False) -> UNetBlock:
        config, attention = self.config, None
        if downsampling in config.attention_resolutions:
            heads = out_channels // config.num_head_channels
            switches = {name: getattr(config, name) for name in SWITCHES}
            attention = StemTransformer(out_channels, heads, **switches)
        return UNetBlock(self._res(in_channels, out_channels), attention, Upsample(out_channels) if upsample else None)

    def _encoder(self) -> tuple[nn.ModuleList, list[int]]:
        config, blocks, skip_channels = self.config, nn.ModuleList(), [self.config.model_channels]
        for level, mult in enumerate(config.channel_mult):
            if level > 0:
                blocks.append(Downsample(skip_channels[-1]))
                skip_channels.append(skip_channels[-1])
            for _ in range(config.num_res_blocks):
                blocks.append(self._block(skip_channels[-1], mult * config.model_channels, 2**level))
                skip_channels.append(mult * config.model_channels)
        return blocks, skip_channels

    def _decoder(self, skip_channels: list[int]) -> nn.ModuleList:
        config, channels, skips = self.config, skip_channels[-1], list(skip_channels)
        blocks = nn.ModuleList()
        for level, mult in reversed(list(enumerate(config.channel_mult))):
            for i in range(config.num_res_blocks + 1):
                upsample = level > 0 and i == config.num_res_blocks
                width = mult * config.model_channels
                blocks.append(self._block(channels + skips.pop(), width, 2**level, upsample))
                channels = width
        return blocks

    def embed(self, t: torch.Tensor) -> torch.Tensor:
        """Time steps (b,) -> the embedding of each stem of each song (b, s, e): time, then instrument prior."""
        time = self.time_embed(timestep_embedding(t, self.config.model_channels))
        time = time[:, None].expand(-1, self.num_stems, -1)
        prior = torch.zeros_like(time) if self.prior is None else self.prior().expand_as(time)
        return torch.cat([time, prior], dim=-1)

    def forward(self, latent: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """Noisy latents (b, s, c, t, f) and time steps (b,) -> the prediction (b, s, c, t, f).

        Args:
            latent: noisy latents.
            t: time steps.
            condition: `Conditions.channels` (b, s, k, t, f); None is the same as zeros.
        """
        embedding = self.embed(t)
        x = self.conv_in(latent)
        if condition is not None and self.conv_condition is not None:
            x = x + self.conv_condition(condition)
        skips = [x]
        for block in self.down:
            x = self._run(block, x, embedding)
            skips.append(x)
        for block in self.middle:
            x = self._run(block, x, embedding)
        for block in self.up:
            x = self._run(block, x, embedding, skips.pop())
        return self.conv_out(nn.functional.silu(self.norm_out(x)))

    def _run(self, block: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
        """The output of a block; with `gradient_checkpointing` only its inputs are kept for the backward pass."""
        if self.config.gradient_checkpointing and torch.is_grad_enabled():
            # Nothing in a block is random.
            return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
        return block(*inputs)
