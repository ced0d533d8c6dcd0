"""What the U-Net is told beside the noisy latents: the known parts of the stems, and song-level audio.

Tensors keep (b, s, c, t, f): batch, stem, channel, time (latent frames), frequency. Parts that are not given are zeros
with a mask of zero, so that a model without conditions and one that is told nothing compute the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from einops import rearrange

from synctrack.bounds import check_whole

SIGNALS = ("click", "mix")
"""Song-level audio that a model can be told: a metronome with accented downbeats, and the sum of the stems."""
MARGIN = 2
"""Default of `ConditioningConfig.margin`. The frames at the border of what is known have seen the unknown side through
the VAE's receptive field, or were encoded at an edge. With the demo's weights, two such frames differ by 0.3 to 0.75
where latents have a standard deviation of 1, all further in by 0.05 to 0.08, as any two encodings of a frame in
different segments do.
"""


@dataclass(frozen=True)
class ConditioningConfig:
    """What a model can be told; nothing by default, as published."""

    context: bool = False
    """The known part of each stem's latent, and its mask."""
    signals: list[str] = field(default_factory=list)
    """Some of `SIGNALS`, each the same for every stem."""
    margin: int = MARGIN
    """Latent frames at the border of what is known that count as unknown, in training and in generation."""

    def __post_init__(self) -> None:
        for name in self.signals:
            if name not in SIGNALS:
                raise ValueError(f"conditioning.signals: {name!r} must be one of {', '.join(SIGNALS)}")
        if len(set(self.signals)) < len(self.signals):
            raise ValueError(f"conditioning.signals: {', '.join(self.signals)} names one twice")
        check_whole("conditioning.margin", self.margin, 0, 1000)

    @property
    def any(self) -> bool:
        """Whether the model can be told anything."""
        return bool(self.parts)

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of what the model can be told, in the order of the U-Net's input channels."""
        return (*(["context"] if self.context else []), *self.signals)

    @property
    def description(self) -> str:
        """The parts as a list for people, `nothing` where there is none."""
        return ", ".join(self.parts) or "nothing"

    def num_channels(self, latent_channels: int) -> int:
        """Channels that the U-Net reads beside the noisy latents: latent and mask of each part."""
        return len(self.parts) * (latent_channels + 1)


@dataclass(frozen=True)
class Conditions:
    """What is known of a batch of songs, and the signals that go with it.

    Attributes:
        known: scaled clean latents (b, s, c, t, f); they count where `mask` is 1. None where nothing is known.
        mask: (b, s, t), 1 where a stem's latent frame is known, 0 elsewhere.
        signals: name -> scaled latent (b, c, t, f).
        presence: name -> (b, t), 1 where the signal is given.

    Raises:
        ValueError: shapes do not agree, or a signal has no presence.
    """

    known: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    signals: Mapping[str, torch.Tensor] = field(default_factory=dict)
    presence: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.known is None) != (self.mask is None):
            raise ValueError("conditions: known latents and their mask go together")
        if self.known is not None:
            b, s, _, t, _ = self.known.shape
            if self.mask.shape != (b, s, t):
                raise ValueError(f"conditions: mask {tuple(self.mask.shape)} is not {(b, s, t)}")
        if set(self.signals) != set(self.presence):
            raise ValueError("conditions: each signal needs its presence")
        for name, signal in self.signals.items():
            b, _, t, _ = signal.shape
            if self.presence[name].shape != (b, t):
                raise ValueError(f"conditions: presence of {name} {tuple(self.presence[name].shape)} is not {(b, t)}")

    def to(self, device: torch.device) -> "Conditions":
        """The same on another device."""
        return Conditions(
            None if self.known is None else self.known.to(device),
            None if self.mask is None else self.mask.to(device),
            {name: signal.to(device) for name, signal in self.signals.items()},
            {name: given.to(device) for name, given in self.presence.items()},
        )

    @property
    def unknown(self) -> torch.Tensor | None:
        """(b, s, 1, t, 1), 1 where a latent is not known, 0 where it is; None where nothing is known."""
        return None if self.mask is None else 1 - self._mask_image()

    def replace_known(self, x_0: torch.Tensor) -> torch.Tensor:
        """A clean estimate (b, s, c, t, f) with the known parts set to the truth."""
        if self.known is None:
            return x_0
        return torch.where(self._mask_image() > 0, self.known, x_0)

    def channels(self, config: ConditioningConfig, like: torch.Tensor) -> torch.Tensor:
        """What the U-Net reads beside noisy latents `like` (b, s, c, t, f): (b, s, `config.num_channels(c)`, t, f).

        What `config` does not list is left out; what is not given is zero.
        """
        b, s, c, t, f = like.shape
        parts = []
        if config.context:
            if self.known is None:
                parts.append(like.new_zeros(b, s, c + 1, t, f))
            else:
                mask = self._mask_image().to(like.dtype)
                parts += [self.known.to(like.dtype) * mask, mask.expand(b, s, 1, t, f)]
        for name in config.signals:
            if name not in self.signals:
                parts.append(like.new_zeros(b, s, c + 1, t, f))
                continue
            given = rearrange(self.presence[name].to(like.dtype), "b t -> b 1 1 t 1")
            signal = rearrange(self.signals[name].to(like.dtype), "b c t f -> b 1 c t f")
            parts += [(signal * given).expand(b, s, c, t, f), given.expand(b, s, 1, t, f)]
        return torch.cat(parts, dim=2) if parts else like.new_zeros(b, s, 0, t, f)

    def _mask_image(self) -> torch.Tensor:
        return rearrange(self.mask, "b s t -> b s 1 t 1")
