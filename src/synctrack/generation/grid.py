"""The grid of latent frames on which a model generates: lengths, spans and masks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synctrack.models.latent_diffusion import ModelConfig


@dataclass(frozen=True)
class Grid:
    """Lengths of a model's latents.

    Attributes:
        sample_rate: Hz.
        frame: samples of one latent frame.
        unit: latent frames; the length of what is generated is a multiple of it.
        window: latent frames of a segment as the model was trained on.
    """

    sample_rate: int
    frame: int
    unit: int
    window: int

    @classmethod
    def of(cls, config: ModelConfig) -> "Grid":
        """The grid of a model's configuration."""
        down, audio = config.vae.downsampling, config.audio
        frame = down * audio.hop_length
        return cls(audio.sample_rate, frame, config.frame_multiple // down, audio.frames // down)

    def covering(self, num_samples: int) -> int:
        """The least latent frames, a multiple of the unit, that hold so many samples."""
        return math.ceil(num_samples / (self.frame * self.unit)) * self.unit

    def nearest(self, num_samples: int) -> int:
        """The latent frames, a multiple of the unit, that come nearest to so many samples."""
        return max(1, round(num_samples / (self.frame * self.unit))) * self.unit

    def inside(self, start: int, stop: int) -> tuple[int, int]:
        """The latent frames [first, last) that lie wholly in the samples [start, stop)."""
        first, last = math.ceil(start / self.frame), stop // self.frame
        return first, max(first, last)


def without_borders(known: np.ndarray, margin: int, circular: bool = False) -> np.ndarray:
    """A mask (..., t) of known frames without those within `margin` frames of one that is not known.

    The beginning and end of the mask are no borders, unless it is circular: what lies beyond is not there.
    """
    result = known.copy()
    for shift in range(1, margin + 1):
        for step in (shift, -shift):
            moved = np.roll(known, step, axis=-1)
            if not circular:
                edge = slice(None, step) if step > 0 else slice(step, None)
                moved[..., edge] = True
            result &= moved
    return result


def window_starts(total: int, unknown: np.ndarray, grid: Grid, circular: bool = False) -> list[int]:
    """First frames of the windows, each of `grid.window` frames, in which a song is generated one after the other.

    Each window overlaps half with the one before, which it continues. Windows cover all unknown frames, with half a
    window of what is known before and behind them where there is so much; what fits into half a window is the middle of
    a single one.

    Args:
        total: latent frames of the song, a multiple of the unit and no less than a window.
        unknown: (t,), where anything is unknown.
        circular: whether the song's end goes over into its beginning; windows then count on beyond `total`, the last
            of them reaching half a window into the beginning.
    """
    length, unit = grid.window, grid.unit
    overlap = length // unit // 2 * unit
    places = np.flatnonzero(unknown)
    first, last = int(places[0]), int(places[-1]) + 1
    low = max(0, first - overlap) // unit * unit
    high = total + overlap if circular else min(total, math.ceil((last + overlap) / unit) * unit)
    if high - low <= length or (last - first <= length // 2 - unit and not circular):
        middle = (low + high - length) // 2 // unit * unit
        return [min(max(0, middle), total - length)]
    starts = list(range(low, high - length, length - overlap))
    return [*starts, high - length]


def frame_mask(spans: Sequence[tuple[int, int]], frames: int, grid: Grid, num_samples: int) -> np.ndarray:
    """(frames,) True where a frame lies wholly in one of the known spans of samples [start, stop).

    A span that reaches the song's end, `num_samples`, reaches the grid's end only if that is the same.
    """
    mask = np.zeros(frames, bool)
    for start, stop in spans:
        first, last = grid.inside(start, min(stop, num_samples))
        mask[first:last] = True
    return mask
