"""Tracked beats against known ones, by the measures of mir_eval: F-measure, CMLt, AMLt and information gain.

Source: C. Raffel et al., "mir_eval: a transparent implementation of common MIR metrics", ISMIR 2014; M. Davies, N.
Degara, M. Plumbley, "Evaluation methods for musical audio beat tracking algorithms", 2009. Beats in the first five
seconds count too, since songs here are short. Protocol `paper` is left out: its times are at 2/3 of the truth.
"""

import unicodedata
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from synctrack.audio.beat_files import BEATS_FILE, read_beats
from synctrack.errors import InputError, needs_extra
from synctrack.metrics.beats.types import StemBeats
from synctrack.metrics.bootstrap import nanmean

MEASURES = ("f_measure", "cmlt", "amlt", "information_gain")
SUFFIXES = (".json", ".beats", ".txt", ".mid", ".midi")


def read_truth(path: str | Path, songs: list[str]) -> dict[str, np.ndarray]:
    """Song → known beat times in seconds (beats,).

    Args:
        path: a file of beats for all songs; or a folder with `song/beats.json`, as data sets have it, or `song.json`,
            `.beats`, `.txt`, `.mid`.
        songs: the songs to look for; those without a file are missing in the result.

    Raises:
        InputError: `path` is not there, holds none of the songs, or a file is damaged.
    """
    path = Path(path)
    if path.is_file():
        return dict.fromkeys(songs, read_beats(path).beats)
    _require_place(path)
    # Songs are named in one spelling; the same ä may be one character or two, depending on the system.
    there = {unicodedata.normalize("NFC", entry.name): entry for entry in path.iterdir()}
    found = {}
    for song in songs:
        places = [there[song] / BEATS_FILE] if song in there else []
        places += [there[name] for name in (f"{song}{suffix}" for suffix in SUFFIXES) if name in there]
        place = next((place for place in places if place.is_file()), None)
        if place:
            found[song] = read_beats(place).beats
    if not found:
        raise InputError(f"--truth {path}: holds no {songs[0]}/{BEATS_FILE}, nor {songs[0]}.beats, .txt, .json or .mid")
    return found


def _require_place(path: Path) -> None:
    if not (path.is_file() or path.is_dir()):
        raise InputError(f"--truth {path}: no such file or folder")


def require_truth(path: Path) -> None:
    """Raise InputError, before anything is tracked, where known beats could not be compared with."""
    _require_place(path)
    with needs_extra("truth", "--truth"):
        import mir_eval  # noqa: F401 - whether it is there


def beat_measures(truth: np.ndarray, beats: np.ndarray) -> dict[str, float]:
    """MEASURES of tracked `beats` (n,) against `truth` (m,), both ascending seconds; 0 where nothing was tracked."""
    with needs_extra("truth", "--truth"):
        import mir_eval

    if len(beats) < 2:
        return dict.fromkeys(MEASURES, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, cmlt, _, amlt = mir_eval.beat.continuity(truth, beats)
        f_measure = mir_eval.beat.f_measure(truth, beats)
        gain = mir_eval.beat.information_gain(truth, beats)
    return dict(zip(MEASURES, map(float, (f_measure, cmlt, amlt, gain)), strict=True))


def _within(truth: np.ndarray, beats: StemBeats, song: str) -> np.ndarray:
    """The known beats up to the end of the song's audio, which may be an excerpt; all where there is no audio."""
    has_audio = any(np.isfinite(file.peak) for file in beats.files[song].values())
    return truth[truth < beats.durations[song]] if has_audio else truth


def score_truth(beats: StemBeats, truth: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """MEASURES of every stem against the known beats of its song.

    Returns:
        `protocols`: protocol → `stems` (stem → means over songs) and `songs` (song → stem → measures); `missing`: the
        songs without known beats.

    Raises:
        InputError: there are beats in protocol `paper` alone.
    """
    if set(beats.protocols) == {"paper"}:
        raise InputError("--truth: times in protocol paper are at 2/3 of the truth; use --protocol corrected or both")
    known = {song: _within(truth[song], beats, song) for song in beats.songs if song in truth}
    protocols = {}
    for protocol in beats.protocols:
        if protocol == "paper":
            continue
        songs = {
            song: {stem: beat_measures(known[song], beats.files[song][stem].beats[protocol]) for stem in beats.stems}
            for song in beats.songs
            if song in known
        }
        stems = {
            stem: {
                name: float(nanmean(np.array([rows[stem][name] for rows in songs.values()]), axis=0))
                for name in MEASURES
            }
            for stem in beats.stems
        }
        protocols[protocol] = {"stems": stems, "songs": songs}
    return {"protocols": protocols, "missing": [song for song in beats.songs if song not in truth]}
