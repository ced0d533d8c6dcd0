"""What a person asks a model to play: the options of a song, checked for what they mean together.

Nothing here knows a model; `synctrack.generation.plan` says what a request means for one.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from synctrack.audio.beat_files import Beats, read_beats
from synctrack.bounds import shortened
from synctrack.errors import InputError
from synctrack.generation.values import as_beats, as_names, is_number, is_whole, pair

MAX_SECONDS = 3600.0
MAX_GUIDANCE = 20.0
MAX_RESAMPLING = 20
MAX_CANDIDATES = 256
MAX_DRAWS = 256
MAX_BARS = 10_000
MAX_LEVEL = 1000.0
METHODS = ("masks", "generated")
"""What separation gives: the mixture shared out by soft masks, or the generated stems as they are."""
MASK_DEFAULTS = {"draws": 4, "steps": 5}
"""Draws whose masks separation averages, and calls of the U-Net for each: the calls of one draw of 20."""
NO_BEATS = "none"
"""As `beats`: the model is told no beats."""
LONG = ("windows", "whole")
"""How songs beyond the trained length are generated: window by window, or in one pass."""

Waveform = Any
"""A path to an audio file; an array (num_samples,) or (channels, num_samples); or a pair (array, rate in Hz)."""


@dataclass(frozen=True)
class Request:
    """What is asked for, beyond seed and sampler.

    Attributes:
        seconds: length, above 0 and up to 3600 s; without steering it is rounded to the model's grid.
        bpm: tempo, 10 to 1000 beats per minute.
        meter: beats per bar, 1 to 64, with `bpm` only; by default 4.
        beats: `Beats`, seconds of beats of which the bars are not known, the path of a file of beats, or `"none"`: the
            model is told no beats, neither drawn nor detected ones nor those of the original.
        bars: of a new song, its number of bars; with `original`, the bars to change, counted from 1: `"5-8"`, `(5, 8)`
            or one number.
        given: stem -> path, array of samples (full scale is 1), or pair (array, rate in Hz).
        original: the song to change, a `Song` or its folder.
        redo: stems of the original to generate again.
        span: part of the original to change, `"4.0-8.0"` or (start, end) in seconds.
        extend: seconds to add to the original.
        strength: how much of the original goes, 0 (unchanged) to 1 (new): one number, or stem -> number, where stems
            that are not named stay as they are.
        loop: whether the end continues into the beginning.
        best_of: candidates of which the best is kept, 1 to 256.
        guidance: weight of what is told, 0 to 20; 1 is the model as trained.
        resampling: further evaluations of each step, 0 to 20.
        long: beyond the trained length, `"windows"` or `"whole"`.
        mix: audio to separate, as in `given`.
        method: of separation, `"masks"` or `"generated"`.
        draws: masks to average, 1 to 256.
        level: gain that the given stems already have, above 0 and up to 1000.

    Raises:
        InputError: a value is out of its bounds, or two options contradict each other.
    """

    seconds: float | None = None
    bpm: float | None = None
    meter: int | None = None
    beats: Beats | Sequence[float] | str | Path | None = None
    bars: int | str | Sequence[int] | None = None
    given: Mapping[str, Waveform] = field(default_factory=dict)
    original: Any = None
    redo: Sequence[str] = ()
    span: str | Sequence[float] | None = None
    extend: float | None = None
    strength: float | Mapping[str, float] | None = None
    loop: bool = False
    best_of: int = 1
    guidance: float = 1.0
    resampling: int = 0
    long: str | None = None
    mix: Waveform = None
    method: str | None = None
    draws: int = 1
    level: float = 1.0

    def __post_init__(self) -> None:
        # The mappings and sequences of a caller may change later, and one name may stand for a list of one.
        if not isinstance(self.given, Mapping | None):
            raise InputError("given: must say which stem is which audio, such as {'drums': 'drums.wav'}")
        object.__setattr__(self, "given", dict(self.given or {}))
        object.__setattr__(self, "redo", as_names("redo", self.redo))
        if self.beats is not None and not isinstance(self.beats, Beats | str | Path):
            object.__setattr__(self, "beats", as_beats(self.beats))
        if not isinstance(self.loop, bool | np.bool_):
            raise InputError(f"loop: {shortened(self.loop)} is not True or False")
        object.__setattr__(self, "loop", bool(self.loop))
        for item in fields(self):
            # Numbers of NumPy are as good as Python's, but no JSON.
            value = getattr(self, item.name)
            if isinstance(value, Real) and not isinstance(value, bool | int | float):
                object.__setattr__(self, item.name, int(value) if isinstance(value, Integral) else float(value))
        self._check_values()
        self._check_beats()
        if self.original is None:
            self._check_new()
        else:
            self._check_change()

    @property
    def bar_range(self) -> tuple[int, int] | None:
        """First and last bar, from 1, where `bars` is a range of an original; None where it is a number or not given.

        Raises:
            InputError: it is neither.
        """
        if self.bars is None or (self.original is None and is_whole(self.bars)):
            return None
        first, last = pair("bars", self.bars, "two whole numbers such as 5-8", int)
        if not 1 <= first <= last <= MAX_BARS:
            raise InputError(f"bars: {first}-{last} is not a range of bars, counted from 1, such as 5-8")
        return first, last

    @property
    def span_seconds(self) -> tuple[float, float] | None:
        """Start and end of `span`, in seconds.

        Raises:
            InputError: it is not a range.
        """
        if self.span is None:
            return None
        start, stop = pair("span", self.span, "two numbers of seconds such as 4.0-8.0", float)
        if not 0 <= start < stop <= MAX_SECONDS:
            raise InputError(f"span: {start:g}-{stop:g} s is not a range of seconds such as 4.0-8.0")
        return start, stop

    @property
    def asked(self) -> dict[str, Any]:
        """What is not as by default, by name."""
        result = {}
        for item in fields(self):
            value = getattr(self, item.name)
            empty = value is None or (isinstance(value, list | dict) and not value)
            # Arrays are not compared: what holds them is None by default.
            if not (empty or (item.default is not None and item.default is not MISSING and value == item.default)):
                result[item.name] = value
        return result

    @property
    def wants_no_beats(self) -> bool:
        """Whether it is asked for that the model is told no beats."""
        return isinstance(self.beats, str) and self.beats == NO_BEATS

    @property
    def names_beats(self) -> bool:
        """Whether a tempo or beats are asked for."""
        return self.bpm is not None or not (self.beats is None or self.wants_no_beats)

    @property
    def leaves_beats_open(self) -> bool:
        """Whether beats may be drawn or detected: neither a tempo nor beats are asked for, nor that there be none."""
        return self.bpm is None and self.beats is None

    @property
    def leaves_tempo_open(self) -> bool:
        """Whether a song is asked for without anything that its tempo would follow from."""
        told = self.given or self.original is not None or self.mix is not None
        return self.leaves_beats_open and not (told or self.loop)

    @functools.cached_property
    def named_beats(self) -> Beats | None:
        """The beats of the file or value that `beats` names, all of them; read once. None where it names none.

        Raises:
            InputError: the file of beats is missing or damaged.
        """
        if self.wants_no_beats:
            return None
        return read_beats(self.beats) if isinstance(self.beats, str | Path) else self.beats

    @property
    def steers(self) -> bool:
        """Whether anything is asked for that changes what is generated, beside a length."""
        beats = () if self.names_beats else ("beats",)
        return bool(set(self.asked) - {"seconds", "long", "best_of", *beats})

    def _check_values(self) -> None:
        for name in ("seconds", "extend"):
            value = getattr(self, name)
            if value is not None and not (is_number(value) and 0 < value <= MAX_SECONDS):
                raise InputError(f"{name}: {value} is not a number above 0 and up to {MAX_SECONDS:g}")
        if not (is_number(self.guidance) and 0 <= self.guidance <= MAX_GUIDANCE):
            raise InputError(f"guidance: {self.guidance} is not between 0 and {MAX_GUIDANCE:g}")
        bounds = {"resampling": (0, MAX_RESAMPLING), "best_of": (1, MAX_CANDIDATES), "draws": (1, MAX_DRAWS)}
        for name, (lowest, highest) in bounds.items():
            value = getattr(self, name)
            if not (is_whole(value) and lowest <= value <= highest):
                raise InputError(f"{name}: {value} is not a whole number from {lowest} to {highest}")
        if self.long is not None and self.long not in LONG:
            raise InputError(f"long: {self.long!r} must be one of {', '.join(LONG)}")
        if self.method is not None and self.method not in METHODS:
            raise InputError(f"method: {self.method!r} must be one of {', '.join(METHODS)}")
        if self.method is not None and self.mix is None:
            raise InputError("method: says how a mix is separated; leave it out, or give a mix")
        if not (is_number(self.level) and 0 < self.level <= MAX_LEVEL):
            raise InputError(f"level: {self.level} is not a number above 0 and up to {MAX_LEVEL:g}")
        if self.level != 1 and not self.given:
            raise InputError("level: is the gain that given stems have; leave it out, or give stems")
        if self.draws > 1 and (self.mix is None or self.method == "generated"):
            raise InputError(
                "draws: averages the masks that share out a mix; leave it out, or separate with method masks"
            )
        strengths = self.strength if isinstance(self.strength, Mapping) else {"": self.strength}
        for stem, value in strengths.items():
            if value is not None and not (is_number(value) and 0 <= value <= 1):
                raise InputError(f"strength: {f'{stem}=' if stem else ''}{value} is not between 0 and 1")

    def _check_beats(self) -> None:
        if self.bpm is not None and self.beats is not None:
            raise InputError("bpm, beats: say the tempo by one of them, not by both")
        if self.meter is not None and self.bpm is None:
            raise InputError("meter: goes with bpm; a file of beats says where its bars begin")
        if self.bpm is not None and not (is_number(self.bpm) and 10 <= self.bpm <= 1000):
            raise InputError(f"bpm: {self.bpm} is not between 10 and 1000")
        if self.meter is not None and not (is_whole(self.meter) and 1 <= self.meter <= 64):
            raise InputError(f"meter: {self.meter} is not a whole number from 1 to 64")

    def _check_new(self) -> None:
        for name in ("redo", "span", "extend", "strength"):
            if getattr(self, name) not in (None, []):
                raise InputError(f"{name}: changes a song that is there; name its folder (--from, original=)")
        if self.mix is not None and (self.given or self.loop):
            raise InputError("mix: does not go with given or loop; leave one out")
        if self.bars is None:
            return
        if not is_whole(self.bars):
            raise InputError(
                f"bars: {self.bars} is a part of a song that is there; name its folder (--from, original=)"
            )
        if not 1 <= self.bars <= MAX_BARS:
            raise InputError(f"bars: {self.bars} is not between 1 and {MAX_BARS}")
        if self.seconds is not None:
            raise InputError("bars, seconds: say the length by one of them, not by both")
        if not self.names_beats:
            raise InputError("bars: how long a bar is follows from the tempo; add bpm or beats")

    def _check_change(self) -> None:
        asked = {
            "seconds": self.seconds is not None,
            "given": self.given,
            "loop": self.loop,
            "mix": self.mix is not None,
        }
        for name, is_asked in asked.items():
            if is_asked:
                raise InputError(f"{name}: does not go with a song that is there (--from, original=); leave one out")
        if self.bars is not None and self.span is not None:
            raise InputError("bars, span: say the part by one of them, not by both")
        self.bar_range, self.span_seconds  # noqa: B018 - refuses what is not a range
        part = self.redo or self.bars is not None or self.span is not None
        if self.extend is not None and (part or self.strength is not None):
            raise InputError("extend: does not go with redo, bars, span or strength; change one thing at a time")
        if not part and self.extend is None and self.strength is None:
            raise InputError("original: say what to change: redo, bars, span, extend or strength")
