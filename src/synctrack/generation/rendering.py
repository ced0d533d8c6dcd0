"""A plan carried out: latents window by window, then waveforms."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch

from synctrack.generation.assembly import assemble
from synctrack.generation.decoding import decode, decode_loop, decode_mel
from synctrack.generation.grid import without_borders
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
    generate: Callable[..., torch.Tensor],
    autocast: Callable[[], AbstractContextManager],
) -> list[np.ndarray]:
    """Waveforms (s, num_samples) of one song for each key; a song does not depend on the other keys.

    Args:
        model: decodes.
        plan: of all these songs.
        keys: tell the songs apart.
        generate: `model.generate` with sampling, guidance and progress bound, for one window.
        autocast: context in which the U-Net runs.
    """
    with autocast():
        latent = latents(model, plan, keys, generate)
    if plan.frames <= plan.grid.window and not plan.kept.spans and not plan.loop and plan.mix is None:
        waveforms = model.decode(latent).cpu().numpy()
        return [waveform[:, : plan.num_samples] for waveform in waveforms]
    return [_song(model, plan, row) for row in latent]


def latents(
    model: LatentDiffusion, plan: Plan, keys: Sequence[Key], generate: Callable[..., torch.Tensor]
) -> torch.Tensor:
    """Scaled latents (b, s, c, t, f) of the songs; what no window covers is zero. See `render`."""
    down, (channels, _, bins) = model.config.vae.downsampling, model.config.latent_shape
    latent = torch.zeros(len(keys), len(model.stems), channels, plan.frames, bins, device=model.scale_factor.device)
    done, margin = np.zeros(plan.frames, bool), model.config.conditioning.margin
    for number, start in enumerate(plan.starts):
        frames = np.arange(start, start + plan.length) % plan.frames
        # What is generated is continued but for its borders, which are like a segment's edges.
        conditions, original = plan.told.window(frames, latent, without_borders(done, margin, plan.loop))
        window = generate(
            [generator(key, number) for key in keys],
            num_frames=plan.length * down,
            conditions=conditions,
            original=original,
            circular=plan.circular,
        )
        if plan.length == plan.frames:
            return window
        latent[..., frames, :] = window.float()
        done[frames] = True
    return latent


def _song(model: LatentDiffusion, plan: Plan, latent: torch.Tensor) -> np.ndarray:
    """Waveforms (s, n) from the latents (s, c, t, f) of one song."""
    stems, chunk = list(plan.decoded), plan.grid.window
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
