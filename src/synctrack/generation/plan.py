"""What a request means for a model: the song on its grid, what is told and kept, and in which windows it is made."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from synctrack.audio.beat_files import Beats
from synctrack.audio.beats import MAX_BPM, MIN_BPM
from synctrack.audio.click import CLICK_SECONDS, click_track
from synctrack.errors import InputError
from synctrack.generation.assembly import Kept
from synctrack.generation.drafts import Draft, changed_song, new_song
from synctrack.generation.encoding import Encoded, LinearAudio, LoopAudio, Signal, Told, encode_mel
from synctrack.generation.grid import Grid, frame_mask, window_starts, without_borders
from synctrack.generation.request import Request
from synctrack.generation.timing import END_TOLERANCE
from synctrack.models.latent_diffusion import LatentDiffusion
from synctrack.models.vocoder import GriffinLim

LARGEST_STRETCH = 0.02

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """How a song is made.

    Attributes:
        grid: of the model.
        num_samples: of the song.
        frames: latent frames that are generated, at least as long.
        told: what the model is told.
        kept: audio that comes out as it went in.
        decoded: indices of the stems that are not kept as a whole.
        beats: of the song, where they are known.
        loop: whether the end goes over into the beginning.
        starts: first frame of each window.
        length: latent frames of a window.
        mix: (n,) the mixture that is shared out by masks; None without.
        facts: of given audio and original, for `song.json`.
        drawn_bpm: lowest and highest tempo of which each song is told one, drawn by its seed; None where beats are
            known, or nothing is told. See `synctrack.generation.tempo`.
        original_key: seed and clip of what the song is made from, as its `song.json` says them; None without.
    """

    grid: Grid
    num_samples: int
    frames: int
    told: Told
    kept: Kept
    decoded: tuple[int, ...]
    beats: Beats | None
    loop: bool
    starts: tuple[int, ...]
    length: int
    mix: np.ndarray | None
    facts: dict[str, Any]
    drawn_bpm: tuple[float, float] | None = None
    original_key: tuple[Any, Any] | None = None

    @property
    def circular(self) -> bool:
        """Whether the one window is a circle itself."""
        return self.loop and self.length == self.frames

    @property
    def in_one(self) -> bool:
        """Whether the song is one window."""
        return len(self.starts) == 1


def make_plan(request: Request, model: LatentDiffusion, trained_bpm: Sequence[float] | None = None) -> Plan:
    """Plan a song.

    Args:
        request: what is asked for.
        model: that generates it.
        trained_bpm: lowest and highest tempo that the model was trained on, where that is known.

    Raises:
        InputError: the model cannot be told what is asked for, or as `new_song` and `changed_song`.
    """
    grid, stems = Grid.of(model.config), model.stems
    draft_song = new_song if request.original is None else changed_song
    tempi = (trained_bpm or (MIN_BPM, MAX_BPM)) if "click" in model.config.conditioning.signals else None
    draft = draft_song(request, stems, grid, tempi)
    num_samples = draft.num_samples if request.steers else _rounded(request.seconds, grid)
    if num_samples is None:
        num_samples = grid.window * grid.frame
    drawn_bpm = _drawn_bpm(request, model, trained_bpm, num_samples / grid.sample_rate)
    _check_conditioning(request, draft, model, trained_bpm, drawn_bpm is not None)
    frames = grid.nearest(num_samples) if draft.loop else grid.covering(num_samples)
    if draft.loop:
        if isinstance(model.vocoder, GriffinLim):
            logger.warning("loop: Griffin-Lim carries no phase over the seam, which may be heard; a vocoder does")
        _say_stretch(num_samples, frames, grid)
    told = _told(request, draft, model, grid, num_samples, frames)
    decoded = tuple(stem for stem in range(len(stems)) if not draft.kept.whole(stem, num_samples))
    unknown = told.mask if draft.loop else _mask(draft, model, grid, num_samples, frames, to_the_end=True)
    unknown = ~unknown[list(decoded)].all(axis=0)
    starts, length = _windows(request, draft.loop, model, grid, frames, unknown)
    return Plan(
        grid=grid,
        num_samples=num_samples,
        frames=frames,
        told=told,
        kept=draft.kept,
        decoded=decoded,
        beats=draft.beats,
        loop=draft.loop,
        starts=tuple(starts),
        length=length,
        mix=None if request.method == "generated" else draft.mix,
        facts=draft.facts,
        drawn_bpm=drawn_bpm,
        original_key=draft.original_key,
    )


def _drawn_bpm(
    request: Request, model: LatentDiffusion, trained_bpm: Sequence[float] | None, seconds: float
) -> tuple[float, float] | None:
    """The range of tempi of songs whose tempo the request leaves open, where the model can be told one."""
    can_be_told = "click" in model.config.conditioning.signals and trained_bpm is not None
    if not (request.leaves_tempo_open and can_be_told):
        return None
    low, high = (float(bound) for bound in trained_bpm)
    # Two beats of the lowest tempo make an interval; a shorter song has no tempo.
    if seconds <= 60.0 / low + END_TOLERANCE:
        return None
    logger.info(
        "no tempo is asked: each song has its own, %g to %g BPM, by its seed (beats: none leaves it open)", low, high
    )
    return low, high


def _rounded(seconds: float | None, grid: Grid) -> int | None:
    """Samples of a clip of about so many seconds that fill the model's frames; says where they are rounded."""
    if seconds is None:
        return None
    num_samples = grid.nearest(round(seconds * grid.sample_rate)) * grid.frame
    exact, multiple = num_samples / grid.sample_rate, grid.unit * grid.frame / grid.sample_rate
    if not math.isclose(exact, seconds, abs_tol=0.5 / grid.sample_rate):
        logger.warning("%g s is rounded to %g s, a multiple of %g s", seconds, exact, multiple)
    return num_samples


