"""What `ablation.py` has measured so far as ablation.json, .csv, .md and .png."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.figure

from ablation_setup import EPSILON, FULL, VARIANTS, Setup
from ablation_statistics import Estimate, differences, estimates
from ablation_tables import describe
from synctrack.files import atomic_path, write_json, write_text

COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7")
"""Of Okabe and Ito, distinct without full colour vision too."""


@dataclass(frozen=True)
class Row:
    """One variant at one step with one sampler, over all of its seeds.

    Attributes:
        differences: metric -> this variant minus `full`, of the seeds that both have; None where that cannot be.
    """

    variant: str
    seeds: tuple[int, ...]
    step: int
    kind: str
    sampler: str
    calls: int
    silent: int
    estimates: Mapping[str, Estimate]
    differences: Mapping[str, Estimate | None]

    def as_dict(self) -> dict[str, Any]:
        facts = {name: getattr(self, name) for name in ("variant", "step", "kind", "sampler", "calls", "silent")}
        known = {name: change for name, change in self.differences.items() if change is not None}
        return {
            **facts,
            "title": VARIANTS[self.variant],
            "seeds": list(self.seeds),
            "metrics": {name: estimate.as_dict() for name, estimate in self.estimates.items()},
            "difference_to_full": {name: change.as_dict() for name, change in known.items()},
        }


def read_measured(out: Path) -> list[dict[str, Any]]:
    """All measurements of a folder, by variant, seed, step and sampler."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in out.glob("*_seed*/measured/*.json")]
    order = {name: position for position, name in enumerate(VARIANTS)}

    def key(measured: dict[str, Any]) -> tuple:
        of = measured["settings"]
        return (of["kind"], of["sampler"], of["calls"], order[of["variant"]], of["step"], of["seed"])

    return sorted(found, key=key)


def rows_of(measured: Sequence[dict[str, Any]]) -> list[Row]:
    """A row for each variant, step and sampler; differences of steps are to `full` at the same step."""
    groups: dict[tuple, dict[int, dict[str, Any]]] = {}
    for one in measured:
        of = one["settings"]
        groups.setdefault((of["variant"], of["step"], of["kind"], of["sampler"], of["calls"]), {})[of["seed"]] = one
    rows = []
    for (variant, step, kind, sampler, calls), seeds in groups.items():
        full = groups.get((FULL, step, kind, sampler, calls), {}) if variant != FULL else {}
        common = [seed for seed in seeds if seed in full]
        changes = differences([seeds[seed] for seed in common], [full[seed] for seed in common]) if common else {}
        silent = sum(one["silent"] for one in seeds.values())
        found = estimates(list(seeds.values()))
        rows.append(Row(variant, tuple(seeds), step, kind, sampler, calls, silent, found, changes))
    return rows


def write_report(setup: Setup) -> None:
    """Write all four files, each whole or not at all."""
    measured, out = read_measured(setup.out), setup.out
    data = json.loads((out / "data_clips" / "data.json").read_text(encoding="utf-8"))
    rows, reference = rows_of(measured), estimates([data])
    shown = ("clips", "calls", "songs", "batch_size", "steps")
    settings = {name: value for name, value in setup.settings().items() if name in shown}
    facts = {"settings": settings, "data": {name: value.as_dict() for name, value in reference.items()}}
    write_json(out / "ablation.json", {**facts, "rows": [row.as_dict() for row in rows]})
    _write_csv(out / "ablation.csv", rows, reference)
    content = json.loads((out / "ablation.json").read_text(encoding="utf-8"))
    write_text(out / "ablation.md", describe(content))
    write_picture(out / "ablation.png", content)


def write_picture(path: Path, content: Mapping[str, Any]) -> None:
    """CBS against steps: a line and band for each variant, chance and data as lines; from ablation.json's content."""
    figure = matplotlib.figure.Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    variants = [name for name in VARIANTS if name != EPSILON]
    for colour, variant in zip(COLOURS, variants, strict=True):
        rows = [row for row in content["rows"] if row["variant"] == variant and row["kind"] == "step"]
        points = [(row["step"], row["metrics"]["cbs"]) for row in rows if row["metrics"]["cbs"]["value"] is not None]
        if not points:
            continue
        steps = [step for step, _ in points]
        values = [point["value"] for _, point in points]
        axis.plot(steps, values, "o-", color=colour, label=VARIANTS[variant], markersize=4)
        bands = [point["interval_95"] or (point["value"], point["value"]) for _, point in points]
        axis.fill_between(steps, *zip(*bands, strict=True), color=colour, alpha=0.15, linewidth=0)
    for name, metric, style in (("data", "cbs", "--"), ("chance: the data's stems re-paired", "chance", ":")):
        value = content["data"][metric]["value"]
        if value is not None:
            axis.axhline(value, color="grey", linestyle=style, label=name)
    axis.set(xlabel=f"steps of {content['settings']['batch_size']} songs", ylabel="CBS, 95 % interval over clips")
    axis.legend(fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _write_csv(path: Path, rows: Sequence[Row], data: Mapping[str, Estimate]) -> None:
    """One line for each value."""
    head = ["variant", "seeds", "step", "kind", "sampler", "calls", "metric", "value", "low", "high"]
    head += ["difference", "difference_low", "difference_high"]
    lines = [["data", "", "", "", "", "", name, *_cells(value), *_cells(None)] for name, value in data.items()]
    for row in rows:
        facts = [row.variant, " ".join(map(str, row.seeds)), row.step, row.kind, row.sampler, row.calls]
        for name, value in row.estimates.items():
            lines.append([*facts, name, *_cells(value), *_cells(row.differences.get(name))])
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        csv.writer(file).writerows([head, *lines])


def _cells(estimate: Estimate | None) -> list[Any]:
    if estimate is None or estimate.value is None:
        return ["", "", ""]
    return [estimate.value, *(estimate.interval or ("", ""))]
