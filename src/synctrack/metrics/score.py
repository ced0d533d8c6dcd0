"""All three metrics at once, with the beats of every stem found once and kept.

IRS: how steady each stem's beat is (lower is better). CBS: how often the stems have their beats together (higher is
better). CBD: how far apart paired beats lie, in half beats (lower is better). See IRS.py, CBS.py and CBD.py.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from synctrack.metrics.beats.folders import track_folder
from synctrack.metrics.beats.trackers import make_tracker
from synctrack.metrics.beats.types import StemBeats, choose_protocols
from synctrack.metrics.cbs import WINDOW_SIZE
from synctrack.metrics.summary import summarise


def _plain(value: Any) -> Any:
    """The same with None for every NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def score_beats(beats: StemBeats, window_size: float = WINDOW_SIZE, seed: int = 0) -> dict[str, Any]:
    """Score beats that are at hand, in each of their protocols.

    Args:
        beats: of a folder, or given.
        window_size: of CBS, in seconds.
        seed: of the bootstrap intervals and the chance floor.

    Returns:
        What JSON can hold: under `protocols`, for each of them the published names' overall values, `interval_95`,
        `chance_floor`, `stems` and `songs`; beside it `beats`, `durations`, `counts`, `unreadable`, `tracker`,
        `window_size` and `seed`. Numbers that do not exist are None.
    """
    protocols = {protocol: summarise(beats, protocol, window_size, seed) for protocol in beats.protocols}
    first = next(iter(protocols.values()))
    times = {
        protocol: {
            song: {stem: file.beats[protocol].tolist() for stem, file in stems.items()}
            for song, stems in beats.files.items()
        }
        for protocol in beats.protocols
    }
    counts = {
        "songs": len(beats.songs),
        "files": sum(len(stems) for stems in beats.files.values()),
        "songs_not_in_every_stem": len(beats.incomplete),
        "unreadable_files": len(beats.unreadable),
        "silent_files": sum(stem["silent_files"] for stem in first["stems"].values()),
    }
    durations = {song: max(file.duration for file in stems.values()) for song, stems in beats.files.items()}
    return _plain(
        {
            "tracker": beats.tracker,
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


def score_folder(
    folder: str | Path,
    reference: str | Path | None = None,
    protocol: str = "both",
    *,
    window_size: float = WINDOW_SIZE,
    tracker: str = "madmom",
    weights: str | Path | None = None,
    cache: bool = True,
    strict: bool = False,
    workers: int | None = None,
    layout: str = "auto",
    seed: int = 0,
) -> dict[str, Any]:
    """Score a folder of stems.

    Args:
        folder: holds one folder of audio files for each stem, or for each song.
        reference: another such folder, scored for comparison.
        protocol: `paper`, `corrected` or `both`.
        window_size: of CBS, in seconds.
        tracker: `madmom` or `beat_this`, which knows `corrected` only.
        weights: checkpoint for `beat_this`.
        cache: use and fill the beat cache.
        strict: refuse unreadable files instead of skipping them.
        workers: files tracked at once; all processors where None.
        layout: of the folder, see `find_stems`.
        seed: of the bootstrap intervals and the chance floor.

    Returns:
        As `score_beats`; the reference's under `reference`.

    Raises:
        InputError: as `track_folder` and `make_tracker` do, or the tracker does not know the protocol.
    """
    chosen = make_tracker(tracker, Path(weights) if weights is not None else None)
    protocols = choose_protocols(chosen.protocols, protocol, protocol)

    def score(path: str | Path) -> dict[str, Any]:
        beats = track_folder(path, chosen, cache=cache, strict=strict, workers=workers, layout=layout)
        return score_beats(replace(beats, protocols=protocols), window_size, seed)

    result = {"folder": str(folder), **score(folder)}
    return result if reference is None else {**result, "reference": {"folder": str(reference), **score(reference)}}
