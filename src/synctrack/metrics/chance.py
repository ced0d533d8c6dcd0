"""What the metrics give without synchrony: stems paired at random across songs, and beats detected in noise."""

from collections.abc import Mapping, Sequence

import numpy as np

from synctrack.metrics.bootstrap import LEAST_SONGS
from synctrack.metrics.cbd import cbd
from synctrack.metrics.cbs import cbs
from synctrack.metrics.tempo import fold

CHANCE_SONGS = 200
COMPARED = ("cbs", "cbd", "folded_cbs", "folded_cbd")
PUBLISHED_NAMES = {"irs": "avg_interval_std", "cbs": "mean_beat_ratio", "cbd": "avg_error"}
HIGHER_IS_BETTER = ("cbs", "folded_cbs", "onset_synchrony")


def chance_floor(
    songs: Mapping[str, Sequence[np.ndarray]],
    durations: Mapping[str, float],
    window_size: float,
    seed: int,
    folded_towards: float | None = None,
) -> dict[str, float]:
    """CBS and CBD of the same stems, re-paired at random so that no two come from the same song, as far as all last.

    Args:
        songs: for each song the beat times in seconds of its stems.
        durations: for each song its duration in seconds, on the clock of the beats.
        window_size: of CBS, in seconds.
        seed: of the pairing.
        folded_towards: the preferred tempo of `tempo.fold`; where it is given, so are `folded_cbs` and `folded_cbd`, of
            the re-paired stems with folded tempi.

    Returns:
        `cbs` and `cbd` (also under their published names) over at least CHANCE_SONGS pairings; NaN where
        `chance_reason` gives a reason.
    """
    names = list(songs)
    num_stems = len(next(iter(songs.values())))
    if chance_reason(len(names), num_stems):
        return dict.fromkeys([*COMPARED, PUBLISHED_NAMES["cbs"], PUBLISHED_NAMES["cbd"]], np.nan)
    generator = np.random.default_rng(seed)
    paired, paired_durations = {}, {}
    while len(paired) < CHANCE_SONGS:
        order = generator.permutation(len(names))
        shifts = generator.choice(len(names), num_stems, replace=False)
        for i in range(len(names)):
            sources = [names[order[(i + shift) % len(names)]] for shift in shifts]
            name = f"pairing {len(paired)}"
            # Behind the end of the shortest, the others would seem to miss beats.
            end = min(durations[source] for source in sources)
            beats = [np.asarray(songs[source][stem]) for stem, source in enumerate(sources)]
            paired[name] = [times[times < end] for times in beats]
            paired_durations[name] = end
    values = {"cbs": cbs(paired, paired_durations, window_size).mean_beat_ratio, "cbd": cbd(paired).avg_error}
    values |= {PUBLISHED_NAMES[name]: value for name, value in values.items()}
    if folded_towards is not None:
        paired = {name: fold_song(stems, folded_towards) for name, stems in paired.items()}
        values["folded_cbs"] = cbs(paired, paired_durations, window_size).mean_beat_ratio
        values["folded_cbd"] = cbd(paired).avg_error
    return values


def chance_reason(num_songs: int, num_stems: int) -> str | None:
    """Why there is no chance level; None where there is one."""
    needed = max(num_stems, LEAST_SONGS)
    if num_songs >= needed:
        return None
    have = "1 song is" if num_songs == 1 else f"{num_songs} songs are"
    return f"{have} in every stem; chance pairs stems across songs and needs {needed}"


def fold_song(stems: Sequence[np.ndarray], preferred: float) -> list[np.ndarray]:
    """`tempo.fold` of one song's stems, in their order."""
    return list(fold({str(number): beats for number, beats in enumerate(stems)}, preferred).values())


def noise_irs(tracker: str, protocol: str, seconds: float) -> float | None:
    """The IRS of noise under a tracker, in seconds; None where it has not been measured.

    A tracker with a strong model of tempo detects a steady beat in anything.

    Args:
        tracker: its name and version.
        protocol: of the tracker.
        seconds: length of the files; the level depends on it.
    """
    levels = NOISE_IRS.get((tracker.partition(" ")[0], protocol))
    return None if levels is None else float(np.interp(np.log(seconds), np.log(NOISE_LENGTHS), levels))


NOISE_LENGTHS = (5.12, 10.24, 20.48, 40.96, 81.92)
# Measured by experiments/noise_level.py: at each length the lowest of white noise, pink noise and noise in bursts.
NOISE_IRS = {
    ("madmom", "corrected"): (0.0117, 0.0384, 0.0495, 0.0658, 0.0839),
    ("madmom", "paper"): (0.001, 0.0284, 0.0398, 0.0429, 0.0529),
}


def marks(
    values: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float] | None],
    chance: Mapping[str, float],
    noise: float | None,
) -> dict[str, str]:
    """Metric → why its value means little: chance, or noise, would reach it.

    A value is marked when its interval (itself, where there is none) reaches that of chance or of noise.
    """
    found = {}
    for name in COMPARED:
        level, value = chance.get(name, np.nan), values[name]
        if not (np.isfinite(level) and np.isfinite(value)):
            continue
        low, high = intervals.get(name) or (value, value)
        if (low <= level) if name in HIGHER_IS_BETTER else (high >= level):
            found[name] = f"not better than chance ({level:.3f})"
    if noise is not None and np.isfinite(values["irs"]):
        _, high = intervals.get("irs") or (values["irs"], values["irs"])
        if high >= noise:
            found["irs"] = f"noise is as steady ({noise:.3f} s)"
    return found
