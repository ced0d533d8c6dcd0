"""What the metrics detect: grooves with known beats and faults of known size, scored by all in both protocols.

    delay   every stem of a song is late by its own random time, up to the size (seconds)
    jitter  every beat of a stem is moved by normal noise whose standard deviation is the size (seconds)
    drift   every stem runs fast or slow by its own share of the tempo, up to the size; its clock is the groove's at 0 s

Each fault is applied to the audio, through the tracker, and to the known beats, without one (protocol `truth`). Onset
synchrony has neither (`onsets`). --no-beats leaves the tracker, which takes most of the time, out. Writes
calibration.csv and calibration.png, and prints from which size on each metric is significantly worse than at size 0
(95 % paired bootstrap interval over songs of the mean difference).
"""

import argparse
import csv
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from scipy.interpolate import PchipInterpolator
from tqdm import tqdm

from synctrack.data.sources.grooves import Groove, render_groove
from synctrack.errors import InputError, run_command
from synctrack.files import atomic_path
from synctrack.metrics.beats.folders import track_folder
from synctrack.metrics.beats.layout import find_layout
from synctrack.metrics.beats.trackers import make_tracker
from synctrack.metrics.beats.types import FileBeats, StemBeats, Tracker
from synctrack.metrics.bootstrap import bootstrap_interval
from synctrack.metrics.onset_folder import folder_onsets
from synctrack.metrics.onset_synchrony import song_synchrony
from synctrack.metrics.score import score_beats

SECONDS = 10.24
MARGIN = 1.5
SAMPLE_RATE = 16000
SIZES = {
    "delay": (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4),
    "jitter": (0.0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16),
    "drift": (0.0, 0.005, 0.01, 0.02, 0.05, 0.1),
}
ROUNDING = 1e-9
# Metric → the per-song value that it is the mean of, and the sign of a change for the worse.
METRICS = {"IRS": ("interval_std", 1), "CBS": ("beat_ratio", -1), "CBD": ("error", 1)}
ONSET_SYNCHRONY = "onset synchrony"

# Protocol → metric → (songs,) values.
Values = dict[str, dict[str, np.ndarray]]


def time_map(fault: str, size: float, beats: np.ndarray, generator: np.random.Generator) -> Callable:
    """The time map of a fault: an increasing function from times of the groove to new times, in seconds.

    Args:
        fault: one of SIZES.
        size: of the fault.
        beats: (n,) the groove's beat times, which jitter moves one by one.
        generator: draws this stem's fault.
    """
    if fault == "delay":
        late = generator.uniform(0, size)
        return lambda times: times + late
    if fault == "drift":
        rate = 1 + generator.uniform(-size, size)
        return lambda times: times * rate
    # Beats must not change their order: each moves by at most 45 % of the interval to the next.
    reach = 0.45 * np.diff(beats).min()
    shifts = np.clip(generator.normal(0, size, len(beats)), -reach, reach)
    # Smooth between beats, since the tracker detects a sudden change of speed, and thus of pitch, as an onset. Before
    # the first and after the last beat the shift is constant.
    knots = np.r_[beats[0] - SECONDS, beats, beats[-1] + SECONDS]
    return PchipInterpolator(knots, knots + np.r_[shifts[0], shifts, shifts[-1]])


