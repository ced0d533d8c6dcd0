"""All metrics at once, with the beats of every stem found once and kept.

IRS: how steady each stem's beat is (lower is better). CBS: how often the stems have their beats together (higher is
better). CBD: how far apart paired beats lie, in half beats (lower is better). See irs.py, cbs.py and cbd.py.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from synctrack.errors import InputError
from synctrack.metrics.beats.folders import track_folder
from synctrack.metrics.beats.layout import Layout, find_layout
from synctrack.metrics.beats.trackers import make_tracker
from synctrack.metrics.beats.types import StemBeats, choose_protocols
from synctrack.metrics.cbs import WINDOW_SIZE
from synctrack.metrics.compare import compare, match_stems, pairing_notes
from synctrack.metrics.summary import SONG_METRICS, summarise

ORDER = ("corrected", "paper")
"""`corrected` is right, `paper` compares with published numbers."""


@dataclass(frozen=True)
class Scored:
    """Scores, and the files that they are of.

    Attributes:
        result: of `score_folder`.
        folder: its readable files; None where beats were given without audio.
        reference: those of the reference; None without.
    """

    result: dict[str, Any]
    folder: Layout | None
    reference: Layout | None


def plain(value: Any) -> Any:
    """The same as JSON can hold it: lists for arrays, None for every NaN."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def score_beats(beats: StemBeats, window_size: float = WINDOW_SIZE, seed: int = 0) -> dict[str, Any]:
    """Score beats that are at hand, in each of their protocols.

    Args:
        beats: of a folder, or given.
        window_size: of CBS, in seconds.
        seed: of the bootstrap intervals and the chance level.

    Returns:
        What JSON can hold: under `protocols`, for each of them `irs`, `cbs`, `cbd` (and the published names), their
        `interval_95`, `chance_floor`, `marks` and `reasons`, the `matrices` of stems, `stems` and `songs`; beside it
        `beats`, `durations`, `counts`, `unreadable`, `layout`, `tracker`, `window_size` and `seed`. Numbers that do
        not exist are None.
    """
    names = sorted(beats.protocols, key=lambda name: ORDER.index(name) if name in ORDER else -1)
    protocols = {protocol: summarise(beats, protocol, window_size, seed) for protocol in names}
    first = next(iter(protocols.values()))
    times = {
        protocol: {
            song: {stem: file.beats[protocol].tolist() for stem, file in stems.items()}
            for song, stems in beats.files.items()
        }
        for protocol in names
    }
    counts = {
        "songs": len(beats.songs),
        "files": sum(len(stems) for stems in beats.files.values()),
        "songs_not_in_every_stem": len(beats.incomplete),
        "unreadable_files": len(beats.unreadable),
        "silent_files": sum(stem["silent_files"] for stem in first["stems"].values()),
    }
    durations = {song: max(file.duration for file in stems.values()) for song, stems in beats.files.items()}
    return plain(
        {
            "tracker": beats.tracker,
            "layout": beats.layout.describe() if beats.layout else None,
            "window_size": window_size,
            "seed": seed,
            "stems": list(beats.stems),
            "counts": counts,
            "unreadable": dict(beats.unreadable),
            "protocols": protocols,
            "durations": durations,
            "beats": times,
        }
    )


def add_onsets(result: dict[str, Any], beats: StemBeats, workers: int | None = None, cache: bool = True) -> None:
    """Put `onset_synchrony`, and what `check_songs` finds as `timing`, into `result`, where there is audio.

    Args:
        result: what `score_beats` gave for `beats`.
        beats: of a folder.
        workers: files at once; all processors where None.
        cache: use and fill the cache of onsets.
    """
    if beats.layout is not None:
        # Here and not above: scoring given beats needs no SciPy.
        from synctrack.metrics.check.folder import check_songs
        from synctrack.metrics.onset_folder import folder_onsets, summarise_onsets, with_stems

        onsets = folder_onsets(beats.layout, workers, cache)
        complete = with_stems(onsets, len(beats.layout.stems))
        result["onset_synchrony"] = plain(summarise_onsets(complete, result["seed"]))
        timing, usual = check_songs(with_stems(onsets, 2))
        result["timing"] = {
            song: {stem: found.as_dict() for stem, found in stems.items()} for song, stems in timing.items()
        }
        result["usual_lags_ms"] = {stem: round(1000 * found.lag, 2) for stem, found in usual.items()}


def compare_onsets(result: dict[str, Any]) -> None:
    """Put the difference of onset synchrony into the comparison of `result`, where folder and reference have it."""
    sides = result.get("onset_synchrony"), result["reference"].get("onset_synchrony")
    if all(sides):
        change = compare(sides[0], sides[1], ("onset_synchrony",), result["seed"])
        result["comparison"]["onset_synchrony"] = plain(change["onset_synchrony"])


def add_frechet(
    result: dict[str, Any],
    beats: StemBeats,
    reference: StemBeats | None,
    embedding: Any,
    subsets: Sequence[Sequence[str]] = (),
    cache: bool = True,
) -> None:
    """Put the Fréchet audio distances of a folder to its reference into `result`, under `frechet`.

    Args:
        result: what `score_beats` gave for `beats`.
        beats: of the folder.
        reference: of the reference.
        embedding: of `make_embedding`.
        subsets: stems whose sum is compared too.
        cache: use and fill the cache of embeddings.

    Raises:
        InputError: either side is not a folder of audio files, or as `frechet_folders`.
    """
    # Here and not above: scoring needs no resampling of its own.
    from synctrack.metrics.fad.folders import frechet_folders

    if reference is None or beats.layout is None or reference.layout is None:
        raise InputError("--fad: compares audio: it needs a folder, and a folder as --reference")
    rows = frechet_folders(beats.readable, reference.readable, embedding, subsets, cache, result["seed"])
    result["frechet"] = plain({"embedding": embedding.name, "version": embedding.version, "distances": rows})


