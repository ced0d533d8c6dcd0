"""The songs of one request, one by one: batches, candidates of which the best is kept, and what `song.json` says."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import torch

from synctrack.audio.beat_files import Beats
from synctrack.audio.files import peak_gain
from synctrack.devices import exact_float32
from synctrack.diffusion.samplers import Sampling, Step
from synctrack.errors import InputError
from synctrack.generation.plan import Plan
from synctrack.generation.ranking import Timing, keeps_time
from synctrack.generation.record import request_json
from synctrack.generation.rendering import Key, render
from synctrack.generation.request import Request
from synctrack.generation.song import Song
from synctrack.generation.tempo import drawn_beats, told_clicks
from synctrack.models.latent_diffusion import LatentDiffusion


def make_sampling(sampler: str, steps: int, eta: float | None, timesteps: int) -> Sampling:
    """The sampling of songs: trailing steps that end at alpha 1.

    Args:
        sampler: its name.
        steps: calls of the U-Net.
        eta: of `ddim` alone; 1 where None.
        timesteps: of the model's schedule, the most steps.

    Raises:
        InputError: one of them is unknown or out of its bounds.
    """
    if eta is not None and sampler != "ddim":
        raise InputError(f"eta: has no effect on {sampler}; leave it out, or use sampler ddim")
    if not isinstance(steps, Integral) or not 1 <= steps <= timesteps:
        raise InputError(f"steps: {steps} is not a whole number between 1 and {timesteps}")
    try:
        return Sampling(sampler, int(steps), 1.0 if eta is None else eta, "trailing", "one")
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from error


@dataclass(frozen=True)
class Production:
    """How the songs of a request are made.

    Attributes:
        model: generates.
        request: what is asked for.
        plan: what it means for the model.
        sampling: the sampler and its steps.
        autocast: context in which the U-Net runs.

    Raises:
        InputError: the strength of a variation leaves no step.
    """

    model: LatentDiffusion
    request: Request
    plan: Plan
    sampling: Sampling
    autocast: Callable[[], AbstractContextManager]

    def __post_init__(self) -> None:
        if not self._steps:
            raise InputError(f"strength: leaves none of {self.sampling.steps} steps; raise it, or the number of steps")

    @property
    def _steps(self) -> int:
        return len(self.model.steps(self.sampling, self.plan.told.strength))

    @functools.cached_property
    def described(self) -> dict[str, Any]:
        """What is asked for, as `song.json` says it."""
        return request_json(self.request, self.plan)

    def total_steps(self, songs: int) -> int:
        """Calls of the U-Net for so many songs, over all their candidates, draws and windows."""
        return songs * self.request.best_of * self.request.draws * len(self.plan.starts) * self._steps

    def songs(self, keys: Sequence[tuple[int, int]], batch_size: int, count: Callable[[int], Any]) -> Iterator[Song]:
        """The song of each key (seed, clip), as soon as it is ready.

        Args:
            keys: tell the songs apart.
            batch_size: songs, or candidates, at once.
            count: is called with the number of steps that are done.

        Raises:
            InputError: the model gives samples that are not numbers, or candidates cannot be ranked without a tracker.
        """
        timings: list[Timing] = []
        best: Song | None = None
        for batch, position, waveforms in self._candidates(keys, batch_size, count):
            if self.request.best_of == 1:
                yield self._song(batch, position, waveforms)
                continue
            timings.append(keeps_time(waveforms, self.plan.grid.sample_rate, self._asked_beats(batch[position])))
            if best is None or timings[-1].rank > max(timing.rank for timing in timings[:-1]):
                best = self._song(batch, position, waveforms)
            if len(timings) == self.request.best_of:
                ranked = {"candidates": [timing.as_json() for timing in timings]}
                yield replace(best, info=best.info | ranked)
                timings, best = [], None

    def _candidates(
        self, keys: Sequence[tuple[int, int]], batch_size: int, count: Callable[[int], Any]
    ) -> Iterator[tuple[list[Key], int, np.ndarray]]:
        """Of each candidate its batch, its place there, and its waveforms (s, n): the mean of its draws."""
        draws = self.request.draws
        if draws > 1:
            # All batches of one size, so that a song that is made again is so to the last bit.
            batch_size = max(size for size in range(1, min(batch_size, draws) + 1) if draws % size == 0)
        numbered = [(*key, number) for key in keys for number in range(self.request.best_of * draws)]
        total = np.empty(0)
        for begin in range(0, len(numbered), batch_size):
            batch = numbered[begin : begin + batch_size]
            for position, waveforms in enumerate(self._waveforms(batch, count)):
                draw = batch[position][2] % draws
                if draw == 0:
                    total = waveforms
                else:
                    total += waveforms
                if draw == draws - 1:
                    total /= draws
                    yield batch, position, total

    def _beats(self, key: Key) -> Beats | None:
        """The beats of a song, where they are known."""
        if self.plan.drawn_bpm is None:
            return self.plan.beats
        seed, clip, _ = key
        return drawn_beats(seed, clip, self.plan.drawn_bpm, self.plan.num_samples / self.plan.grid.sample_rate)

    def _asked_beats(self, key: Key) -> Beats | None:
        """The beats that a song should keep."""
        told = self.plan.drawn_bpm is not None or "detected_beats" in self.plan.facts
        return self._beats(key) if self.request.names_beats or told else None

    def _waveforms(self, keys: list[Key], count: Callable[[int], Any]) -> Iterator[np.ndarray]:
        def counted(steps: list[Step]) -> Iterable[Step]:
            for step in steps:
                yield step
                count(len(keys))

        generate = functools.partial(
            self.model.generate,
            sampling=self.sampling,
            guidance=self.request.guidance,
            resampling=self.request.resampling,
            progress=counted,
        )
        with torch.inference_mode(), exact_float32():
            plan = self.plan
            if plan.drawn_bpm is not None:
                plan = told_clicks(plan, self.model, [self._beats(key) for key in keys])
            rendered = render(self.model, plan, keys, generate, self.autocast)
        # Outside: what the caller does between two songs is not inference.
        for waveforms in rendered:
            if not all(np.isfinite(row).all() for row in waveforms):
                raise InputError("model: gives samples that are not numbers; use float32 or another checkpoint")
            yield waveforms

    def _song(self, batch: list[Key], position: int, waveforms: np.ndarray) -> Song:
        seed, clip, candidate = batch[position]
        info: dict[str, Any] = {"seed": seed, "clip": clip}
        if self.request.best_of > 1:
            info["candidate"] = candidate // self.request.draws
        if len(batch) > 1:
            info["batch"] = {"position": position, "size": len(batch)}
        info["sampling"] = vars(self.sampling)
        if self.described:
            info["steering"] = self.described
        stems = dict(zip(self.model.stems, waveforms, strict=True))
        song = Song(stems, self.plan.grid.sample_rate, info, self._beats(batch[position]))
        kept, gains = self.plan.kept, {}
        if kept.anything or self.plan.mix is not None:
            gains = {"gain": kept.level, "mix_gain": peak_gain([song.mix])}
        elif kept.level != 1:
            gains = {"gain": kept.level}
        return replace(song, info=song.info | gains)
