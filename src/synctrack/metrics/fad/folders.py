"""Fréchet audio distances of two folders of stems: each stem, the mix, and subsets of stems."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synctrack.audio.files import is_complete
from synctrack.errors import InputError
from synctrack.metrics.beats.layout import Layout
from synctrack.metrics.bootstrap import too_few
from synctrack.metrics.compare import match_stems
from synctrack.metrics.fad.distances import (
    FEWEST_PATCHES,
    FEWEST_SONGS,
    MOST,
    frechet_infinity,
    gaussian_kernels,
    mean_discrepancy,
    num_songs,
    thinned,
)
from synctrack.metrics.fad.embed import Embedded, Embedding, embed_files
from synctrack.metrics.fad.intervals import infinity_interval, kernel_interval
from synctrack.metrics.frechet import frechet_distance
from synctrack.metrics.parallel import in_threads
from synctrack.metrics.tables import aligned

MIX = "mix"


def _groups(layout: Layout, stems: Sequence[str]) -> list[list[Path]]:
    """The files that sound together, of each song that has all of `stems`."""
    songs = [song for song in layout.songs if all(song in layout.stems[stem] for stem in stems)]
    return [[layout.stems[stem][song] for stem in stems] for song in songs]


def _mix_groups(folder: Layout, reference: Layout) -> tuple[list[list[list[Path]]], list[str]]:
    """The mixes of both sides, and what is to be known of them.

    They are files where both sides have readable ones of all songs and stems, or else sums of stems: a mix file may
    have a gain of its own, which must not stand against a plain sum.
    """
    sides, notes = (folder, reference), []
    if all(set(side.mixes) == set(side.songs) and not side.left_out for side in sides):
        damaged = [path for side in sides for path in side.mixes.values() if not is_complete(path)]
        if not damaged:
            return [[[path] for path in side.mixes.values()] for side in sides], []
        notes = [f"sums of stems, as {damaged[0]} cannot be read"]
    return [_groups(side, list(side.stems)) for side in sides], notes


def _compare(ours: Embedded, theirs: Embedded, seed: int) -> dict[str, Any]:
    first, second = ours.values.astype(float), theirs.values.astype(float)
    patches, dimensions = min(len(first), len(second)), first.shape[1]
    if patches < 2:
        raise InputError("Fréchet distance: a folder gives fewer than two patches; it needs more or longer files")
    owners = ours.songs, theirs.songs
    songs = num_songs(owners)
    enough = patches >= FEWEST_PATCHES and songs >= FEWEST_SONGS
    infinity = frechet_infinity(first, second, seed, owners) if enough else None
    few = [thinned(len(values), MOST, seed) for values in (first, second)]
    kernels = gaussian_kernels(first[few[0]], second[few[1]])
    thin_owners = ours.songs[few[0]], theirs.songs[few[1]]
    kernel = mean_discrepancy(kernels, thin_owners) if songs > 1 else None
    reason = too_few(songs)
    intervals: dict[str, Any] = {"fad_infinity": None, "kad": None}
    if reason is None:
        intervals["fad_infinity"] = infinity_interval(infinity, first, second, owners, seed)
        intervals["kad"] = kernel_interval(kernel, kernels, thin_owners, seed)
    return {
        "fad": frechet_distance(first, second),
        "fad_infinity": infinity,
        "kad": kernel,
        "interval_95": intervals,
        "patches": [len(first), len(second)],
        "dimensions": dimensions,
        "silent": [str(path) for path in ours.silent],
        "silent_reference": [str(path) for path in theirs.silent],
        "notes": _notes(patches, dimensions, songs, reason),
    }


def _notes(patches: int, dimensions: int, songs: int, reason: str | None) -> list[str]:
    """What is to be known of a row before it is read."""
    notes = []
    if patches <= dimensions:
        notes.append(
            f"{patches} patches for {dimensions} dimensions: the covariance is singular and FAD far too high; read KAD"
        )
    elif patches <= 4 * dimensions:
        notes.append(
            f"{patches} patches for {dimensions} dimensions: FAD-infinity is extrapolated from subsets in which the "
            "covariance is singular; read KAD"
        )
    if songs == 1:
        notes.append("no KAD: it compares patches of different songs, and a side has one song")
    if songs < FEWEST_SONGS:
        notes.append(f"no FAD-infinity: it is extrapolated from {FEWEST_SONGS} songs or more")
    if reason is None and songs < 2 * FEWEST_SONGS:
        notes.append(f"no interval of FAD-infinity: halves of {songs} songs have fewer than {FEWEST_SONGS}")
    return notes + ([f"no intervals: {reason}"] if reason else [])


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
        Stem, `a+b` for a subset, and `mix` → `fad`, `fad_infinity`, `kad`, `interval_95` of the last two, `patches`,
        `dimensions`, the `silent` files of each side, and `notes`.

    Raises:
        InputError: the stems differ, or a file cannot be read.
    """
    theirs = match_stems(list(folder.stems), list(reference.stems))
    sets = {stem: [stem] for stem in folder.stems}
    sets |= {"+".join(subset): list(subset) for subset in subsets}
    sides: dict[str, Sequence[list[list[Path]]]] = {}
    for name, stems in sets.items():
        missing = [stem for stem in stems if stem not in folder.stems]
        if missing:
            raise InputError(f"subset {name}: there is no stem {missing[0]}; the stems are {', '.join(folder.stems)}")
        sides[name] = _groups(folder, stems), _groups(reference, [theirs[stem] for stem in stems])
    sides[MIX], mix_notes = _mix_groups(folder, reference)
    for name, groups in sides.items():
        if not all(groups):
            side = "reference" if groups[0] else "folder"
            raise InputError(f"Fréchet distance of {name}: no song of the {side} has all of its stems")
    embedded = [tuple(embed_files(groups, embedding, cache) for groups in both) for both in sides.values()]
    rows = in_threads(lambda both: _compare(*both, seed), embedded)
    distances = dict(zip(sides, rows, strict=True))
    distances[MIX]["notes"] += mix_notes
    return distances