def _check_conditioning(
    request: Request, draft: Draft, model: LatentDiffusion, trained_bpm: Sequence[float] | None, draws_tempo: bool
) -> None:
    """Refuse what the model cannot be told, and say what it does instead where it can do that."""
    able = model.config.conditioning
    if request.names_beats and "click" not in able.signals and request.bar_range is None:
        raise InputError(
            f"bpm, beats: this model cannot be told a tempo (it can be told {able.description}). A click is no part of "
            "the stems, so that it cannot be put in their place; give a stem that keeps the tempo (given, --given), or "
            "use a model that was trained with a click"
        )
    if draft.mix is not None and "mix" not in able.signals:
        raise InputError(
            f"mix: this model cannot separate (it can be told {able.description}). A mix is no part of the stems, so "
            "that it cannot be put in their place; use a model that was trained with a mix"
        )
    known = draft.kept.anything
    if known and not able.context:
        logger.warning("this model was not trained with context: what is known is put in its place at each step")
    beats = draws_tempo or _told_beats(request, draft, model) is not None
    if request.guidance != 1 and not (draft.mix is not None or beats or (known and able.context)):
        raise InputError("guidance: has no effect where the model is told nothing; add bpm, beats or given")
    if request.resampling and not known:
        raise InputError("resampling: has no effect where nothing is known; leave it out")
    if request.names_beats and trained_bpm is not None:
        low, high = trained_bpm
        if not low <= draft.beats.bpm <= high:
            logger.warning("%.3g BPM: the model was trained on %g to %g BPM", draft.beats.bpm, low, high)


def _say_stretch(num_samples: int, frames: int, grid: Grid) -> None:
    stretch = num_samples / (frames * grid.frame) - 1
    if abs(stretch) > 1e-9:
        say = logger.warning if abs(stretch) > LARGEST_STRETCH else logger.info
        made = frames * grid.frame / grid.sample_rate
        say("loop: is generated in %g s and stretched by %+.2f %%", made, 100 * stretch)


