"""`score`: the rhythm metrics of a song, of several, or of a folder, for use from Python."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from synctrack.errors import InputError
from synctrack.metrics.score import score_folder
from synctrack.metrics.tables import counts_line, notes, table


class SavesStems(Protocol):
    """A song in memory, such as `synctrack.Song`."""

    def save(self, folder: Path, file_format: str) -> Path:
        """Write one audio file for each stem into `folder`."""
        ...


class Score(float):
    """A metric's value, with what it takes to read it; NaN where the metric is not defined.

    Attributes:
        interval: 95 % bootstrap interval over songs, or None where there is none.
        chance: the value of the same stems paired at random across songs, or None where that is not defined.
    """

    interval: tuple[float, float] | None
    chance: float | None

    def __new__(cls, value: float, interval: tuple[float, float] | None, chance: float | None) -> "Score":
        self = super().__new__(cls, value)
        self.interval, self.chance = interval, chance
        return self

    def __repr__(self) -> str:
        interval = f", interval=({self.interval[0]:.4f}, {self.interval[1]:.4f})" if self.interval else ""
        chance = f", chance={self.chance:.4f}" if self.chance is not None else ""
        return f"Score({float(self):.4f}{interval}{chance})"


@dataclass(frozen=True)
class Scores:
    """The rhythm metrics in one protocol.

    Attributes:
        irs: inter-beat-interval regularity in seconds; lower is better.
        cbs: cross-stem beat synchronisation, 0 to 1; higher is better.
        cbd: cross-stem beat deviation in half beats; lower is better.
        coverage: share of beats that CBD could pair.
        protocol: `corrected` or `paper`.
        details: all that `synctrack score --json` writes.
    """

    irs: Score
    cbs: Score
    cbd: Score
    coverage: float
    protocol: str
    details: dict[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return "\n".join([table(self.details), *notes(self.details), counts_line(self.details)])


def score(
    source: str | Path | SavesStems | Sequence[SavesStems],
    reference: str | Path | None = None,
    protocol: str = "corrected",
    **options: Any,
) -> Scores:
    """Score the rhythm of stems by IRS, CBS and CBD (Wang et al., 2026, section on rhythm metrics).

    Args:
        source: a song's folder, a folder of songs or of stems, a `Song`, or several of them.
        reference: another folder; its scores are in `details["reference"]`, the differences in `details["comparison"]`.
        protocol: `corrected` or `paper`.
        options: more of `synctrack.metrics.score.score_folder`, such as `tracker`, or, of a folder, `layout`.

    Raises:
        InputError: the folder is not one of stems, or the tracker is not installed.

    Example:
        >>> from synctrack import score
        >>> scores = score("song")  # doctest: +SKIP
        >>> scores.cbs, scores.cbs.interval, scores.cbs.chance  # doctest: +SKIP
    """
    if protocol == "both":
        raise InputError("protocol: must be corrected or paper here; synctrack score prints both")
    if isinstance(source, str | Path):
        return _as_scores(score_folder(source, reference, protocol, **options), protocol)
    songs = [source] if hasattr(source, "save") else list(source)
    if not songs:
        raise InputError("score: there is no song to score")
    with tempfile.TemporaryDirectory() as folder:
        for number, song in enumerate(songs):
            song.save(Path(folder, f"song_{number:05d}"), "float")
        return _as_scores(score_folder(folder, reference, protocol, layout="songs", **options), protocol)


def _as_scores(details: dict[str, Any], protocol: str) -> Scores:
    values = details["protocols"][protocol]

    def read(name: str) -> Score:
        interval, chance = values["interval_95"].get(name), values["chance_floor"].get(name)
        value = math.nan if values[name] is None else values[name]
        return Score(value, tuple(interval) if interval is not None else None, chance)

    metrics = {name: read(name) for name in ("irs", "cbs", "cbd")}
    coverage = math.nan if values["coverage"] is None else values["coverage"]
    return Scores(**metrics, coverage=coverage, protocol=protocol, details=details)
