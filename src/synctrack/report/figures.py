"""The scores as a figure for papers: metrics with their intervals and chance, and matrices of stems."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np

from synctrack.errors import InputError
from synctrack.files import atomic_path

SUFFIXES = (".png", ".svg", ".pdf")


METRICS = {"irs": "IRS (s)", "cbs": "CBS", "cbd": "CBD (half beats)"}
MATRICES = {"cbs": "CBS", "cbd": "CBD", "lag": "lag (s)"}


def check_suffix(path: str | Path) -> None:
    """Raises InputError unless `path` ends in one of SUFFIXES."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise InputError(f"--plot {path}: must end in {', '.join(SUFFIXES)}")


def plot_scores(path: str | Path, result: Mapping[str, Any]) -> None:
    """Write IRS, CBS and CBD of every protocol with 95 % intervals and chance, and the matrices of stems.

    Args:
        path: ends in one of SUFFIXES.
        result: what `score_folder` returned.

    Raises:
        InputError: the suffix is another, or the place cannot be written.
    """
    check_suffix(path)
    figure = matplotlib.figure.Figure(figsize=(16, 3.2), layout="constrained")
    axes = figure.subplots(1, len(METRICS) + len(MATRICES))
    for axis, (name, title) in zip(axes, METRICS.items(), strict=False):
        _metric(axis, result, name, title)
    values = next(iter(result["protocols"].values()))
    for axis, (name, title) in zip(axes[len(METRICS) :], MATRICES.items(), strict=True):
        _matrix(axis, values["matrices"][name], result["stems"], title)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _metric(axis: Any, result: Mapping[str, Any], name: str, title: str) -> None:
    sides = {"folder": result, **({"reference": result["reference"]} if result.get("reference") else {})}
    labels = []
    for protocol in result["protocols"]:
        for side, scores in sides.items():
            values = scores["protocols"][protocol]
            place, value = len(labels), values[name]
            labels.append(f"{protocol}\n{side}")
            if value is None:
                continue
            axis.plot(place, value, "o", color="C0" if side == "folder" else "C1")
            interval = values["interval_95"].get(name)
            if interval:
                axis.plot([place, place], interval, color="C0" if side == "folder" else "C1")
            chance = values["chance_floor"].get(name)
            if chance is not None:
                axis.plot([place - 0.3, place + 0.3], [chance, chance], ":", color="grey")
    axis.set_xticks(range(len(labels)), labels, fontsize=7)
    axis.set_xlim(-0.6, len(labels) - 0.4)
    axis.set_title(title)


def _matrix(axis: Any, matrix: Any, stems: list[str], title: str) -> None:
    values = np.array([[np.nan if value is None else value for value in row] for row in matrix], float)
    # The lag is signed: no lag is the middle of its colours.
    most = np.nanmax(np.abs(values)) if np.isfinite(values).any() else 1.0
    colours = {"cmap": "coolwarm", "vmin": -most, "vmax": most} if title == MATRICES["lag"] else {"cmap": "Blues"}
    axis.imshow(values, alpha=0.6, **colours)
    for i, j in np.argwhere(np.isfinite(values)):
        axis.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", fontsize=7)
    # A $ in a stem's name begins no formula.
    axis.set_xticks(range(len(stems)), stems, rotation=45, fontsize=7, parse_math=False)
    axis.set_yticks(range(len(stems)), stems, fontsize=7, parse_math=False)
    axis.set_title(title)
