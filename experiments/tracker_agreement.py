"""Whether the beat trackers and onset synchrony agree on which songs are in time.

Grooves get faults of various sizes in one stem, and are scored by CBS under every tracker that is installed and by
onset synchrony. For each pair of them: Spearman's rank correlation over the songs, with a 95 % bootstrap interval; and
each one's correlation with the size of the injected fault. Scores are kept under --out song by song, so that an
interrupted run resumes. Writes agreement.json and prints a table; says which trackers are not installed.
"""

import argparse
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from scipy.stats import rankdata
from tqdm import tqdm

from synctrack.data.sources.grooves import render_groove
from synctrack.errors import InputError, run_command
from synctrack.files import write_json
from synctrack.metrics.beats.trackers import TRACKERS, make_tracker
from synctrack.metrics.beats.types import Tracker
from synctrack.metrics.bootstrap import bootstrap_interval
from synctrack.metrics.cbs import cbs
from synctrack.metrics.onset_synchrony import song_synchrony
from synctrack.metrics.onsets import onsets_of

SAMPLE_RATE = 16000
FIRST_SEED = 9000
FAULTS = [("none", 0.0)] + [("delay", size) for size in (0.02, 0.05, 0.1, 0.2, 0.3)]
FAULTS += [("drift", size) for size in (0.005, 0.01, 0.02, 0.05)]
ONSETS = "onset synchrony"
SIZE = "size of the fault"
DRIFT_AS_DELAY = 0.5  # a drift's mean lag, as a share of drift times duration


def faulty_stems(number: int, seconds: float) -> tuple[dict[str, np.ndarray], str, str, float]:
    """The stems of a groove with one fault, the faulty stem, kind and size of the fault; all follow from `number`."""
    fault, size = FAULTS[number % len(FAULTS)]
    stems = dict(render_groove(FIRST_SEED + number, seconds, SAMPLE_RATE).stems)
    stem = sorted(stems)[number // len(FAULTS) % len(stems)]
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    times = times / (1 + size) if fault == "drift" else times - size
    stems[stem] = np.interp(times * SAMPLE_RATE, np.arange(len(stems[stem])), stems[stem], left=0).astype(np.float32)
    return stems, stem, fault, size


def score_song(stems: Mapping[str, np.ndarray], seconds: float, trackers: Mapping[str, Tracker], place: Path) -> dict:
    """CBS under each tracker, and onset synchrony; None where a song has none."""
    scores: dict[str, float | None] = {}
    beats: dict[str, list[np.ndarray]] = {name: [] for name in trackers}
    for samples in stems.values():
        soundfile.write(place, samples, SAMPLE_RATE)
        for name, tracker in trackers.items():
            beats[name].append(tracker.track_file(place).beats["corrected"])
    for name, found in beats.items():
        scores[f"CBS, {name}"] = cbs({"song": found}, {"song": seconds}).song_beat_ratio.get("song")
    synchrony = song_synchrony({stem: onsets_of(samples, SAMPLE_RATE) for stem, samples in stems.items()})["value"]
    scores[ONSETS] = float(synchrony) if np.isfinite(synchrony) else None
    return scores


def available_trackers() -> tuple[dict[str, Tracker], dict[str, str]]:
    """The trackers that can be used, and why the others cannot."""
    found, missing = {}, {}
    for name in TRACKERS:
        try:
            found[name] = make_tracker(name)
        except InputError as error:
            missing[name] = str(error)
    return found, missing


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Rank correlation of two (songs,) arrays without NaN; ties share their mean rank. NaN where one is constant."""
    a, b = rankdata(first) - (len(first) + 1) / 2, rankdata(second) - (len(second) + 1) / 2
    norm = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / norm) if norm else np.nan


def correlation(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Spearman's correlation over the songs that have both values, with its interval."""
    both = np.isfinite(first) & np.isfinite(second)
    first, second = first[both], second[both]
    interval = bootstrap_interval(
        lambda rounds: np.array([spearman(first[songs], second[songs]) for songs in rounds]), len(first), seed=0
    )
    return {"correlation": spearman(first, second), "interval_95": list(interval), "songs": int(both.sum())}


def agreement(rows: list[dict[str, Any]], seconds: float) -> list[dict[str, Any]]:
    """One entry for each pair of scores, and for each score and the size of the fault."""
    names = list(rows[0]["scores"])
    columns = {name: np.array([row["scores"][name] for row in rows], float) for name in names}
    sizes = [row["size"] * (DRIFT_AS_DELAY * seconds if row["fault"] == "drift" else 1.0) for row in rows]
    columns[SIZE] = -np.array(sizes)
    return [
        {"first": first, "second": second, **correlation(columns[first], columns[second])}
        for first, second in itertools.combinations(columns, 2)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=40, help="grooves (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.24, help="of each (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/tracker_agreement"), help="(default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.songs < 5:
        raise InputError(f"--songs {arguments.songs}: five or more are needed for an interval")
    trackers, missing = available_trackers()
    for name, reason in missing.items():
        print(f"left out: {name}: {reason}")
    versions = [tracker.version for tracker in trackers.values()]
    rows = []
    for number in tqdm(range(arguments.songs), desc="songs", unit="song", disable=None):
        path = arguments.out / f"{arguments.seconds:g}s" / f"{number:04d}.json"
        row = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if row.get("trackers") != versions:
            stems, stem, fault, size = faulty_stems(number, arguments.seconds)
            path.parent.mkdir(parents=True, exist_ok=True)
            scores = score_song(stems, arguments.seconds, trackers, path.with_suffix(".wav"))
            path.with_suffix(".wav").unlink()
            row = {"trackers": versions, "stem": stem, "fault": fault, "size": size, "scores": scores}
            write_json(path, row)
        rows.append(row)
    pairs = agreement(rows, arguments.seconds)
    write_json(arguments.out / "agreement.json", {"left_out": missing, "pairs": pairs, "songs": rows})
    print("| | | rank correlation | 95 % interval |\n|---|---|---|---|")
    for pair in pairs:
        low, high = pair["interval_95"]
        print(f"| {pair['first']} | {pair['second']} | {pair['correlation']:.2f} | {low:.2f} to {high:.2f} |")
    print(f"written: {arguments.out / 'agreement.json'}")


if __name__ == "__main__":
    run_command(main)
