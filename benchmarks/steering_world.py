"""What the questions of `bench_steering.py` share: the model, songs that it has not seen, the form of a question."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from steering_measures import chance, synchronisation, tracked
from synctrack import Song, SyncTrack
from synctrack.data.sources.grooves import Groove, render_groove
from synctrack.models.conditioning import ConditioningConfig

FIRST_SEED = 2_000_000
CHANCE_SONGS = 40


@dataclass
class World:
    """The model, and songs that it has not seen."""

    model: SyncTrack
    _grooves: dict[tuple[int, float], Groove] = field(default_factory=dict)
    _tracked: dict[tuple[int, float], dict[str, np.ndarray]] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Of a segment."""
        return self.model.trained_seconds

    def groove(self, index: int, seconds: float | None = None) -> Groove:
        """The groove of an index, its stems those of the model."""
        key = index, seconds or self.seconds
        if key not in self._grooves:
            self._grooves[key] = render_groove(FIRST_SEED + index, key[1], self.model.sample_rate, self.model.stems)
        return self._grooves[key]

    def data_beats(self, index: int) -> dict[str, np.ndarray]:
        """Detected beats of a groove's stems."""
        key = index, self.seconds
        if key not in self._tracked:
            self._tracked[key] = tracked(self.groove(index).stems, self.model.sample_rate)
        return self._tracked[key]

    def data_cbs(self, index: int) -> float:
        """Corrected CBS of a groove."""
        return synchronisation(list(self.data_beats(index).values()), self.seconds)

    def cbs(self, song: Song) -> float:
        """Corrected CBS of a song."""
        return synchronisation(list(tracked(song.waveforms, song.sample_rate).values()), song.seconds)

    def chance(self, kept: tuple[str, ...]) -> float:
        """Corrected CBS of grooves whose other stems are those of another."""
        return chance([self.data_beats(index) for index in range(CHANCE_SONGS)], kept, self.seconds)

    @functools.cached_property
    def without_context(self) -> SyncTrack:
        """The same weights, told nothing: what is known is put in place of the estimate alone."""
        config = dataclasses.replace(self.model.model.config, conditioning=ConditioningConfig())
        plain = SyncTrack.from_pretrained(self.model.checkpoint.path, device=str(self.model.device))
        plain.model.config = config
        return plain


@dataclass(frozen=True)
class Measure:
    """One row of the table.

    Attributes:
        name: what it says.
        key: of the value in a song's answer.
        data: of the data's own value, where there is one.
        chance: gives the value of chance.
        wanted, wanted_share: the target, and that of the share of the way from chance to data.
        digits: after the point.
    """

    name: str
    key: str
    wanted: str = "–"
    data: str | None = None
    chance: Callable[[World], float] | None = None
    wanted_share: str = "–"
    digits: int = 3


@dataclass(frozen=True)
class Question:
    """A question: its title, what it asks for one song, and its rows."""

    title: str
    ask: Callable[[World, int], dict[str, float]]
    measures: list[Measure]
