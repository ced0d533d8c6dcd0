"""What a person asks for on the page, as settings of `SyncTrack.check`, and in words for the list of takes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synctrack.errors import InputError
from synctrack.generation.request import MASK_DEFAULTS
from synctrack.studio.sessions import Session, Take
from synctrack.studio.uploads import find_upload

MAX_STEPS = 200
MAX_CANDIDATES = 16
MAX_SEED = 2**32 - 1
BARS, SECONDS = "bars", "seconds"
BEATS, MIX = "beats", "mix"
"""Names of uploads beside those of the stems."""


@dataclass(frozen=True)
class Asked:
    """What is to be made.

    Attributes:
        settings: of `SyncTrack.check`.
        seed: of the song.
        label: what is done, in words.
        before: number of the take that was current; None where there was none.
    """

    settings: dict[str, Any]
    seed: int
    label: str
    before: int | None = None


@dataclass(frozen=True)
class Form:
    """The fields of a new song, as the page has them: numbers may be None or floats, texts empty.

    Attributes:
        seed: 0 or more.
        bpm: beats per minute; None or 0 lets the model choose.
        meter: beats per bar.
        unit: `bars` or `seconds`.
        length: so many of them; None or 0 is what the model was trained on.
        loop: whether the end goes over into the beginning.
        best_of: candidates, of which the best is kept.
        sampler: its name.
        steps: calls of the U-Net.
        guidance: 1, or more to follow what is told more closely.
        uploads: stem, or `beats` -> token of its upload.
    """

    seed: float | None = 0
    bpm: float | None = None
    meter: float | None = None
    unit: str = SECONDS
    length: float | None = None
    loop: bool = False
    best_of: float | None = 1
    sampler: str = "dpmpp_2m_sde"
    steps: float | None = 20
    guidance: float | None = 1.0
    uploads: Mapping[str, str] = field(default_factory=dict)


def ask_new(session: Session, form: Form, before: int | None) -> Asked:
    """A new song.

    Raises:
        InputError: a field is out of its bounds, or an upload is gone.
    """
    seed = whole("seed", form.seed, 0, MAX_SEED)
    settings = sampling(form.sampler, form.steps) | {"best_of": whole("best of", form.best_of, 1, MAX_CANDIDATES)}
    settings |= {"loop": bool(form.loop), "guidance": number("guidance", form.guidance, 0, 20)}
    words = [f"seed {seed}"]
    given = {stem: token for stem, token in form.uploads.items() if stem not in (BEATS, MIX)}
    if given:
        settings["given"] = {stem: find_upload(session, token) for stem, token in given.items()}
        words.append(f"for given {' and '.join(given)}")
    if form.uploads.get(BEATS):
        settings["beats"] = find_upload(session, form.uploads[BEATS])
        words.append("to given beats")
    if form.bpm:
        settings["bpm"] = number("tempo", form.bpm, 10, 1000)
        settings["meter"] = whole("meter", 4 if form.meter is None else form.meter, 1, 64)
        words.append(f"{form.bpm:g} BPM")
    elif form.meter not in (None, 0, 4):
        raise InputError("beats per bar: go with a tempo; add one, or leave them at 4")
    if form.length:
        settings |= _length(form.unit, form.length)
        words.append(f"{form.length:g} {'s' if form.unit == SECONDS else 'bars'}")
    if form.loop:
        words.append("loop")
    return Asked(settings, seed, ", ".join(words), before)


def ask_again(take: Take, stems: Sequence[str], bars: str, span: str, seed: int) -> Asked:
    """Another take of some stems, in some bars or seconds or throughout.

    Raises:
        InputError: no stem is chosen.
    """
    if not stems:
        raise InputError("stems: choose those that are to be played again")
    settings: dict[str, Any] = {"original": take.song_folder}
    # All stems are no choice of stems: then the part alone says what changes.
    if set(stems) != set(take.stems) or not (bars.strip() or span.strip()):
        settings["redo"] = list(stems)
    settings |= {name: text.strip() for name, text in (("bars", bars), ("span", span)) if text.strip()}
    part = f", bars {bars.strip()}" if bars.strip() else f", {span.strip()} s" if span.strip() else ""
    return Asked(settings, seed, f"{' and '.join(stems)} again{part}", take.number)


def ask_longer(take: Take, seconds: float | None, seed: int) -> Asked:
    """A song that goes on from its end. Raises InputError where no length is given."""
    seconds = number("extend", seconds, 0.01, 3600)
    return Asked({"original": take.song_folder, "extend": seconds}, seed, f"{seconds:g} s more", take.number)


def ask_variation(take: Take, strengths: Mapping[str, float], seed: int) -> Asked:
    """A variation, of each stem as much as its strength says.

    Raises:
        InputError: a strength is not between 0 and 1.
    """
    checked = {stem: number(f"strength of {stem}", value, 0, 1) for stem, value in strengths.items()}
    label = ", ".join(f"{stem} {value:g}" for stem, value in checked.items() if value)
    return Asked({"original": take.song_folder, "strength": checked}, seed, f"variation: {label}", take.number)


def ask_loop(take: Take, stems: Sequence[str], seed: int) -> Asked:
    """A loop of the take's length and tempo: these stems are played again, to the others as they are.

    Raises:
        InputError: no stem is chosen, or the take is damaged.
    """
    if not stems:
        raise InputError("stems: choose those that are to be played as a loop")
    song = take.song()
    kept = [stem for stem in take.stems if stem not in stems]
    settings: dict[str, Any] = {"loop": True, "seconds": song.seconds}
    if kept:
        settings["given"] = {stem: take.song_folder / f"{stem}.wav" for stem in kept}
        settings["level"] = song.gain
    if song.beats is not None:
        settings["beats"] = song.beats
    return Asked(settings, seed, f"{' and '.join(stems)} as a loop", take.number)


def ask_separation(session: Session, token: str, before: int | None) -> Asked:
    """The stems of a mix. Raises InputError where its upload is gone."""
    if not token:
        raise InputError("mix: give the file to separate")
    settings = {"mix": find_upload(session, token), "method": "masks"} | MASK_DEFAULTS
    return Asked(settings, 0, "separated from a mix", before)


def sampling(sampler: str, steps: float | None) -> dict[str, Any]:
    """Sampler and steps as settings. Raises InputError where the steps are out of bounds."""
    return {"sampler": sampler, "steps": whole("steps", steps, 1, MAX_STEPS)}


def number(name: str, value: Any, lowest: float, highest: float) -> float:
    """A finite number within bounds. Raises InputError, with `name`, where it is not."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not known or not lowest <= value <= highest:
        found = "nothing" if value is None else str(value)[:40]
        raise InputError(f"{name}: {found} is not a number from {lowest:g} to {highest:g}")
    return float(value)


def whole(name: str, value: Any, lowest: int, highest: int) -> int:
    """A whole number within bounds; fields of numbers may give it as a float. Raises InputError where it is not."""
    checked = number(name, value, lowest, highest)
    if checked != int(checked):
        raise InputError(f"{name}: {checked:g} is not a whole number")
    return int(checked)


def _length(unit: str, length: float) -> dict[str, Any]:
    if unit == BARS:
        return {"bars": whole("bars", length, 1, 10_000)}
    if unit != SECONDS:
        raise InputError(f"length: {unit!r} must be {BARS} or {SECONDS}")
    return {"seconds": number("seconds", length, 0.01, 3600)}
