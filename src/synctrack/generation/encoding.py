"""Audio on a model's grid, encoded where a window needs it; and all that a model is told of a song."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F

from synctrack.generation.grid import Grid
from synctrack.models.conditioning import Conditions
from synctrack.models.denoising import Original
from synctrack.models.latent_diffusion import LatentDiffusion

WRAP = 16
"""Latent frames of a loop that are encoded again on each side, so that its ends are encoded like its inside."""


class Encoded(Protocol):
    """Audio (r, n) of r stems, or of one signal, that gives the latents of any window."""

    def latents(self, start: int, length: int) -> torch.Tensor:
        """Scaled latents (r, c, length, f) of the frames from `start` on; zeros beyond the audio."""
        ...


@dataclass(frozen=True)
class LinearAudio:
    """Audio with a beginning and an end.

    A window is encoded together with real audio alone: one that reaches beyond the end is encoded further to the front,
    so that the VAE sees no silence that is not there.

    Attributes:
        model: encodes.
        grid: of the model.
        waveform: (r, n) float32; samples beyond the last whole latent frame are not used.
    """

    model: LatentDiffusion
    grid: Grid
    waveform: np.ndarray

    def latents(self, start: int, length: int) -> torch.Tensor:
        """See `Encoded`."""
        frame, whole = self.grid.frame, self.waveform.shape[-1] // self.grid.frame
        first = max(0, min(start, whole - length))
        last = min(whole, first + length)
        part = torch.from_numpy(np.ascontiguousarray(self.waveform[:, first * frame : last * frame]))
        latent = encode_mel(self.model, self.model.mel(part.to(self.model.scale_factor.device)))
        latent = latent[:, :, start - first :] if start < last else latent[:, :, :0]
        return F.pad(latent, (0, 0, 0, length - latent.shape[2]))


@dataclass(frozen=True)
class LoopAudio:
    """Audio whose end goes over into its beginning, brought to `frames` latent frames by stretching its mel in time.

    Attributes:
        model: encodes.
        grid: of the model.
        waveform: (r, n) float32, one round.
        frames: latent frames of one round.
    """

    model: LatentDiffusion
    grid: Grid
    waveform: np.ndarray
    frames: int

    def latents(self, start: int, length: int) -> torch.Tensor:
        """See `Encoded`; frames count on beyond the end into the beginning."""
        down = self.model.config.vae.downsampling
        mel = circular_mel(self.model, self.waveform, self.frames * down)
        places = torch.arange((start - WRAP) * down, (start + length + WRAP) * down) % mel.shape[1]
        latent = encode_mel(self.model, mel[:, places.to(mel.device)])
        return latent[:, :, WRAP : WRAP + length]


def encode_mel(model: LatentDiffusion, mel: torch.Tensor) -> torch.Tensor:
    """Log-mel (r, m, f) -> scaled latents (r, c, t, f): the means of the VAE's posterior, so that nothing is random."""
    # In float32 where the U-Net beside it computes in fewer bits: what is known is the truth.
    with torch.autocast(mel.device.type, enabled=False):
        return (model.vae.encode(mel[None]).mean * model.scale_factor)[0]


def circular_mel(model: LatentDiffusion, waveform: np.ndarray, num_frames: int) -> torch.Tensor:
    """Log-mel (r, num_frames, f) of one round of a loop (r, n), interpolated in time to so many frames."""
    audio, num_samples = model.config.audio, waveform.shape[-1]
    rate = num_samples / audio.hop_length / num_frames
    before = math.ceil(audio.n_fft / audio.hop_length)
    width = before * audio.hop_length
    places = np.arange(-width, num_samples + 2 * width) % num_samples
    wrapped = torch.from_numpy(waveform[:, places]).to(model.scale_factor.device)
    return interpolated(model.mel(wrapped), before + rate * torch.arange(num_frames, device=wrapped.device))


def interpolated(mel: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Log-mel (r, m, f) at fractional frames (k,), linearly: (r, k, f)."""
    below = places.floor().long().clamp(max=mel.shape[1] - 2)
    share = (places - below).to(mel.dtype)[:, None]
    return mel[:, below] * (1 - share) + mel[:, below + 1] * share


@dataclass(frozen=True)
class Signal:
    """Song-level audio and where it is given.

    Attributes:
        audio: of one row.
        presence: (t,) True where it is given.
    """

    audio: Encoded
    presence: np.ndarray


@dataclass(frozen=True)
class Told:
    """All that a model is told of one song, on its grid.

    Attributes:
        known: audio of the stems in `rows`, from which their known frames are encoded.
        rows: indices of the stems that `known` holds.
        mask: (s, t) True where a stem's frame is known, borders already left out.
        signals: name -> signal.
        original: audio of all stems that a variation stays near; None without.
        strength: (s,) of the variation.
    """

    mask: np.ndarray
    known: Encoded | None = None
    rows: Sequence[int] = ()
    signals: Mapping[str, Signal] = field(default_factory=dict)
    original: Encoded | None = None
    strength: torch.Tensor | None = None

    def window(
        self, frames: np.ndarray, latent: torch.Tensor, done: np.ndarray
    ) -> tuple[Conditions | None, Original | None]:
        """What is told of a window.

        Args:
            frames: (l,) of the song, one after the other, modulo the song's length where it is a loop.
            latent: (b, s, c, t, f) of the song as far as it is generated.
            done: (t,) True where it is and may be continued.

        Returns:
            The conditions, None where there are none; and the original of a variation, None without.
        """
        b, s, c, _, f = latent.shape
        start, length = int(frames[0]), len(frames)
        known = latent[..., frames, :].clone()
        given = torch.from_numpy(self.mask[:, frames]).to(latent.device)
        if self.known is not None and given.any():
            audio = latent.new_zeros(s, c, length, f)
            audio[list(self.rows)] = self.known.latents(start, length)
            known = torch.where(given[None, :, None, :, None], audio, known)
        mask = (given | torch.from_numpy(done[frames]).to(latent.device)).to(latent.dtype).expand(b, s, length)
        signals, presence = {}, {}
        for name, signal in self.signals.items():
            signals[name] = signal.audio.latents(start, length).expand(b, c, length, f)
            there = torch.from_numpy(signal.presence[frames]).to(latent)
            presence[name] = there.expand(b, length)
        anything = bool(mask.any())
        original = None
        if self.original is not None:
            near = self.original.latents(start, length).expand(b, s, c, length, f)
            original = Original(near, self.strength.to(latent.device))
        if not (anything or signals):
            return None, original
        return Conditions(known if anything else None, mask if anything else None, signals, presence), original
