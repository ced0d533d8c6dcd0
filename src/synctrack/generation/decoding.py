"""Latents -> waveform for songs of any length: in overlapping chunks, and for loops without an edge.

The VAE's attention and group normalisation look at all they are given, so that a chunk's mel differs a little from the
whole's, as one segment's does from another's: with the demo's weights by 0.05 on average, where the mel's standard
deviation is 3.3. The vocoder is local: its chunks equal the whole's to rounding. Neighbouring chunks are blended.
Griffin-Lim, which is not local, takes the whole song at once.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F

from synctrack.audio.files import new_waveforms
from synctrack.generation.daw import resampled_loop
from synctrack.generation.encoding import interpolated
from synctrack.models.latent_diffusion import LatentDiffusion
from synctrack.models.layers import circular_time
from synctrack.models.vocoder import GriffinLim

VOCODER_CONTEXT = 32
"""Mel frames on each side of a vocoder's chunk that are computed for its inside's sake; above its receptive field."""


def decode(model: LatentDiffusion, latent: torch.Tensor, chunk: int) -> np.ndarray:
    """Scaled latents (s, c, t, f) -> waveforms (s, n), with memory for a chunk only beside latents, mels and result.

    Args:
        model: decodes.
        latent: of one song.
        chunk: latent frames that are decoded at once; no more than these are decoded whole.
    """
    if latent.shape[2] <= chunk:
        return model.decode(latent[None])[0].cpu().numpy()
    down, hop = model.config.vae.downsampling, model.config.audio.hop_length
    mel = decode_mel(model, latent, chunk)

    def to_wave(part: torch.Tensor) -> torch.Tensor:
        wave = model.vocoder(part[None].to(model.scale_factor.device))[0]
        return wave[:, : part.shape[1] * hop].float().cpu()

    if isinstance(model.vocoder, GriffinLim):
        # It finds other phases for each chunk, which would not meet.
        return to_wave(mel).numpy()
    waveforms, position = new_waveforms((len(mel), mel.shape[1] * hop)), 0
    edge = min(VOCODER_CONTEXT, chunk * down // 4)
    for block in in_chunks(to_wave, mel, 1, chunk * down, edge, 1, hop):
        waveforms[:, position : position + block.shape[1]] = block.numpy()
        position += block.shape[1]
    return waveforms


def decode_mel(model: LatentDiffusion, latent: torch.Tensor, chunk: int) -> torch.Tensor:
    """Scaled latents (s, c, t, f) -> log-mels (s, m, f) on the CPU; see `decode`."""

    def to_mel(part: torch.Tensor) -> torch.Tensor:
        return model.vae.decode(part[None] / model.scale_factor).float()[0].cpu()

    if latent.shape[2] <= chunk:
        return to_mel(latent)
    edge, ramp = max(1, chunk // 16), max(1, chunk // 8)
    return torch.cat(list(in_chunks(to_mel, latent, 2, chunk, edge, ramp, model.config.vae.downsampling)), dim=1)


def in_chunks(
    operation: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    dim: int,
    chunk: int,
    edge: int,
    ramp: int,
    scale: int,
) -> Iterator[torch.Tensor]:
    """Apply an operation that multiplies a length by `scale` to overlapping chunks; the blocks of its result, in order.

    Args:
        operation: x -> (rows, length * scale, ...).
        x: long along `dim`.
        dim: the axis that is cut.
        chunk: length of a chunk, above 2 * edge + ramp.
        edge: what is left out of a chunk's result on each side that is not an end of `x`.
        ramp: over which one chunk's result goes over linearly into the next one's.
        scale: of the operation.
    """
    total, step = x.shape[dim], chunk - 2 * edge - ramp
    starts = [*range(0, total - chunk, step), total - chunk]
    weights = (torch.arange(ramp * scale) + 0.5) / (ramp * scale)
    tail, done = None, 0
    for number, start in enumerate(starts):
        result = operation(x.narrow(dim, start, chunk))
        weight = weights.reshape(-1, *[1] * (result.dim() - 2))
        if tail is not None:
            # The result up to `done` is out; the next `ramp` of it is `tail`.
            result = result[:, (done - start) * scale :]
            head = tail * (1 - weight) + result[:, : ramp * scale] * weight
            result = torch.cat([head, result[:, ramp * scale :]], dim=1)
        if number + 1 == len(starts):
            yield result
            return
        following = starts[number + 1] + edge
        keep = (following - max(done, start)) * scale
        yield result[:, :keep]
        tail, done = result[:, keep : keep + ramp * scale], following


def decode_loop(model: LatentDiffusion, latent: torch.Tensor, num_samples: int) -> np.ndarray:
    """Scaled latents (s, c, t, f) of a loop -> waveforms (s, num_samples) whose end goes over into their beginning.

    The mel is stretched in time to the nearest number of its frames, which leaves pitch as it is; the rest, less than
    half a frame, is resampled as a periodic signal.
    """
    hop = model.config.audio.hop_length
    with circular_time(model.vae.decoder):
        mel = model.vae.decode(latent[None] / model.scale_factor).float()[0]
    wanted = max(2, round(num_samples / hop))
    places = torch.arange(wanted, device=mel.device) * (mel.shape[1] / wanted)
    mel = interpolated(torch.cat([mel, mel[:, :1]], dim=1), places)
    around = torch.arange(-VOCODER_CONTEXT, wanted + VOCODER_CONTEXT, device=mel.device) % wanted
    wave = model.vocoder(mel[None, :, around])[0, :, VOCODER_CONTEXT * hop :][:, : wanted * hop].float().cpu()
    wave = F.pad(wave, (0, wanted * hop - wave.shape[1])).numpy()
    if wave.shape[1] == num_samples:
        return wave
    return resampled_loop(wave, num_samples)
