"""What is wrong with a song's timing, stem by stem: together, offset, drifting, other song, or cannot tell."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from synctrack.metrics.check.align import FEWEST_MEETINGS, Line, coarse, fine, fit_of, straighten
from synctrack.metrics.onsets import FileOnsets

TOGETHER, OFFSET, DRIFTING = "together", "offset", "drifting"
OTHER_SONG, CANNOT_TELL = "other song", "cannot tell"
LEAST_OFFSET = 0.014  # seconds; to this comes the spread of the stem's onsets, as soft attacks are late by nature
LEAST_UNUSUAL = 0.012  # seconds; the least offset where it is known how late the stem usually is
LEAST_OF_SPREAD, SHARE_OF_SPREAD = 0.010, 0.6  # the same for strummed chords: seconds, and a share of the spread
LEAST_DRIFT = 0.001
LEAST_DRIFT_LAG = 0.012  # seconds that a drift must amount to over the song
SURE = 4.0  # standard errors
UNRELATED = 0.12  # onset synchrony below which a stem has nothing to do with the others
RELATED = 0.35


@dataclass(frozen=True)
class Usual:
    """How late the onsets of a stem usually are in the songs of a folder, as soft attacks are by nature.

    Attributes:
        lag: seconds against the other stems.
        scatter: standard deviation of that over the songs, in seconds, robustly estimated.
    """

    lag: float
    scatter: float


@dataclass(frozen=True)
class StemTiming:
    """What was found of one stem.

    Attributes:
        finding: `together`, `offset`, `drifting`, `other song` or `cannot tell`.
        offset: seconds by which the stem is late (below 0: early) in the middle of the song, of a drifting stem at its
            start; NaN where that is not known.
        drift: seconds a second by which it falls back; 0.01 is 1 %.
        confidence: 0 to 1, of the finding.
        reason: why it cannot be told, or what the finding rests on.
    """

    finding: str
    offset: float
    drift: float
    confidence: float
    reason: str

    @property
    def faulty(self) -> bool:
        """Whether the stem can be mended."""
        return self.finding in (OFFSET, DRIFTING)

    def as_dict(self) -> dict[str, Any]:
        """As JSON: the attributes, with `offset_ms` and `drift_percent`."""
        values = {key: None if isinstance(v, float) and not np.isfinite(v) else v for key, v in asdict(self).items()}
        offset, drift = values.pop("offset"), values.pop("drift")
        values["offset_ms"] = None if offset is None else round(1000 * offset, 2)
        values["drift_percent"] = None if drift is None else round(100 * drift, 4)
        return values


def check_song(stems: Mapping[str, FileOnsets], usual: Mapping[str, Usual] | None = None) -> dict[str, StemTiming]:
    """What is wrong with each stem of a song.

    Faults of fewer than half of the stems can be found; of two stems, the later is named.

    Args:
        stems: stem → onsets, two or more.
        usual: stem → how late it usually is, of the stems of which that is known; offsets are beyond it.
    """
    usual = usual or {}
    stems = {
        name: replace(file, times=file.times - usual[name].lag) if name in usual else file
        for name, file in stems.items()
    }
    duration = max(file.duration for file in stems.values())
    usable = {name: file for name, file in stems.items() if file.problem is None}
    timings = {
        name: StemTiming(CANNOT_TELL, np.nan, np.nan, 0.0, str(file.problem))
        for name, file in stems.items()
        if file.problem
    }
    if len(usable) < 2:
        for name in usable:
            timings[name] = StemTiming(CANNOT_TELL, np.nan, np.nan, 0.0, "no other stem has enough onsets")
        return {name: timings[name] for name in stems}
    straight = dict(usable)
    found: dict[str, StemTiming] = {}
    for _ in range(max(1, (len(usable) - 1) // 2)):
        name, timing, line = _worst(straight, duration, usual)
        if not timing or name in found:
            break
        found[name] = timing
        if not timing.faulty:
            straight = {other: file for other, file in straight.items() if other != name}
            if len(straight) < 2:
                break
            continue
        file = straight[name]
        straight[name] = replace(file, times=straighten(file.times, line), chroma=np.zeros((0, 12)))
    for name in usable:
        timings[name] = found.get(name) or _unharmed(usable, straight, name, duration)
    return {name: timings[name] for name in stems}


def _worst(
    stems: Mapping[str, FileOnsets], duration: float, usual: Mapping[str, Usual]
) -> tuple[str, StemTiming | None, Line]:
    """The stem most out of time and what is wrong with it; None where all are together."""
    name, line, odds = coarse(stems)
    if odds > 0:
        line = fine(stems, name, line)
        timing = _amounts_to(line, duration, usual.get(name), 1 / (1 + np.exp(-odds)))
        if timing:
            return name, timing, line
    unrelated = _unrelated(stems)
    if unrelated:
        return unrelated, StemTiming(OTHER_SONG, np.nan, np.nan, 0.9, "its onsets meet the others' by chance"), line
    lines = {other: fine(stems, other, Line(0.0, 0.0)) for other in stems}
    lines = {other: found for other, found in lines.items() if np.isfinite(found.spread)}
    faults = {other: _amounts_to(found, duration, usual.get(other), 0.0) for other, found in lines.items()}
    faults = {other: fault for other, fault in faults.items() if fault}
    if not faults:
        return name, None, line
    # With two stems either may be the faulty one: the later is named.
    sizes = {other: _size(lines[other], duration, usual.get(other)) for other in faults}
    worst = max(faults, key=lambda other: (sizes[other], lines[other].at(duration / 2)))
    return worst, faults[worst], lines[worst]


def _threshold(line: Line, usual: Usual | None) -> float:
    """The largest offset in seconds that counts as together."""
    if usual is None:
        return LEAST_OFFSET + line.spread
    # Songs of a folder differ by this much without a fault, as their sounds do.
    uncertainty = np.hypot(usual.scatter, line.spread / np.sqrt(max(line.meetings, 1)))
    return max(LEAST_UNUSUAL, LEAST_OF_SPREAD + SHARE_OF_SPREAD * line.spread, SURE * float(uncertainty))


def _size(line: Line, duration: float, usual: Usual | None) -> float:
    """How far a line is from none, in units of what counts as a fault, rounded."""
    return round(max(abs(line.at(duration / 2)), abs(line.drift) * duration / 2) / _threshold(line, usual), 6)


def _amounts_to(line: Line, duration: float, usual: Usual | None, confidence: float) -> StemTiming | None:
    """The finding that a line amounts to; None where it is together."""
    amount = abs(line.drift) * duration
    sure = abs(line.drift) / max(line.drift_error, 1e-9)
    drifts = abs(line.drift) >= LEAST_DRIFT and amount > LEAST_DRIFT_LAG and sure > SURE
    reason = f"{line.meetings} onsets, spread {1000 * line.spread:.0f} ms"
    if drifts:
        strength = max(confidence, 1 - float(np.exp(-((sure / SURE) ** 2))))
        return StemTiming(DRIFTING, line.offset, line.drift, strength, reason)
    middle = line.at(duration / 2)
    threshold = _threshold(line, usual)
    if abs(middle) <= threshold:
        return None
    strength = max(confidence, 1 - float(np.exp(-((middle / threshold) ** 2))))
    return StemTiming(OFFSET, middle, 0.0, strength, reason)


def _unrelated(stems: Mapping[str, FileOnsets]) -> str | None:
    """A stem that meets the others by chance alone, where the others meet each other."""
    if len(stems) < 3:
        return None
    fits = {name: fit_of(stems, name, Line(0.0, 0.0)) for name in stems}
    worst = min(fits, key=lambda name: fits[name])
    others = {name: file for name, file in stems.items() if name != worst}
    together = np.mean([fit_of(others, name, Line(0.0, 0.0)) for name in others])
    return worst if fits[worst] < UNRELATED and together > RELATED else None


def _unharmed(
    usable: Mapping[str, FileOnsets], straight: Mapping[str, FileOnsets], name: str, duration: float
) -> StemTiming:
    """The finding for a stem in which no fault was found."""
    others = {other: file for other, file in straight.items() if other == name or other in usable}
    if name not in others or len(others) < 2:
        return StemTiming(CANNOT_TELL, np.nan, np.nan, 0.0, "no other stem is left to compare with")
    line, fit = fine(others, name, Line(0.0, 0.0)), fit_of(others, name, Line(0.0, 0.0))
    if line.meetings < FEWEST_MEETINGS or not np.isfinite(line.spread):
        reason = f"only {line.meetings} of its onsets are near another stem's"
        return StemTiming(CANNOT_TELL, np.nan, np.nan, 0.0, reason)
    if fit < UNRELATED:
        return StemTiming(CANNOT_TELL, np.nan, np.nan, 0.0, "its onsets meet the others' by chance")
    return StemTiming(TOGETHER, line.at(duration / 2), line.drift, float(np.clip(fit, 0, 1)), f"{line.meetings} onsets")
