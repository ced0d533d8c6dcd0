"""Quality and speed of samplers and numbers of steps: rhythm and sound of the demo's clips against the data.

    python benchmarks/bench_samplers.py [--clips 32] [--steps 5 8 10 20 50 200] [--model demo] [--out FOLDER]

For every sampler and number of steps: corrected CBS, CBD and IRS with 95 % bootstrap intervals over clips; the
Fréchet distance of log-mels to the data (of the mean and the standard deviation over 0.64 s in each mel band, a mean
over stems; compare rows only, all have the same number of clips); seconds for a clip, the shorter of two, and how
many times as fast that is as the published sampler with 200 steps. Seconds are measured last, in one go: the cores
should be idle then. As in `synctrack generate`, a model that was trained with a click is told the click of a tempo
that the clip's seed draws. `ddim (published)` is DDIM with eta 1, leading spacing and the last alpha kept; the others
have trailing spacing and end at alpha 1. Every row starts from the same noise. The data are grooves of the kind that
the demo was trained on, with other seeds. The table is also in samplers.md, all numbers in samplers.json and a plot
in samplers.png; a run that was stopped resumes, and one that had ended measures the seconds again.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from synctrack import Song, SyncTrack, score
from synctrack.audio.mel import LogMel
from synctrack.data.sources.grooves import render_groove
from synctrack.diffusion.samplers import Sampling
from synctrack.errors import run_command
from synctrack.files import atomic_path, write_json, write_text
from synctrack.metrics.frechet import frechet_distance

SAMPLERS: dict[str, dict[str, Any]] = {
    "ddim (published)": {"sampler": "ddim"},
    "ddim": {"sampler": "ddim", "spacing": "trailing", "final": "one"},
    "dpmpp_2m": {"sampler": "dpmpp_2m", "spacing": "trailing", "final": "one"},
    "dpmpp_2m_sde": {"sampler": "dpmpp_2m_sde", "spacing": "trailing", "final": "one"},
}
BASELINE = ("ddim (published)", 200)
FORMAT = 2
"""Of samplers.json."""
TIMED_CLIPS = 2
FIRST_GROOVE_SEED = 1_000_000
PATCH_FRAMES = 64
METRICS = ("cbs", "cbd", "irs")


def embeddings(songs: list[Song], mel: LogMel, stem: str) -> np.ndarray:
    """(patches, 2 · n_mels): mean and standard deviation of each mel band over patches of 0.64 s."""
    log_mel = mel(torch.from_numpy(np.stack([song[stem] for song in songs]))).numpy()
    usable = log_mel.shape[1] // PATCH_FRAMES * PATCH_FRAMES
    patches = log_mel[:, :usable].reshape(-1, PATCH_FRAMES, log_mel.shape[2])
    return np.concatenate([patches.mean(axis=1), patches.std(axis=1)], axis=1)


def sample(model: SyncTrack, sampling: Sampling, clips: int, title: str) -> Iterator[Song]:
    """Songs, one after another."""
    production = replace(model.check(), sampling=sampling)
    made = model.produce(production, [(0, clip) for clip in range(clips)], batch_size=1)
    return iter(tqdm(made, total=clips, desc=title, leave=False))


def seconds_per_clip(model: SyncTrack, sampling: Sampling, title: str) -> float:
    """Of the fastest of `TIMED_CLIPS`."""
    songs, times = sample(model, sampling, TIMED_CLIPS, title), []
    for _ in range(TIMED_CLIPS):
        began = time.perf_counter()
        next(songs)
        times.append(time.perf_counter() - began)
    return min(times)


def describe(songs: list[Song], data: list[Song], mel: LogMel) -> dict[str, Any]:
    """Scores with intervals and chance, and the distance to the data."""
    scores = score(songs, cache=False)
    row: dict[str, Any] = {name: float(getattr(scores, name)) for name in METRICS}
    row |= {f"{name}_interval": getattr(scores, name).interval for name in METRICS}
    row["cbs_chance"] = scores.cbs.chance
    distances = [frechet_distance(embeddings(songs, mel, stem), embeddings(data, mel, stem)) for stem in songs[0].stems]
    return row | {"mel_frechet": float(np.mean(distances))}


def measure(model: SyncTrack, clips: int, numbers: list[int], out: Path) -> dict[str, Any]:
    """All rows; each is kept in `out`/samplers.json as soon as it is there."""
    path = out / "samplers.json"
    seconds = model.trained_seconds
    own = {"clips": clips, "model": model.checkpoint.sha256, "format": FORMAT}
    results = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if results.get("settings") != own:
        results = {"settings": own, "rows": {}}
    mel = LogMel(model.model.config.audio)
    grooves = [render_groove(FIRST_GROOVE_SEED + i, seconds, model.sample_rate, model.stems) for i in range(2 * clips)]
    data = [Song(groove.stems, model.sample_rate).within_peak() for groove in grooves]
    if "data" not in results:
        # The other half of the grooves: the least distance that so few clips can have.
        results["data"] = describe(data[clips:], data[:clips], mel)
    for name, settings in SAMPLERS.items():
        for steps in numbers:
            title = f"{name}, {steps} steps"
            if title in results["rows"]:
                continue
            songs = list(sample(model, Sampling(steps=steps, **settings), clips, title))
            row = describe(songs, data[:clips], mel) | {"sampler": name, "steps": steps}
            results["rows"][title] = row
            write_json(path, results)
            print(f"{title}: CBS {row['cbs']:.3f}", flush=True)
    for row in results["rows"].values():
        sampling = Sampling(steps=row["steps"], **SAMPLERS[row["sampler"]])
        row["seconds"] = seconds_per_clip(model, sampling, f"seconds of {row['sampler']}, {row['steps']} steps")
    write_json(path, results)
    return results


def table(results: dict[str, Any]) -> str:
    """A Markdown table."""
    order = list(SAMPLERS)
    rows = dict(sorted(results["rows"].items(), key=lambda item: (order.index(item[1]["sampler"]), item[1]["steps"])))
    baseline = rows.get(f"{BASELINE[0]}, {BASELINE[1]} steps", {}).get("seconds")
    head = ["sampler", "steps", "CBS", "CBD", "IRS (s)", "mel Fréchet", "s / clip", "speed"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in [*rows.values(), results["data"] | {"sampler": "data"}]:
        cells = [row["sampler"], str(row.get("steps", ""))]
        for name in METRICS:
            low, high = row[f"{name}_interval"]
            cells.append(f"{row[name]:.3f} ({low:.3f} to {high:.3f})")
        cells.append(f"{row['mel_frechet']:.1f}")
        cells += [f"{row['seconds']:.2f}" if "seconds" in row else ""]
        cells += [f"{baseline / row['seconds']:.1f}×" if baseline and "seconds" in row else ""]
        lines.append(f"| {' | '.join(cells)} |")
    chance = results["data"]["cbs_chance"]
    lines += [
        "",
        f"{results['settings']['clips']} clips a row; CBS of the data's stems paired at random: {chance:.3f}.",
    ]
    return "\n".join(lines)


def plot(results: dict[str, Any], path: Path) -> None:
    """CBS and the distance to the data over the number of steps."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in SAMPLERS:
        rows = [row for row in results["rows"].values() if row["sampler"] == name]
        steps, values = [row["steps"] for row in rows], np.array([row["cbs"] for row in rows])
        bounds = np.array([row["cbs_interval"] for row in rows]).T
        left.errorbar(steps, values, yerr=[values - bounds[0], bounds[1] - values], marker="o", capsize=3, label=name)
        right.plot(steps, [row["mel_frechet"] for row in rows], marker="o", label=name)
    for axis, level, title in (
        (left, results["data"]["cbs"], "CBS, corrected (higher is better)"),
        (right, results["data"]["mel_frechet"], "Fréchet distance of log-mels (lower is better)"),
    ):
        axis.axhline(level, color="black", linestyle=":", label="data")
        axis.set_xscale("log")
        axis.set_xlabel("steps (calls of the U-Net)")
        axis.set_title(title)
    left.axhline(results["data"]["cbs_chance"], color="grey", linestyle="--", label="chance")
    left.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=32, help="clips a row, 5 or more (default: 32)")
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 8, 10, 20, 50, 200])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--out", type=Path, default=Path("runs/bench_samplers"))
    arguments = parser.parse_args()
    if arguments.clips < 5:
        parser.error("--clips: intervals need 5 clips or more")
    if min(arguments.steps) < 1:
        parser.error(f"--steps: {min(arguments.steps)} is not 1 or more")
    model = SyncTrack.from_pretrained(arguments.model)
    results = measure(model, arguments.clips, arguments.steps, arguments.out)
    text = table(results)
    write_text(arguments.out / "samplers.md", text + "\n")
    plot(results, arguments.out / "samplers.png")
    print(text)


if __name__ == "__main__":
    run_command(main)