def warp(samples: np.ndarray, mapping: Callable) -> np.ndarray:
    """Play samples (n,) at the mapped times: old moment t is detected at mapping(t); SECONDS long."""
    old = np.arange(len(samples)) / SAMPLE_RATE
    wanted = np.interp(np.arange(round(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE, mapping(old), old)
    return np.interp(wanted, old, samples).astype(np.float32)


def write_stems(folder: Path, grooves: list[Groove], fault: str, size: float) -> StemBeats:
    """Write the faulty stems as WAV files and return their true beats."""
    files = {}
    for number, groove in enumerate(tqdm(grooves, desc=f"{fault} {size}", unit="song", leave=False, disable=None)):
        song, files[f"groove{number:03d}"] = f"groove{number:03d}", {}
        for index, (stem, samples) in enumerate(groove.stems.items()):
            mapping = time_map(fault, size, groove.beats, np.random.default_rng([number, index]))
            path = folder / stem / f"{song}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, warp(samples, mapping), SAMPLE_RATE)
            beats = mapping(groove.beats)
            beats = beats[(beats >= 0) & (beats < SECONDS)]
            files[song][stem] = FileBeats(SECONDS, float(np.abs(samples).max()), {"truth": beats})
    return StemBeats(tuple(grooves[0].stems), files, ("truth",), "the grooves' own beats")


def song_values(scores: dict, metric: str) -> np.ndarray:
    """(songs,) one metric's value of each song; NaN where it has none."""
    name = METRICS[metric][0]
    values = [song[name] for song in scores["songs"].values()]
    stems = [list(value.values()) if isinstance(value, dict) else [value] for value in values]
    known = [[value for value in song if value is not None] for song in stems]
    return np.array([np.mean(song) if song else np.nan for song in known])


def onset_values(folder: Path) -> Values:
    """Onset synchrony of each song."""
    songs = folder_onsets(find_layout(folder), cache=False)
    values = np.array([song_synchrony(stems)["value"] for stems in songs.values()], float)
    return {"onsets": {ONSET_SYNCHRONY: values}}


def beat_values(folder: Path, truth: StemBeats, tracker: Tracker) -> Values:
    """IRS, CBS and CBD of each song, from the known beats and from tracked ones."""
    tracked = track_folder(folder, tracker, cache=False)
    protocols = score_beats(truth)["protocols"] | score_beats(tracked)["protocols"]
    return {
        protocol: {metric: song_values(scores, metric) for metric in METRICS} for protocol, scores in protocols.items()
    }


def calibrate(songs: int, with_beats: bool = True) -> list[dict]:
    """One row for each fault, size, protocol and metric: score, and 95 % interval of how much worse it is."""
    seconds = SECONDS + MARGIN
    grooves = [render_groove(seed, seconds, SAMPLE_RATE) for seed in tqdm(range(songs), desc="grooves", disable=None)]
    tracker = make_tracker("madmom") if with_beats else None
    rows: list[dict] = []
    unharmed: Values = {}
    for fault, sizes in SIZES.items():
        for size in sizes:
            with tempfile.TemporaryDirectory() as temporary:
                truth = write_stems(Path(temporary), grooves, fault, size)
                found = onset_values(Path(temporary))
                if tracker is not None:
                    found |= beat_values(Path(temporary), truth, tracker)
            if size == 0:
                unharmed = found
            for protocol, metrics in found.items():
                for metric, values in metrics.items():
                    row = {"fault": fault, "size": size, "protocol": protocol, "metric": metric}
                    rows.append({**row, **worsening(metric, values, unharmed[protocol][metric])})
    return rows


def worsening(metric: str, values: np.ndarray, unharmed: np.ndarray) -> dict[str, float]:
    """The mean of (songs,) values, and the 95 % interval of how much worse they are than without the fault."""
    worse = METRICS[metric][1] if metric in METRICS else -1
    change = worse * (values - unharmed)
    low, high = bootstrap_interval(lambda i: np.nanmean(change[i], axis=1), len(values), seed=0)
    return {"score": float(np.nanmean(values)), "worse_low": low, "worse_high": high}


def first_detected(rows: list[dict]) -> list[str]:
    """A line for each fault, protocol and metric: the smallest size from which on it is always detected."""
    lines = []
    for key in dict.fromkeys((row["fault"], row["protocol"], row["metric"]) for row in rows):
        curve = [row for row in rows if (row["fault"], row["protocol"], row["metric"]) == key and row["size"] > 0]
        undetected = [row["size"] for row in curve if not row["worse_low"] > ROUNDING]
        detected = [row["size"] for row in curve if row["size"] > max(undetected, default=0.0)]
        lines.append(f"{key[0]:7s} {key[1]:10s} {key[2]}: {f'from {detected[0]} on' if detected else 'not detected'}")
    return lines


def write_csv(path: Path, rows: list[dict]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_figure(path: Path, rows: list[dict]) -> None:
    """A panel for each metric and fault, a curve for each protocol."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    size = (12, 3 * len(metrics))
    figure, panels = plt.subplots(len(metrics), len(SIZES), figsize=size, layout="constrained", squeeze=False)
    for panel_row, metric in zip(panels, metrics, strict=True):
        for panel, fault in zip(panel_row, SIZES, strict=True):
            for protocol in dict.fromkeys(row["protocol"] for row in rows if row["metric"] == metric):
                key = (fault, protocol, metric)
                curve = [row for row in rows if (row["fault"], row["protocol"], row["metric"]) == key]
                panel.plot([row["size"] for row in curve], [row["score"] for row in curve], marker="o", label=protocol)
            panel.set(xlabel=f"{fault} ({'share of tempo' if fault == 'drift' else 's'})", ylabel=metric)
            panel.grid(alpha=0.3)
    panels[-1, 0].legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=40, help="grooves of four stems (default: %(default)s)")
    parser.add_argument("--no-beats", action="store_true", help="onset synchrony alone, without a beat tracker")
    parser.add_argument("--out", type=Path, default=Path("runs/calibration"), help="folder (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.songs < 2:
        raise InputError(f"--songs {arguments.songs}: two or more are needed for an interval")
    rows = calibrate(arguments.songs, not arguments.no_beats)
    write_csv(arguments.out / "calibration.csv", rows)
    write_figure(arguments.out / "calibration.png", rows)
    print("\n".join(first_detected(rows)))
    print(f"written: {arguments.out / 'calibration.csv'}, {arguments.out / 'calibration.png'}")


if __name__ == "__main__":
    run_command(main)
