"""The song's waveforms from what is kept and what is generated: kept sample for sample outside a crossfade."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synctrack.audio.files import new_waveforms
from synctrack.generation.timing import complement

CROSSFADE_SECONDS = 0.02


@dataclass(frozen=True)
class Kept:
    """Audio that comes out as it went in.

    Attributes:
        waveforms: stem's index -> (n,) float32; samples beyond the end of an extended song are not there.
        spans: stem's index -> the spans of samples [start, stop) that are kept, ascending.
        level: gain that was applied to the audio; what is generated gets it too.
    """

    waveforms: dict[int, np.ndarray]
    spans: dict[int, Sequence[tuple[int, int]]]
    level: float = 1.0

    @property
    def anything(self) -> bool:
        """Whether any audio is kept."""
        return any(self.spans.values())

    def whole(self, stem: int, num_samples: int) -> bool:
        """Whether all of a stem is kept."""
        return not complement(self.spans.get(stem, ()), num_samples)


def assemble(
    kept: Kept, num_stems: int, num_samples: int, generated: dict[int, np.ndarray], offset: int, sample_rate: int
) -> np.ndarray:
    """Waveforms (s, n) of a song.

    Generated audio fades in over the 20 ms before a span of it begins and out over its last 20 ms, by equal power, so
    that the first note of either side keeps its attack.

    Args:
        kept: what stays.
        num_stems: s.
        num_samples: n.
        generated: stem's index -> waveform of the stems that are not kept as a whole.
        offset: sample of the song at which the generated waveforms begin.
        sample_rate: Hz.
    """
    result = new_waveforms((num_stems, num_samples))
    fade = round(CROSSFADE_SECONDS * sample_rate)
    for stem in range(num_stems):
        row = result[stem]
        if stem in kept.waveforms:
            audio = kept.waveforms[stem][:num_samples]
            row[: len(audio)] = audio
        for start, stop in complement(kept.spans.get(stem, ()), num_samples):
            first = max(0, start - fade) if start else 0
            new = np.float32(kept.level) * generated[stem][first - offset : stop - offset]
            weight = np.ones(stop - first, np.float32)
            weight[: start - first] = _rising(start - first)
            if stop < num_samples:
                down = min(fade, stop - start)
                weight[-down:] *= _rising(down)[::-1]
            row[first:stop] = np.sin(np.pi / 2 * weight) * new + np.cos(np.pi / 2 * weight) * row[first:stop]
            # The cosine of a rounded right angle is not quite zero.
            inside = weight == 1
            row[first:stop][inside] = new[inside]
    return result


def _rising(length: int) -> np.ndarray:
    return ((np.arange(length) + 0.5) / max(1, length)).astype(np.float32)
