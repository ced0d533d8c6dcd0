"""What a training item is given: which parts of its stems are known, and which signals go with them.

A function of a random generator and shares alone; knows nothing of batches, files or networks.
"""

from dataclasses import dataclass

import numpy as np

from synctrack.config import CONTEXT_KINDS, GivenConfig
from synctrack.generation.grid import without_borders

SHORTEST_SPAN, LONGEST_SPAN = 0.15, 0.7
"""Shares of a segment that a span of unknown frames may take, and that a prefix or suffix may leave."""
CELLS = 4
"""Spans of time that `cells` cuts a segment into."""


@dataclass(frozen=True)
class Given:
    """What one item is given.

    Attributes:
        mask: (s, t) bool, True where a stem's latent frame is known.
        click: whether the click is given, where the song has beats.
        mix: whether the mix is given.
    """

    mask: np.ndarray
    click: bool
    mix: bool


def draw_given(rng: np.random.Generator, shares: GivenConfig, margin: int, num_stems: int, num_frames: int) -> Given:
    """Draw what an item is given (see `Given`), with the shares of the configuration.

    Args:
        rng: the item's own generator.
        shares: of the kinds of known parts, of click and of mix.
        margin: latent frames at borders that count as unknown.
        num_stems: s.
        num_frames: t, latent frames.
    """
    kind = rng.choice(CONTEXT_KINDS, p=_normalised([getattr(shares, name) for name in CONTEXT_KINDS]))
    mask = known_part(str(kind), rng, num_stems, num_frames)
    click, mix = rng.random() < shares.click, rng.random() < shares.mix
    return Given(without_borders(mask, margin), bool(click), bool(mix))


def known_part(kind: str, rng: np.random.Generator, num_stems: int, num_frames: int) -> np.ndarray:
    """Draw the known part of a kind: (s, t) bool, without a margin.

    Args:
        kind: one of `CONTEXT_KINDS`: `nothing`; `stems`, some but not all of them whole; `span`, everything but a span
            of time, in all stems or in some; `prefix`, the beginning or, one time in three, the end of all stems;
            `cells`, spans of time by stem, each known by the toss of a coin.
        rng: the item's own generator.
        num_stems: s.
        num_frames: t, latent frames.
    """
    mask = np.zeros((num_stems, num_frames), bool)
    if kind == "stems":
        mask[_some(rng, num_stems, fewest=1, most=num_stems - 1)] = True
    elif kind == "span":
        length = _length(rng, num_frames)
        start = int(rng.integers(0, num_frames - length + 1))
        stems = slice(None) if rng.random() < 0.5 else _some(rng, num_stems, fewest=1, most=num_stems)
        mask[:] = True
        mask[stems, start : start + length] = False
    elif kind == "prefix":
        unknown = _length(rng, num_frames)
        if rng.random() < 1 / 3:
            mask[:, unknown:] = True
        else:
            mask[:, : num_frames - unknown] = True
    elif kind == "cells":
        borders = np.sort(rng.choice(np.arange(1, num_frames), min(CELLS, num_frames) - 1, replace=False))
        for start, stop in zip([0, *borders], [*borders, num_frames], strict=True):
            mask[:, start:stop] = rng.random((num_stems, 1)) < 0.5
    return mask


def _normalised(shares: list[float]) -> np.ndarray:
    """Shares that add up to exactly 1."""
    return np.asarray(shares) / np.sum(shares)


def _length(rng: np.random.Generator, num_frames: int) -> int:
    return max(1, round(rng.uniform(SHORTEST_SPAN, LONGEST_SPAN) * num_frames))


def _some(rng: np.random.Generator, count: int, fewest: int, most: int) -> np.ndarray:
    """Between `fewest` and `most` of `count` indices; none where there are too few."""
    if most < fewest:
        return np.empty(0, int)
    return rng.choice(count, int(rng.integers(fewest, most + 1)), replace=False)