def frechet_cells(row: dict[str, Any]) -> dict[str, str]:
    """One row of `frechet_folders` as text, under the titles of its columns."""
    spans = row["interval_95"]
    return {
        "FAD": f"{row['fad']:.4f}",
        "FAD-infinity": "-" if row["fad_infinity"] is None else f"{row['fad_infinity']:.4f}",
        "95 % interval": _span(spans["fad_infinity"], 1),
        "KAD x 1000": "-" if row["kad"] is None else f"{1000 * row['kad']:.3f}",
        "95 % interval of KAD": _span(spans["kad"], 1000),
        "patches": "/".join(map(str, row["patches"])),
        "silent": f"{len(row['silent'])}/{len(row['silent_reference'])}",
    }


def frechet_notes(rows: dict[str, dict[str, Any]]) -> list[str]:
    """What is to be known of `frechet_folders`' rows: too few patches or songs, and the silent files by name."""
    found: dict[str, list[str]] = {}
    for name, row in rows.items():
        for note in row["notes"]:
            found.setdefault(note, []).append(name)
    lines = [f"{', '.join(names)}: {note}" for note, names in found.items()]
    for name, row in rows.items():
        named = [*row["silent"], *row["silent_reference"]]
        if named and name != MIX:
            lines.append(f"{name}: {len(named)} silent: {', '.join(named[:3])}{' …' if named[3:] else ''}")
    return lines


def frechet_table(rows: dict[str, dict[str, Any]]) -> str:
    """What `frechet_folders` returned, as aligned text, with what is to be known of it below."""
    cells = {name: frechet_cells(row) for name, row in rows.items()}
    head = ["stem", *next(iter(cells.values()))]
    return "\n".join(
        [aligned([head, *([name, *row.values()] for name, row in cells.items())], 1), *frechet_notes(rows)]
    )


def _span(interval: Sequence[float] | None, scale: float) -> str:
    return "-" if interval is None else f"{scale * interval[0]:.3f} to {scale * interval[1]:.3f}"
