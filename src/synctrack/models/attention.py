"""The attentions of SyncTrack: one module and four patterns.

`SelfAttention` is the same everywhere; an einops pattern decides which tokens attend to one another. The first group
of the pattern is the batch, within which the tokens of the second group attend to one another.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from synctrack.models.layers import Conv2d, GroupNorm, in_float32, zero_

INTRA_STEM = "(b s) (t f)"
"""Each position of a stem attends to all positions of that stem."""
GLOBAL = "b (s t f)"
"""Each position of each stem attends to all positions of all stems of its song (paper: global cross-track)."""
SAME_FRAME = "(b t) (s f)"
"""Each position attends to all frequencies of all stems at its time step (paper: time-specific cross-track)."""
SAME_BIN = "(b t f) s"
"""Each position attends to all stems at its own time and frequency (as the published weights were trained)."""

TIME_ATTENTION_SCOPES = {"frame": SAME_FRAME, "bin": SAME_BIN}

MAX_ROWS = 65_535
"""Rows that attend in one call: the most that the y and z axes of a CUDA grid hold, along one of which torch's fused
kernels lay them out (CUDA C++ Programming Guide, technical specifications per compute capability)."""


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Scaled dot-product attention of each row, at most `MAX_ROWS` at once.

    Args:
        q: queries (n, h, l, d).
        k: keys, of the same shape.
        v: values, of the same shape.

    Returns:
        (n, h, l, d), the same for any number of rows at once.
    """
    if len(q) <= MAX_ROWS:
        return F.scaled_dot_product_attention(q, k, v)
    parts = zip(q.split(MAX_ROWS), k.split(MAX_ROWS), v.split(MAX_ROWS), strict=True)
    return torch.cat([F.scaled_dot_product_attention(*part) for part in parts])


class SelfAttention(nn.Module):
    """Multi-head self-attention among the tokens that `pattern` groups together, scaled by d_head^-0.5.

    Args:
        channels: width of a token.
        heads: number of heads; divides `channels`.
        pattern: one of the patterns above.
        qkv_bias: whether queries, keys and values have a bias.
    """

    def __init__(self, channels: int, heads: int, pattern: str, qkv_bias: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.pattern = pattern
        self.qkv = nn.Linear(channels, 3 * channels, bias=qkv_bias)
        self.out = nn.Linear(channels, channels)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (b, s, t, f, c) -> same shape."""
        b, s, t, f, _ = tokens.shape
        folded = rearrange(self.qkv(tokens), f"b s t f c -> {self.pattern} c")
        q, k, v = rearrange(folded, "n l (three h d) -> three n h l d", three=3, h=self.heads)
        attended = attend(q, k, v) if q.is_cuda else in_float32(attend, q, k, v)
        attended = rearrange(attended, "n h l d -> n l (h d)")
        return self.out(rearrange(attended, f"{self.pattern} c -> b s t f c", b=b, s=s, t=t, f=f))


class TimeAttention(nn.Module):
    """Time-specific cross-track attention: a pre-norm encoder layer with a second residual around it.

    The layer returns 2 y + attention + feed-forward, not y + attention + feed-forward: the published weights
    were trained this way (doubled residual).
    """

    def __init__(self, channels: int, heads: int, scope: str) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attention = SelfAttention(channels, heads, TIME_ATTENTION_SCOPES[scope], qkv_bias=True)
        self.norm2 = nn.LayerNorm(channels)
        wide = 4 * channels
        self.feed_forward = nn.Sequential(nn.Linear(channels, wide), nn.ReLU(), nn.Linear(wide, channels))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (b, s, t, f, c) -> same shape."""
        h = tokens + self.attention(self.norm1(tokens))
        return tokens + h + self.feed_forward(self.norm2(h))


class GatedFeedForward(nn.Module):
    """GEGLU: half of the hidden units, gated by the GELU of the other half (Shazeer, 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand = nn.Linear(channels, 8 * channels)
        self.contract = nn.Linear(4 * channels, channels)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden, gate = self.expand(tokens).chunk(2, dim=-1)
        return self.contract(hidden * F.gelu(gate))


class StemSharedBlock(nn.Module):
    """The track-shared module (paper, section 3): attention within each stem, across stems, and again within.

    Args:
        channels: width of a token.
        heads: number of attention heads.
        global_attention: whether stems attend to each other over the whole segment.
        time_attention: whether stems attend to each other at the same time step.
        time_attention_scope: `frame` or `bin`, see `TIME_ATTENTION_SCOPES`; the weights have the same names and shapes.
    """

    def __init__(
        self, channels: int, heads: int, global_attention: bool, time_attention: bool, time_attention_scope: str
    ) -> None:
        super().__init__()
        self.norm_intra1 = nn.LayerNorm(channels)
        self.intra1 = SelfAttention(channels, heads, INTRA_STEM)
        self.norm_global = nn.LayerNorm(channels) if global_attention else None
        self.global_ = SelfAttention(channels, heads, GLOBAL) if global_attention else None
        self.time = TimeAttention(channels, heads, time_attention_scope) if time_attention else None
        self.norm_intra2 = nn.LayerNorm(channels)
        self.intra2 = SelfAttention(channels, heads, INTRA_STEM)
        self.norm_feed_forward = nn.LayerNorm(channels)
        self.feed_forward = GatedFeedForward(channels)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (b, s, t, f, c) -> same shape."""
        tokens = tokens + self.intra1(self.norm_intra1(tokens))
        if self.global_ is not None:
            tokens = tokens + self.global_(self.norm_global(tokens))
        if self.time is not None:
            tokens = self.time(tokens)
        tokens = tokens + self.intra2(self.norm_intra2(tokens))
        return tokens + self.feed_forward(self.norm_feed_forward(tokens))


class StemTransformer(nn.Module):
    """A `StemSharedBlock` (with `switches`) on a feature map, between 1x1 convolutions, with a residual connection."""

    def __init__(self, channels: int, heads: int, **switches: bool | str) -> None:
        super().__init__()
        self.norm = GroupNorm(channels, eps=1e-6)
        self.proj_in = Conv2d(channels, channels, 1)
        self.block = StemSharedBlock(channels, heads, **switches)
        self.proj_out = zero_(Conv2d(channels, channels, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, s, c, t, f) -> same shape."""
        tokens = self.block(rearrange(self.proj_in(self.norm(x)), "b s c t f -> b s t f c"))
        return x + self.proj_out(rearrange(tokens, "b s t f c -> b s c t f"))