def score_beside(
    result: dict[str, Any], beats: StemBeats, reference: StemBeats, folder: str, metrics: Sequence[str] = SONG_METRICS
) -> None:
    """Put the scores of a reference, and what differs, into `result`, under `reference` and `comparison`.

    Args:
        result: what `score_beats` gave for `beats`.
        beats: of the folder.
        reference: of the reference, in the same protocols.
        folder: name of the reference.
        metrics: keys of the songs' rows to compare.

    Raises:
        InputError: the reference has other stems.
    """
    match_stems(beats.stems, reference.stems)
    other = score_beats(reference, result["window_size"], result["seed"])
    result["reference"] = {"folder": folder, **other}
    differences = {
        protocol: compare(values, other["protocols"][protocol], tuple(metrics), result["seed"])
        for protocol, values in result["protocols"].items()
    }
    result["comparison"] = plain({"notes": pairing_notes(beats, reference), "protocols": differences})


def score_sides(
    beats: StemBeats,
    source: str,
    reference: StemBeats | None,
    reference_source: str,
    *,
    window_size: float = WINDOW_SIZE,
    seed: int = 0,
    workers: int | None = None,
    cache: bool = True,
) -> dict[str, Any]:
    """`score_beats`, onset synchrony and timing of a folder, and of a reference beside it.

    Args:
        beats: of the folder, or given.
        source: its name, kept under `folder`.
        reference: of the reference, in the same protocols; None without.
        reference_source: its name.
        window_size: of CBS, in seconds.
        seed: of the bootstrap intervals and the chance level.
        workers: files at once; all processors where None.
        cache: use and fill the cache of onsets.

    Raises:
        InputError: the reference has other stems.
    """
    result = {"folder": source, **score_beats(beats, window_size, seed)}
    add_onsets(result, beats, workers, cache)
    if reference is not None:
        score_beside(result, beats, reference, reference_source)
        add_onsets(result["reference"], reference, workers, cache)
        compare_onsets(result)
    return result


def score_files(
    folder: str | Path,
    reference: str | Path | None = None,
    protocol: str | None = None,
    *,
    window_size: float = WINDOW_SIZE,
    tracker: str = "madmom",
    weights: str | Path | None = None,
    cache: bool = True,
    strict: bool = False,
    workers: int | None = None,
    layout: str = "auto",
    reference_layout: str = "auto",
    stems: Sequence[str] | None = None,
    seed: int = 0,
    fad: str | None = None,
    fad_weights: str | Path | None = None,
    fad_subsets: Sequence[Sequence[str]] = (),
) -> Scored:
    """Score a folder of stems.

    Args:
        folder: holds one folder of audio files for each stem, or for each song.
        reference: another such folder, scored for comparison.
        protocol: `paper`, `corrected` or `both`; where None, both as far as the tracker knows them.
        window_size: of CBS, in seconds.
        tracker: one of `TRACKERS`; all but `madmom` know `corrected` alone.
        weights: checkpoint for `beat_this`.
        cache: use and fill the cache of beats and onsets.
        strict: refuse unreadable files instead of skipping them.
        workers: files tracked at once; all processors where None.
        layout: of the folder, see `find_layout`.
        reference_layout: of the reference.
        stems: the stems to score; all where None.
        seed: of the bootstrap intervals and the chance level.
        fad: an embedding, `mel`, `vggish` or `clap`, to add the Fréchet audio distances to the reference with.
        fad_weights: of that embedding, see `make_embedding`.
        fad_subsets: stems whose sum is compared too.

    Raises:
        InputError: as `track_folder`, `make_tracker` and `make_embedding` do, the tracker does not know the protocol,
            or the reference has other stems.
    """
    chosen = make_tracker(tracker, Path(weights) if weights is not None else None)
    protocols = choose_protocols(chosen.protocols, protocol, "both")
    embedding = None
    if fad is not None:
        from synctrack.metrics.fad.embed import make_embedding

        embedding = make_embedding(fad, Path(fad_weights) if fad_weights is not None else None)

    def track(path: str | Path, form: str) -> StemBeats:
        found = find_layout(path, form, stems)
        beats = track_folder(path, chosen, cache=cache, strict=strict, workers=workers, layout=found)
        return replace(beats, protocols=protocols)

    beats = track(folder, layout)
    other = None if reference is None else track(reference, reference_layout)
    options = {"window_size": window_size, "seed": seed, "workers": workers, "cache": cache}
    result = score_sides(beats, str(folder), other, str(reference), **options)
    if embedding is not None:
        add_frechet(result, beats, other, embedding, fad_subsets, cache)
    return Scored(result, beats.readable, other.readable if other else None)


def score_folder(folder: str | Path, reference: str | Path | None = None, *arguments: Any, **options: Any) -> dict:
    """Score a folder of stems: `score_files`, with its arguments, where the scores alone are wanted.

    Returns:
        As `score_beats`, and the path `folder`, `onset_synchrony`, `timing` (song -> stem -> what `check_songs` finds)
        and `usual_lags_ms` (stem -> milliseconds); the reference's under `reference`, how they differ under
        `comparison`, and their Fréchet distances, where they are asked for, under `frechet`.
    """
    return score_files(folder, reference, *arguments, **options).result
