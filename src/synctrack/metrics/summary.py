"""All three metrics of one folder in one protocol, with what it takes to read them: intervals, chance, coverage."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from synctrack.metrics.beats.types import StemBeats
from synctrack.metrics.cbd import cbd
from synctrack.metrics.cbs import cbs
from synctrack.metrics.irs import interval_statistics, irs

BOOTSTRAP_ROUNDS = 1000
CHANCE_SONGS = 200
# Files whose highest sample lies below -60 dB of full scale are counted as silent.
SILENCE_PEAK = 1e-3


def bootstrap_interval(statistic: Callable[[np.ndarray], np.ndarray], num_songs: int, seed: int) -> tuple[float, float]:
    """95 % percentile interval of a statistic over songs.

    Args:
        statistic: takes (rounds, num_songs) song indices, gives the statistic of each round.
        num_songs: how many songs there are.
        seed: of the resampling with replacement.

    Source: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    values = statistic(np.random.default_rng(seed).integers(num_songs, size=(BOOTSTRAP_ROUNDS, num_songs)))
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, [2.5, 97.5]) if len(values) else (np.nan, np.nan)
    return float(low), float(high)


def _nanmean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean over the numbers; NaN where there is none, without a warning."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(axis=axis) / known.sum(axis=axis)


def _intervals(stem_std: np.ndarray, ratios: np.ndarray, errors: np.ndarray, seed: int) -> dict[str, Any]:
    """Bootstrap intervals from (songs, stems) interval deviations and (songs,) CBS and CBD; NaN where there is none."""

    def regularity(rounds: np.ndarray) -> np.ndarray:
        return _nanmean(_nanmean(stem_std[rounds], axis=1), axis=1)

    return {
        "avg_interval_std": bootstrap_interval(regularity, len(stem_std), seed),
        "mean_beat_ratio": bootstrap_interval(lambda rounds: _nanmean(ratios[rounds], axis=1), len(ratios), seed),
        "avg_error": bootstrap_interval(lambda rounds: _nanmean(errors[rounds], axis=1), len(errors), seed),
    }


def chance_floor(
    songs: Mapping[str, Sequence[np.ndarray]], durations: Mapping[str, float], window_size: float, seed: int
) -> dict[str, float]:
    """CBS and CBD of the same stems, re-paired at random so that no two come from the same song.

    Args:
        songs: for each song the beat times in seconds of its stems.
        durations: for each song its duration in seconds.
        window_size: of CBS, in seconds.
        seed: of the pairing.

    Returns:
        `mean_beat_ratio` and `avg_error` over at least CHANCE_SONGS pairings; NaN with fewer songs than stems, where
        no such pairing exists.
    """
    names = list(songs)
    num_stems = len(next(iter(songs.values())))
    if len(names) < num_stems:
        return {"mean_beat_ratio": np.nan, "avg_error": np.nan}
    generator = np.random.default_rng(seed)
    paired, paired_durations = {}, {}
    while len(paired) < CHANCE_SONGS:
        order = generator.permutation(len(names))
        shifts = generator.choice(len(names), num_stems, replace=False)
        for i in range(len(names)):
            sources = [names[order[(i + shift) % len(names)]] for shift in shifts]
            name = f"pairing {len(paired)}"
            paired[name] = [songs[source][stem] for stem, source in enumerate(sources)]
            paired_durations[name] = max(durations[source] for source in sources)
    synchrony = cbs(paired, paired_durations, window_size)
    return {"mean_beat_ratio": synchrony.mean_beat_ratio, "avg_error": cbd(paired).avg_error}


def _stem_rows(beats: StemBeats, protocol: str) -> dict[str, dict[str, Any]]:
    """Per stem: its regularity, and how many of its files are silent or short of beats."""
    regularity = irs(beats.by_stem(protocol))
    rows = {}
    for stem in beats.stems:
        files = [stems[stem] for stems in beats.files.values() if stem in stems]
        rows[stem] = {
            "interval_std": regularity.stem_interval_std[stem],
            "interval_mean": regularity.stem_interval_mean[stem],
            "files": len(files),
            "silent_files": sum(file.peak < SILENCE_PEAK for file in files),
            "files_without_beats": sum(len(file.beats[protocol]) == 0 for file in files),
            "files_with_fewer_than_two_beats": sum(len(file.beats[protocol]) < 2 for file in files),
        }
    return rows


def summarise(beats: StemBeats, protocol: str, window_size: float, seed: int) -> dict[str, Any]:
    """Everything about one protocol, as `score.py --json` writes it; numbers that do not exist are NaN.

    Args:
        beats: of a folder.
        protocol: one of `beats.protocols`.
        window_size: of CBS, in seconds.
        seed: of the bootstrap and of the chance floor.
    """
    songs = beats.by_song(protocol)
    regularity = irs(beats.by_stem(protocol))
    synchrony = cbs(songs, beats.durations, window_size)
    deviation = cbd(songs)
    rows = {}
    for song, stems in songs.items():
        known = deviation.songs.get(song)
        row = asdict(known) if known else {"error": np.nan, "std_error": np.nan, "median_error": np.nan}
        row["coverage"] = known.paired / known.asked if known and known.asked else np.nan
        row["beat_ratio"] = synchrony.song_beat_ratio.get(song, np.nan)
        row["interval_std"] = {s: interval_statistics(t)[0] for s, t in zip(beats.stems, stems, strict=True)}
        row["num_beats"] = {s: len(t) for s, t in zip(beats.stems, stems, strict=True)}
        rows[song] = row
    stem_std = np.array([list(row["interval_std"].values()) for row in rows.values()])
    ratios = np.array([row["beat_ratio"] for row in rows.values()])
    errors = np.array([row["error"] for row in rows.values()])
    return {
        "avg_interval_std": regularity.avg_interval_std,
        "avg_interval_mean": regularity.avg_interval_mean,
        "mean_beat_ratio": synchrony.mean_beat_ratio,
        "avg_error": deviation.avg_error,
        "avg_std_error": deviation.avg_std_error,
        "avg_median_error": deviation.avg_median_error,
        "coverage": deviation.coverage,
        "songs_in_cbs": len(synchrony.song_beat_ratio),
        "songs_in_cbd": int(np.isfinite(errors).sum()),
        "interval_95": _intervals(stem_std, ratios, errors, seed),
        "chance_floor": chance_floor(songs, beats.durations, window_size, seed),
        "stems": _stem_rows(beats, protocol),
        "songs": rows,
    }