def _told(request: Request, draft: Draft, model: LatentDiffusion, grid: Grid, num_samples: int, frames: int) -> Told:
    mask = _mask(draft, model, grid, num_samples, frames)
    rows = np.flatnonzero(mask.any(axis=1)).tolist()
    known = None
    if rows:
        audio = np.stack([draft.kept.waveforms[stem] for stem in rows]) / np.float32(draft.kept.level)
        known = LoopAudio(model, grid, audio, frames) if draft.loop else LinearAudio(model, grid, audio)
    original = strength = None
    if draft.original is not None:
        padded = np.pad(draft.original, ((0, 0), (0, frames * grid.frame - num_samples)))
        original, strength = LinearAudio(model, grid, padded), torch.tensor(draft.strength)
    signals = {}
    beats = _told_beats(request, draft, model)
    if beats is not None:
        signals["click"] = _click(beats, model, grid, num_samples, frames, draft.loop)
    if draft.mix is not None:
        # As in training, where a mix is there throughout; behind its end it is silent.
        padded = np.pad(draft.mix[None], ((0, 0), (0, frames * grid.frame - num_samples)))
        signals["mix"] = Signal(LinearAudio(model, grid, padded), np.ones(frames, bool))
    return Told(mask, known, rows, signals, original, strength)


def _mask(
    draft: Draft, model: LatentDiffusion, grid: Grid, num_samples: int, frames: int, to_the_end: bool = False
) -> np.ndarray:
    """(s, frames) where a stem is known, without the margin at borders.

    With `to_the_end`, what is kept up to the song's end is known up to the grid's end too, which is not heard.
    """
    mask = np.zeros((len(model.stems), frames), bool)
    for stem, spans in draft.kept.spans.items():
        mask[stem] = bool(spans) if draft.loop else frame_mask(spans, frames, grid, num_samples)
        if to_the_end and spans and spans[-1][1] >= num_samples:
            mask[stem, grid.inside(*spans[-1])[0] :] = True
    return without_borders(mask, model.config.conditioning.margin, draft.loop)


def _told_beats(request: Request, draft: Draft, model: LatentDiffusion) -> Beats | None:
    """The beats of which the model is told: those of the song, unless it cannot be told any or is to be told none."""
    told = "click" in model.config.conditioning.signals and not request.wants_no_beats
    return draft.beats if told else None


@dataclass(frozen=True)
class ClickAudio:
    """The click track of beats, rendered where a window needs it; see `Encoded`."""

    model: LatentDiffusion
    grid: Grid
    beats: Beats

    def latents(self, start: int, length: int) -> torch.Tensor:
        """Scaled latents (1, c, length, f)."""
        rate, begin = self.grid.sample_rate, start * self.grid.frame / self.grid.sample_rate
        beats, downbeats = self.beats.beats - begin, self.beats.downbeats - begin
        near = (beats > -CLICK_SECONDS) & (beats < length * self.grid.frame / rate)
        track = click_track(beats[near], downbeats, length * self.grid.frame, rate)
        return encode_mel(self.model, self.model.mel(torch.from_numpy(track)[None].to(self.model.scale_factor.device)))


def _click(beats: Beats, model: LatentDiffusion, grid: Grid, num_samples: int, frames: int, loop: bool) -> Signal:
    rate = grid.sample_rate
    if loop:
        tail = math.ceil(CLICK_SECONDS * rate)
        track = click_track(beats.beats, beats.downbeats, num_samples + tail, rate)
        track[:tail] += track[num_samples:]
        audio: Encoded = LoopAudio(model, grid, track[None, :num_samples], frames)
        return Signal(audio, np.ones(frames, bool))
    # Behind the last beat of a file nothing is known of the tempo.
    end = round((beats.beats[-1] + beats.beats[-1] - beats.beats[-2]) * rate)
    # As in training, a click that lasts as long as the song is there throughout, up to the end of the grid.
    presence = np.arange(frames) * grid.frame < (end if end < num_samples else math.inf)
    if end < num_samples - rate:
        logger.warning("beats: end at %.3g s; what follows keeps no tempo", beats.beats[-1])
    return Signal(ClickAudio(model, grid, beats), presence)


def _windows(
    request: Request, loop: bool, model: LatentDiffusion, grid: Grid, frames: int, unknown: np.ndarray
) -> tuple[list[int], int]:
    """First frames of the windows, and their length."""
    if frames <= grid.window:
        return [0], frames
    by_windows = model.config.conditioning.context or request.original is not None or request.long == "windows"
    if request.long == "whole" or not by_windows:
        trained, exact = (count * grid.frame / grid.sample_rate for count in (grid.window, frames))
        logger.warning("the model was trained on %g s; over %g s what it generates may drift", trained, exact)
        return [0], frames
    return window_starts(frames, unknown, grid, loop), grid.window
