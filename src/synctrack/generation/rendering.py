"""A plan carried out: latents window by window, then waveforms."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch

from synctrack.diffusion.samplers import Sampling, Step
from synctrack.generation.assembly import assemble
from synctrack.generation.decoding import decode, decode_loop, decode_mel
from synctrack.generation.encoding import continued
from synctrack.generation.plan import Plan
from synctrack.generation.separation import soft_masks
from synctrack.models.latent_diffusion import LatentDiffusion
from synctrack.seeding import GENERATION, item_generator

Key = tuple[int, int, int]
"""Seed, clip and candidate of a song."""


def generator(key: Key, window: int) -> torch.Generator:
    """The noise of one window of a song: a stream of its own, so that a song does not depend on others beside it."""
    seed, clip, candidate = key
    # A song of one window is what it was before there were windows and candidates.
    rest = () if (window, candidate) == (0, 0) else (window, candidate)
    return item_generator(seed, GENERATION, clip, *rest)


def render(
    model: LatentDiffusion,
    plan: Plan,
    keys: Sequence[Key],
    sampling: Sampling,
    *,
    guidance: float = 1.0,
    resampling: int = 0,
    progress: Callable[[list[Step]], Iterable[Step]] = iter,
    autocast: Callable[[], AbstractContextManager],
) -> list[np.ndarray]:
    """Waveforms (s, num_samples) of one song for each key; a song does not depend on the other keys.

    Args:
        model: generates.
        plan: of all these songs.
        keys: tell the songs apart.
        sampling: the sampler and its steps.
        guidance, resampling: see `LatentDiffusion.generate`.
        progress: wraps the steps of each window, for a progress bar.
        autocast: context in which the U-Net runs.
    """
    with autocast():
        latent = latents(model, plan, keys, sampling, guidance, resampling, progress)
    if plan.in_one and not plan.kept.spans and not plan.loop and plan.mix is None:
        waveforms = model.decode(latent).cpu().numpy()
        return [waveform[:, : plan.num_samples] for waveform in waveforms]
    return [_song(model, plan, row) for row in latent]


def latents(
    model: LatentDiffusion,
    plan: Plan,
    keys: Sequence[Key],
    sampling: Sampling,
    guidance: float = 1.0,
    resampling: int = 0,
    progress: Callable[[list[Step]], Iterable[Step]] = iter,
) -> torch.Tensor:
    """Scaled latents (b, s, c, t, f) of the songs; what no window covers is zero. See `render`."""
    down, (channels, _, bins) = model.config.vae.downsampling, model.config.latent_shape
    latent = torch.zeros(len(keys), len(model.stems), channels, plan.frames, bins, device=model.scale_factor.device)
    done = np.zeros(plan.frames, bool)
    for number, start in enumerate(plan.starts):
        frames = np.arange(start, start + plan.length) % plan.frames
        conditions, original = plan.told.window(frames, latent, continued(done, plan.loop))
        window = model.generate(
            [generator(key, number) for key in keys],
            sampling,
            progress=progress,
            num_frames=plan.length * down,
            conditions=conditions,
            guidance=guidance if conditions is not None else 1.0,
            original=original,
            resampling=resampling,
            circular=plan.circular,
        )
        if plan.length == plan.frames:
            return window
        latent[..., frames, :] = window.float()
        done[frames] = True
    return latent


def _song(model: LatentDiffusion, plan: Plan, latent: torch.Tensor) -> np.ndarray:
    """Waveforms (s, n) from the latents (s, c, t, f) of one song."""
    stems, chunk = list(plan.decoded), max(plan.length, plan.grid.window)
    if plan.mix is not None:
        return soft_masks(decode_mel(model, latent, chunk).numpy(), plan.mix, model.config.audio)
    if plan.loop:
        decoded, offset = decode_loop(model, latent[stems], plan.num_samples), 0
    else:
        first, last = plan.starts[0], plan.starts[-1] + plan.length
        decoded = decode(model, latent[stems, :, first:last], chunk)
        offset = first * plan.grid.frame
    if not plan.kept.spans:
        return decoded[:, : plan.num_samples]
    generated = dict(zip(stems, decoded, strict=True))
    return assemble(plan.kept, len(latent), plan.num_samples, generated, offset, plan.grid.sample_rate)
