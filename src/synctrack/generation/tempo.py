"""The tempo of songs for which none is asked: each song has one of its own, drawn by its seed.

A model that was trained with a click is then told the click of that tempo, so that what is generated is

    p(stems) = sum over tempi of p(tempo) p(stems | click of that tempo),

with p(tempo) uniform on the whole BPM that the model was trained on. Told nothing, a small model must make its stems
agree on one of all tempi while it generates them, which over the full range is far harder; see ckpt/demo/README.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from synctrack.audio.beat_files import Beats, regular_beats
from synctrack.generation.encoding import Encoded, Signal
from synctrack.generation.plan import ClickAudio, Plan
from synctrack.generation.timing import DEFAULT_METER, END_TOLERANCE
from synctrack.models.latent_diffusion import LatentDiffusion
from synctrack.seeding import TEMPO, item_generator


def drawn_beats(seed: int, clip: int, bounds: Sequence[float], seconds: float) -> Beats:
    """Beats of one tempo in bars of four, from a downbeat at 0 on; the same for the same seed and clip.

    Args:
        seed, clip: tell songs apart.
        bounds: lowest and highest tempo in BPM; whole BPM are drawn, where there are any between them.
        seconds: length of the song.
    """
    share = float(torch.rand((), generator=item_generator(seed, TEMPO, clip)))
    low, high = math.ceil(bounds[0]), math.floor(bounds[1])
    bpm = low + int(share * (high - low + 1)) if low <= high else bounds[0] + share * (bounds[1] - bounds[0])
    return regular_beats(bpm, DEFAULT_METER, seconds - END_TOLERANCE)


def told_clicks(plan: Plan, model: LatentDiffusion, beats: Sequence[Beats]) -> Plan:
    """The plan of a batch of songs in which each is told the click of its own beats.

    Args:
        plan: of songs whose tempi are drawn.
        model: encodes the clicks.
        beats: of each song.
    """
    clicks = tuple(ClickAudio(model, plan.grid, item) for item in beats)
    click = Signal(_Batch(clicks), np.ones(plan.frames, bool))
    return replace(plan, told=replace(plan.told, signals={**plan.told.signals, "click": click}))


@dataclass(frozen=True)
class _Batch:
    """Audio of several songs, a row for each; see `Encoded`."""

    songs: Sequence[Encoded]

    def latents(self, start: int, length: int) -> torch.Tensor:
        """Scaled latents (songs, c, length, f); each song is encoded by itself."""
        return torch.cat([song.latents(start, length) for song in self.songs])
