"""A request's song before it meets the model's grid: its length, its beats, and the audio that is kept."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from synctrack.audio.beat_files import Beats
from synctrack.errors import InputError
from synctrack.generation.assembly import Kept
from synctrack.generation.detection import detected_beats
from synctrack.generation.grid import Grid
from synctrack.generation.inputs import fitted, read_given
from synctrack.generation.request import MAX_SECONDS, Request
from synctrack.generation.song import Song, load_song
from synctrack.generation.timing import (
    asked_beats,
    bar_span,
    beats_json,
    complement,
    continued_beats,
    new_length,
    preceded_beats,
    until,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Draft:
    """A song as it is asked for.

    Attributes:
        num_samples: of the song; None leaves it to the model.
        kept: the audio that stays, by stem.
        beats: of the song, where they are known.
        mix: (n,) the mixture to separate; None without.
        original: (s, n) what the song is a variation of; None without.
        strength: (s,) of the variation.
        facts: of given audio and original, for `song.json`.
        loop: whether its end is to go over into its beginning.
        original_key: seed and clip of what the song is made from; None without, or where it does not say.
    """

    num_samples: int | None
    kept: Kept
    beats: Beats | None = None
    mix: np.ndarray | None = None
    original: np.ndarray | None = None
    strength: list[float] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    loop: bool = False
    original_key: tuple[Any, Any] | None = None


def new_song(request: Request, stems: Sequence[str], grid: Grid, tempi: Sequence[float] | None = None) -> Draft:
    """The draft of a song without an original.

    Args:
        request: what is asked for.
        stems: of the model.
        grid: of the model.
        tempi: lowest and highest tempo (BPM) of which the model can be told; None where it cannot be told beats, so
            that those of given stems need not be detected.

    Raises:
        InputError: a given stem is not one of the model's, given audio cannot be used, or nothing is left to generate.
    """
    if unknown := [stem for stem in request.given if stem not in stems]:
        raise InputError(f"given: {unknown[0]!r} is not a stem of the model; its stems are {', '.join(stems)}")
    if len(request.given) == len(stems):
        raise InputError(f"given: all of the stems {', '.join(stems)} are given; nothing is left to generate")
    rate = grid.sample_rate
    audio = {stem: read_given(f"given {stem}", source, rate, grid.frame) for stem, source in request.given.items()}
    mix = None if request.mix is None else read_given("mix", request.mix, rate, grid.frame)
    everything = [*audio.values(), *([mix] if mix else [])]
    num_samples = new_length(request, max((len(item.waveform) for item in everything), default=0), rate)
    facts = {"given": {stem: item.facts for stem, item in audio.items()}} if audio else {}
    facts |= {"mix": mix.facts} if mix else {}
    length = grid.window * grid.frame if num_samples is None else num_samples
    waveforms, spans = {}, {}
    for stem, item in audio.items():
        waveforms[stems.index(stem)] = fitted(f"given {stem}", item.waveform, length, rate)
        spans[stems.index(stem)] = [(0, length)]
    wave = fitted("mix", mix.waveform, length, rate) if mix else None
    beats = asked_beats(request, length / rate)
    if tempi is not None and audio and request.leaves_beats_open:
        beats, detected = _detected([item.waveform for item in audio.values()], rate, length / rate, tempi)
        facts |= detected
    return Draft(num_samples, Kept(waveforms, spans, request.level), beats, wave, facts=facts, loop=request.loop)


def changed_song(request: Request, stems: Sequence[str], grid: Grid, tempi: Sequence[float] | None = None) -> Draft:
    """The draft of a song made from one that is there. Arguments as of `new_song`.

    Raises:
        InputError: the original is not a song of this model's stems and rate, the part to change does not exist, or
            nothing of it would stay, or change.
    """
    song, facts = _original(request.original, stems, grid)
    key = song.info.get("seed"), song.info.get("clip")
    waveforms = np.stack([np.asarray(song[stem], np.float32) for stem in stems])
    level = song.gain
    seconds = song.seconds + (request.extend or 0.0)
    beats = asked_beats(request, seconds) or song.beats
    if request.extend is not None:
        if tempi is not None and beats is None and request.leaves_beats_open:
            beats, detected = _detected(list(waveforms), song.sample_rate, seconds, tempi)
            facts |= detected
        return replace(_extended(request, song, waveforms, level, beats, facts), original_key=key)
    start, stop = _part(request, song, beats)
    if start == stop:
        raise InputError(f"span: {request.span} is less than a sample of the song")
    if unknown := [stem for stem in request.redo if stem not in stems]:
        raise InputError(f"redo: {unknown[0]!r} is not a stem of the song; its stems are {', '.join(stems)}")
    strength = None if request.strength is None else _strengths(request.strength, stems)
    spans = {}
    for index, stem in enumerate(stems):
        fixed = (request.redo and stem not in request.redo) or (strength and strength[index] == 0)
        spans[index] = [(0, song.num_samples)] if fixed else complement([(start, stop)], song.num_samples)
    if not any(complement(kept, song.num_samples) for kept in spans.values()):
        raise InputError("strength: is 0 for every stem that may change; the song would stay as it is")
    if not any(spans.values()) and strength is None:
        raise InputError("redo: nothing of the song would stay; generate a new one instead")
    kept = Kept(dict(enumerate(waveforms)), spans, level)
    original = None if strength is None else waveforms / np.float32(level)
    loop, stays = _loop(song, kept, original is not None)
    facts |= {"loop": True} if stays else {}
    return Draft(song.num_samples, kept, beats, None, original, strength, facts, loop, key)


def _loop(song: Song, kept: Kept, varied: bool) -> tuple[bool, bool]:
    """Whether the new song is to be made as a loop, and whether it is one: of an original that is."""
    if not song.loops:
        return False, False
    parts = {index: complement(spans, song.num_samples) for index, spans in kept.spans.items()}
    whole = all(part in ([], [(0, song.num_samples)]) for part in parts.values())
    if whole and not varied:
        return True, True
    inside = all(start > 0 and stop < song.num_samples for part in parts.values() for start, stop in part)
    if not inside:
        logger.warning("the original is a loop; what changes at its end no longer goes over into its beginning")
    return False, inside


def _detected(
    waveforms: Sequence[np.ndarray], sample_rate: int, seconds: float, tempi: Sequence[float]
) -> tuple[Beats | None, dict[str, Any]]:
    """The beats of what is given, continued over the whole song of `seconds`; and what song.json says of them."""
    length = max(len(wave) for wave in waveforms)
    beats = detected_beats([np.pad(wave, (0, length - len(wave))) for wave in waveforms], sample_rate, tempi)
    if beats is None:
        return None, {}
    try:
        beats = until(continued_beats(preceded_beats(beats), seconds), seconds)
    except InputError:
        # What is given goes on beyond the song, which is too short for two beats.
        return None, {}
    return beats, {"detected_beats": beats_json(beats)}


def _original(source: Any, stems: Sequence[str], grid: Grid) -> tuple[Song, dict[str, Any]]:
    """The song, and what song.json says of it."""
    song = load_song(source) if isinstance(source, str | Path) else source
    if not isinstance(song, Song):
        raise InputError("original: must be a Song or the folder of one")
    name = source if isinstance(source, str | Path) else "original"
    if set(song.stems) != set(stems):
        raise InputError(f"{name}: has the stems {', '.join(song.stems)}, the model {', '.join(stems)}")
    if song.sample_rate != grid.sample_rate:
        raise InputError(f"{name}: is at {song.sample_rate} Hz, the model at {grid.sample_rate} Hz")
    if song.num_samples < grid.frame:
        raise InputError(f"{name}: is shorter than a frame of the model, {grid.frame / grid.sample_rate:g} s")
    path = {"path": str(Path(source).resolve())} if isinstance(source, str | Path) else {}
    return song, {"original": {**path, "sha256": song.sha256}}


def _part(request: Request, song: Song, beats: Beats | None) -> tuple[int, int]:
    """The samples [start, stop) that may change."""
    if request.bar_range is not None:
        start, stop = bar_span(beats, request.bar_range, song.seconds)
    elif request.span_seconds is not None:
        start, stop = request.span_seconds
        if start >= song.seconds:
            raise InputError(f"span: begins at {start:g} s, but the song is {song.seconds:g} s long")
        if stop > song.seconds:
            logger.warning("span: is cut at the song's end, %g s", song.seconds)
    else:
        return 0, song.num_samples
    return round(start * song.sample_rate), min(song.num_samples, round(stop * song.sample_rate))


def _strengths(strength: float | Mapping[str, float], stems: Sequence[str]) -> list[float]:
    if not isinstance(strength, Mapping):
        return [float(strength)] * len(stems)
    if unknown := [stem for stem in strength if stem not in stems]:
        raise InputError(f"strength: {unknown[0]!r} is not a stem of the song; its stems are {', '.join(stems)}")
    return [float(strength.get(stem, 0.0)) for stem in stems]


def _extended(
    request: Request, song: Song, waveforms: np.ndarray, level: float, beats: Beats | None, facts: dict[str, Any]
) -> Draft:
    seconds = song.seconds + request.extend
    if seconds > MAX_SECONDS:
        raise InputError(f"extend: the song would be {seconds:g} s long; up to {MAX_SECONDS:g} s are possible")
    if beats is not None and not request.names_beats:
        beats = continued_beats(beats, seconds)
    spans = {index: [(0, song.num_samples)] for index in range(len(waveforms))}
    kept, num_samples = Kept(dict(enumerate(waveforms)), spans, level), round(seconds * song.sample_rate)
    if num_samples <= song.num_samples:
        raise InputError(f"extend: {request.extend:g} s is less than a sample of the song")
    return Draft(num_samples, kept, beats, facts=facts)
