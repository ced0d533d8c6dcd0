"""Means, differences and their 95 % intervals of what `ablation_measures.py` measured, over the clips of all seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synctrack.metrics.bootstrap import bootstrap_interval, nanmean, too_few

METRICS = {
    "cbs": "CBS ↑",
    "chance": "CBS re-paired",
    "above_chance": "CBS above it ↑",
    "cbd": "CBD ↓",
    "irs": "IRS (s) ↓",
    "named": "stems named ↑",
    "loss": "validation loss ↓",
}
"""Metric of clips -> its title. `chance` re-pairs the stems of a variant's own clips at random."""
FAD = "fad_"
HIGHER_IS_BETTER = ("cbs", "above_chance", "named")


@dataclass(frozen=True)
class Estimate:
    """A value, and its 95 % interval; None where there is none."""

    value: float | None
    interval: tuple[float, float] | None

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)

    def as_dict(self) -> dict[str, Any]:
        return {"value": self.value, "interval_95": self.interval}


def columns(measured: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Metric -> (clips, k) values of several seeds' measurements, one below the other; None become NaN."""
    names = measured[0]["values"]
    found = {name: np.concatenate([np.array(m["values"][name], float) for m in measured]) for name in names}
    return found | {"above_chance": found["cbs"] - found["chance"]}


def mean(values: np.ndarray) -> Estimate:
    """The mean over clips, then over columns, of (clips, k) values; its interval from a bootstrap over clips."""

    def of_rounds(rounds: np.ndarray) -> np.ndarray:
        return nanmean(nanmean(values[rounds], axis=1), axis=1)

    value = float(nanmean(nanmean(values, axis=0), axis=0))
    known = int(np.isfinite(values).any(axis=1).sum())
    interval = None if too_few(known) else bootstrap_interval(of_rounds, len(values), seed=0)
    return Estimate(value if np.isfinite(value) else None, interval)


def paired_difference(values: np.ndarray, full: np.ndarray) -> Estimate | None:
    """As `mean`, of the differences of two variants clip by clip; None where the clips are not the same ones."""
    return mean(values - full) if values.shape == full.shape else None


def distance(measured: Sequence[Mapping[str, Any]], name: str) -> Estimate:
    """The FAD of a stem, mean over seeds."""
    estimate = _distance([m["fad"][name]["value"] for m in measured], [m["fad"][name]["rounds"] for m in measured])
    if estimate.interval is None:
        return estimate
    low, high = estimate.interval
    return Estimate(estimate.value, (max(0.0, low), high))


def distance_difference(
    measured: Sequence[Mapping[str, Any]], full: Sequence[Mapping[str, Any]], name: str
) -> Estimate | None:
    """The difference of two variants' FAD; the halves behind the interval are those of the same clips."""
    if len(measured) != len(full):
        return None
    pairs = [(m["fad"][name], f["fad"][name]) for m, f in zip(measured, full, strict=True)]
    rounds = [np.subtract(np.array(m["rounds"], float), np.array(f["rounds"], float)) for m, f in pairs]
    known = all(side["value"] is not None for pair in pairs for side in pair)
    return _distance([m["value"] - f["value"] for m, f in pairs] if known else [None], rounds)


def _distance(values: Sequence[float | None], rounds: Sequence[Any]) -> Estimate:
    """Halves are as far from their own mean as the whole is from its expectation (Politis, Romano and Wolf, 1999)."""
    if any(value is None for value in values):
        return Estimate(None, None)
    value, spread = float(np.mean(values)), np.mean(np.array(rounds, float), axis=0)
    spread = spread[np.isfinite(spread)]
    if not len(spread):
        return Estimate(value, None)
    low, high = np.percentile(spread - spread.mean(), [2.5, 97.5])
    return Estimate(value, (value + float(low), value + float(high)))


def estimates(measured: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """Every metric of a variant at a step; `measured` are its seeds. Distances are under `fad_<stem>`."""
    found = {name: mean(values) for name, values in columns(measured).items()}
    return found | {FAD + name: distance(measured, name) for name in measured[0]["fad"]}


def differences(measured: Sequence[Mapping[str, Any]], full: Sequence[Mapping[str, Any]]) -> dict[str, Estimate | None]:
    """Every metric of a variant minus that of `full`; the loss only where both predict the same."""
    ours, theirs = columns(measured), columns(full)
    names = [name for name in ours if name in theirs]
    if measured[0]["settings"]["prediction"] != full[0]["settings"]["prediction"]:
        names.remove("loss")
    found = {name: paired_difference(ours[name], theirs[name]) for name in names}
    return found | {FAD + name: distance_difference(measured, full, name) for name in measured[0]["fad"]}
