"""All metrics of one folder in one protocol, with what it takes to read them: intervals, chance, marks, coverage."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from synctrack.metrics.beats.types import PROTOCOL_FPS, StemBeats
from synctrack.metrics.bootstrap import nanmean, songs_with_a_value, stem_mean_interval, too_few
from synctrack.metrics.cbd import BeatDeviation, cbd
from synctrack.metrics.cbs import BeatSynchrony, cbs
from synctrack.metrics.chance import PUBLISHED_NAMES, chance_floor, chance_reason, fold_song, marks, noise_irs
from synctrack.metrics.irs import IntervalRegularity, interval_statistics, irs
from synctrack.metrics.pairs import mean_matrices, pair_matrices
from synctrack.metrics.tempo import PREFERRED_BPM, suspected_levels, tempo

# Files whose highest sample lies below -60 dB of full scale are counted as silent.
SILENCE_PEAK = 1e-3
SONG_METRICS = ("irs", "cbs", "cbd", "folded_cbs", "folded_cbd")


def _with_published(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same, with the published evaluation's names beside irs, cbs and cbd."""
    return {**values, **{PUBLISHED_NAMES[name]: values[name] for name in PUBLISHED_NAMES if name in values}}


def _stem_deviations(beats: StemBeats, protocol: str) -> np.ndarray:
    """(songs, stems) standard deviation of the intervals of every file, NaN where there is none, of all songs."""
    empty = np.empty(0)
    return np.array(
        [
            [interval_statistics(files[s].beats[protocol] if s in files else empty)[0] for s in beats.stems]
            for files in beats.files.values()
        ]
    )


def _intervals(
    columns: Mapping[str, np.ndarray], deviations: np.ndarray, seed: int
) -> tuple[dict[str, Any], dict[str, str]]:
    """Metric → bootstrap interval, and metric → why there is none.

    Args:
        columns: metric → (songs,) values of the songs that every stem has.
        deviations: of `_stem_deviations`; IRS is of all files, and so is its interval.
        seed: of the bootstrap.
    """
    intervals, reasons = {}, {}
    for name in SONG_METRICS:
        values = deviations if name == "irs" else columns[name][:, None]
        intervals[name] = stem_mean_interval(values, seed)
        reason = too_few(songs_with_a_value(values))
        if reason:
            reasons[name] = reason
    return intervals, reasons


def _stem_rows(beats: StemBeats, protocol: str, regularity: IntervalRegularity) -> dict[str, dict[str, Any]]:
    """Per stem: its regularity, and how many of its files are silent or short of beats."""
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


def _song_rows(
    beats: StemBeats, protocol: str, window_size: float, synchrony: BeatSynchrony, deviation: BeatDeviation
) -> dict[str, dict[str, Any]]:
    """Per song that every stem has: its values, those of its stems and of its pairs of stems."""
    rows, preferred = {}, _preferred_bpm(protocol)
    for song, stems in beats.by_song(protocol).items():
        named = dict(zip(beats.stems, stems, strict=True))
        known = deviation.songs.get(song)
        row = asdict(known) if known else {"error": np.nan, "std_error": np.nan, "median_error": np.nan}
        row["coverage"] = known.paired / known.asked if known and known.asked else np.nan
        row["beat_ratio"] = synchrony.song_beat_ratio.get(song, np.nan)
        row["interval_std"] = {stem: interval_statistics(times)[0] for stem, times in named.items()}
        row["num_beats"] = {stem: len(times) for stem, times in named.items()}
        row["tempo"] = {stem: tempo(times) for stem, times in named.items()}
        row["suspected_levels"] = {stem: str(ratio) for stem, ratio in suspected_levels(named, preferred).items()}
        row["irs"] = float(nanmean(np.array(list(row["interval_std"].values())), axis=0))
        row["cbs"], row["cbd"] = row["beat_ratio"], row["error"]
        row["pairs"] = pair_matrices(stems, beats.durations[song], window_size)
        rows[song] = row
    return rows


def _speed(protocol: str) -> float:
    """How many times as fast as true ones the times of a protocol run: those of `paper` end after 2/3 of a song."""
    return PROTOCOL_FPS.get(protocol, PROTOCOL_FPS["corrected"]) / PROTOCOL_FPS["corrected"]


def _preferred_bpm(protocol: str) -> float:
    return PREFERRED_BPM * _speed(protocol)


def _add_folded(rows: Mapping[str, dict[str, Any]], beats: StemBeats, protocol: str, window_size: float) -> None:
    """Put `folded_cbs` and `folded_cbd` into the songs' rows."""
    preferred = _preferred_bpm(protocol)
    folded = {song: fold_song(stems, preferred) for song, stems in beats.by_song(protocol).items()}
    synchrony, deviation = cbs(folded, beats.durations, window_size), cbd(folded)
    for song, row in rows.items():
        known = deviation.songs.get(song)
        row["folded_cbs"] = synchrony.song_beat_ratio.get(song, np.nan)
        row["folded_cbd"] = known.error if known else np.nan


def summarise(beats: StemBeats, protocol: str, window_size: float, seed: int) -> dict[str, Any]:
    """Everything about one protocol, as `synctrack score --json` writes it; numbers that do not exist are NaN.

    Args:
        beats: of a folder.
        protocol: one of `beats.protocols`.
        window_size: of CBS, in seconds.
        seed: of the bootstrap and of the chance level.
    """
    songs = beats.by_song(protocol)
    regularity = irs(beats.by_stem(protocol))
    synchrony = cbs(songs, beats.durations, window_size)
    deviation = cbd(songs)
    rows = _song_rows(beats, protocol, window_size, synchrony, deviation)
    _add_folded(rows, beats, protocol, window_size)
    columns = {name: np.array([row[name] for row in rows.values()]) for name in SONG_METRICS}
    values = {
        "irs": regularity.avg_interval_std,
        "cbs": synchrony.mean_beat_ratio,
        "cbd": deviation.avg_error,
        "folded_cbs": float(nanmean(columns["folded_cbs"], axis=0)),
        "folded_cbd": float(nanmean(columns["folded_cbd"], axis=0)),
    }
    intervals, reasons = _intervals(columns, _stem_deviations(beats, protocol), seed)
    ends = {song: seconds / _speed(protocol) for song, seconds in beats.durations.items()}
    chance = chance_floor(songs, ends, window_size, seed, _preferred_bpm(protocol))
    noise = noise_irs(beats.tracker, protocol, float(np.median(list(beats.durations.values()))))
    return {
        **_with_published(values),
        "avg_interval_mean": regularity.avg_interval_mean,
        "avg_std_error": deviation.avg_std_error,
        "avg_median_error": deviation.avg_median_error,
        "coverage": deviation.coverage,
        "songs_in_cbs": len(synchrony.song_beat_ratio),
        "songs_in_cbd": int(np.isfinite(columns["cbd"]).sum()),
        "interval_95": _with_published(intervals),
        "chance_floor": chance,
        "noise": {"irs": noise},
        "reasons": {"interval_95": reasons, "chance_floor": chance_reason(len(songs), len(beats.stems))},
        "marks": marks(values, intervals, chance, noise),
        "suspected_levels": {song: row["suspected_levels"] for song, row in rows.items() if row["suspected_levels"]},
        "matrices": mean_matrices([row["pairs"] for row in rows.values()]),
        "stems": _stem_rows(beats, protocol, regularity),
        "songs": rows,
    }
