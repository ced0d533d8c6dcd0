"""Fréchet audio distances of two folders of stems: each stem, the mix, and subsets of stems."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synctrack.errors import InputError
from synctrack.metrics.beats.layout import Layout
from synctrack.metrics.fad.distances import MOST, frechet_infinity, kernel_distance, thinned
from synctrack.metrics.fad.embed import Embedded, Embedding, embed_files
from synctrack.metrics.frechet import frechet_distance
from synctrack.metrics.tables import aligned

BOOTSTRAP = 20
LEAST_FILES = 5
MIX = "mix"


def _groups(layout: Layout, stems: Sequence[str]) -> list[list[Path]]:
    """The files that sound together, of each song that has all of `stems`."""
    songs = [song for song in layout.songs if all(song in layout.stems[stem] for stem in stems)]
    return [[layout.stems[stem][song] for stem in stems] for song in songs]


def _mix_groups(layout: Layout) -> list[list[Path]]:
    """The mixes' files, or where there are none the stems that make them."""
    return [[path] for path in layout.mixes.values()] or _groups(layout, list(layout.stems))


def _compare(ours: Embedded, theirs: Embedded, files: int, seed: int) -> dict[str, Any]:
    first, second = np.asarray(ours.values, np.float64), np.asarray(theirs.values, np.float64)
    if min(len(first), len(second)) < 2:
        raise InputError("Fréchet distance: a folder gives fewer than two patches; it needs more or longer files")
    row: dict[str, Any] = {
        "fad": frechet_distance(first, second),
        "fad_infinity": frechet_infinity(first, second, seed) if min(len(first), len(second)) >= 8 else None,
        "kad": kernel_distance(thinned(first, MOST, seed), thinned(second, MOST, seed)),
        "patches": [len(first), len(second)],
        "dimensions": first.shape[1],
        "silent": [str(path) for path in ours.silent],
        "silent_reference": [str(path) for path in theirs.silent],
        "interval_95": None,
    }
    if files >= LEAST_FILES:
        row["interval_95"] = _intervals(first, second, seed)
    return row


def _intervals(first: np.ndarray, second: np.ndarray, seed: int) -> dict[str, tuple[float, float]]:
    """95 % intervals from subsets of half the patches, without replacement: repeated patches would bias both.

    The spread of halves is that of the whole (Politis, Romano and Wolf, "Subsampling", 1999): sqrt(n / n - b) = 1.
    """
    generator, kad, infinity = np.random.default_rng(seed), [], []
    for _ in range(BOOTSTRAP):
        halves = [values[generator.permutation(len(values))[: max(8, len(values) // 2)]] for values in (first, second)]
        kad.append(kernel_distance(*(thinned(half, MOST // 2, seed) for half in halves)))
        infinity.append(
            frechet_infinity(*halves, seed) if first.shape[1] <= 128 and min(map(len, halves)) >= 8 else np.nan
        )
    return {
        "kad": tuple(np.percentile(kad, [2.5, 97.5]).tolist()),
        "fad_infinity": tuple(np.percentile(infinity, [2.5, 97.5]).tolist()),
    }


def frechet_folders(
    folder: Layout,
    reference: Layout,
    embedding: Embedding,
    subsets: Sequence[Sequence[str]] = (),
    cache: bool = True,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Distances of two folders, stem by stem.

    Args:
        folder: of generated stems.
        reference: of real ones, with the same stems.
        embedding: of `make_embedding`.
        subsets: stems whose sum is compared too (sub-FAD).
        cache: use and fill the cache of embeddings.
        seed: of subsets and intervals.

    Returns:
        Stem, `mix`, or `a+b` for a subset → `fad`, `fad_infinity`, `kad`, `interval_95`, `patches`, `dimensions`, and
        the `silent` files of each side.

    Raises:
        InputError: the stems differ, or a file cannot be read.
    """
    if set(folder.stems) != set(reference.stems):
        raise InputError(
            f"--reference: has the stems {', '.join(reference.stems)}, the folder {', '.join(folder.stems)}; "
            "choose the same with --stems"
        )
    sets = {stem: [stem] for stem in folder.stems}
    sets |= {"+".join(subset): list(subset) for subset in subsets}
    rows = {}
    for name, stems in sets.items():
        missing = [stem for stem in stems if stem not in folder.stems]
        if missing:
            raise InputError(f"--subset {name}: there is no stem {missing[0]}; the stems are {', '.join(folder.stems)}")
        rows[name] = _sides(_groups(folder, stems), _groups(reference, stems), embedding, cache, seed)
    rows[MIX] = _sides(_mix_groups(folder), _mix_groups(reference), embedding, cache, seed)
    return rows


def _sides(ours: list, theirs: list, embedding: Embedding, cache: bool, seed: int) -> dict[str, Any]:
    if not ours or not theirs:
        raise InputError("Fréchet distance: a folder has no song in all of these stems")
    embedded = [embed_files(groups, embedding, cache) for groups in (ours, theirs)]
    return _compare(*embedded, min(len(ours), len(theirs)), seed)


def frechet_table(rows: dict[str, dict[str, Any]]) -> str:
    """What `frechet_folders` returned, as aligned text, with what is to be known of it below."""
    lines = [["stem", "FAD", "FAD-infinity", "95 % interval", "KAD x 1000", "95 % interval", "patches", "silent"]]
    notes = []
    for name, row in rows.items():
        spans = row["interval_95"] or {}
        infinity = "-" if row["fad_infinity"] is None else f"{row['fad_infinity']:.4f}"
        cells = [name, f"{row['fad']:.4f}", infinity, _span(spans.get("fad_infinity"), 1), f"{1000 * row['kad']:.3f}"]
        silent = f"{len(row['silent'])}/{len(row['silent_reference'])}"
        lines.append([*cells, _span(spans.get("kad"), 1000), "/".join(map(str, row["patches"])), silent])
        if min(row["patches"]) <= row["dimensions"]:
            notes.append(
                f"{name}: {min(row['patches'])} patches for {row['dimensions']} dimensions: the covariance is singular "
                "and FAD far too high; read KAD"
            )
        named = [*row["silent"], *row["silent_reference"]]
        if named:
            notes.append(f"{name}: silent: {', '.join(named[:3])}{' …' if named[3:] else ''}")
    return "\n".join([aligned(lines, left=1), *notes])


def _span(interval: Sequence[float] | None, scale: float) -> str:
    if interval is None or not np.isfinite(interval[0]):
        return "-"
    return f"{scale * interval[0]:.3f} to {scale * interval[1]:.3f}"
