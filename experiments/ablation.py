"""The paper's ablation at small scale: the same training with and without each of SyncTrack's parts, then scored.

    python experiments/ablation.py --config config/synctrack_train.yaml config/demo.yaml [more.yaml ...] [key=value ...]
        --steps N --clips M [--out runs/ablation]

Trains four randomly initialised models with train_synctrack.py, with the same steps, data and seed, each in its own
folder below --out, and generates M clips with each by eval_synctrack.py, where config/synctrack_eval.yaml replaces the
first file. A command that was stopped resumes when it is run again. Prints a table of the rhythm metrics with their
95 % intervals, of the share of stems that are classified correctly (stem_identity.py) and of the validation loss, and
below it the paper's numbers. The table is also in ablation.md; all results, including chance levels, in ablation.json.
"""

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stem_identity import clip_format, read_clips
from synctrack.checkpoint.files import read_file
from synctrack.config import Config, add_config_arguments, config_of
from synctrack.errors import InputError, run_command
from synctrack.files import atomic_path, changes, write_json
from synctrack.metrics.score import score_folder
from synctrack.metrics.stem_identity import share, train

ROOT = Path(__file__).resolve().parents[1]
EVAL_CONFIG = ROOT / "config" / "synctrack_eval.yaml"
MODELS = {
    "full": "full",
    "no_global_attention": "without global attention",
    "no_time_attention": "without time-specific attention",
    "no_instrument_prior": "without instrument prior",
}
"""Folder, and name of the overlay in config/ablations, of each model -> its name in the table."""
METRICS = {"IRS ↓": "avg_interval_std", "CBS ↑": "mean_beat_ratio", "CBD ↓": "avg_error"}
PROTOCOLS = ("paper", "corrected")
PAPER = {
    "full": ("1.26", "0.125", "0.487"),
    "without global attention": ("~1.8", "~0.14", "~0.45"),
    "without time-specific attention": ("~1.6", "~0.13", "~0.46"),
    "without instrument prior": ("~1.4", "~0.13", "~0.47"),
    "data": ("-", "0.049", "0.592"),
}
"""FAD, IRS and CBS of the paper; ~ marks what is known to that precision only."""
NOTES = """\
In brackets: 95 % interval over clips. data: the segments of the test set. chance: their stems, re-paired at random so
that no two come from one clip. stems named: share of stems that a classifier trained on the training data classifies
correctly; without the prior nothing distinguishes the stems, so that their order is random. silent: silent stems, which
the rhythm metrics leave out."""
PAPER_NOTES = """\
The paper's own ablation, for comparison of the order alone: full-size model, 320 000 steps, Slakh2100, protocol `paper`
(~ marks rounded values). Levels do not compare with those above."""


def run_script(script: str, files: Sequence[object], pairs: Sequence[str]) -> None:
    """Run train_synctrack.py or eval_synctrack.py; its output is printed."""
    command = [sys.executable, ROOT / script, "--config", *files, *pairs]
    status = subprocess.run([str(part) for part in command], check=False).returncode
    if status:
        raise InputError(f"{script} ended with status {status}, see its output above; run this command again to resume")


def clips_are_complete(folder: Path, steps: int, clips: int) -> bool:
    """Whether all requested clips of a model exist, generated with the weights of this number of steps."""
    path = folder / "generated" / "manifest.json"
    if not path.is_file():
        return False
    manifest = json.loads(path.read_text())
    if not manifest["complete"] or manifest["checkpoint"]["step"] != steps:
        return False
    return manifest["config"]["evaluation"]["clips"] >= clips


def make_clips(folder: Path, overlay: list[Path], arguments: argparse.Namespace) -> None:
    """Train a model in `folder` and generate its clips, except for what is complete."""
    if clips_are_complete(folder, arguments.steps, arguments.clips):
        return
    files, pairs = arguments.files, arguments.pairs
    last = folder / "checkpoints" / "last.ckpt"
    if not last.is_file() or read_file(last).step < arguments.steps:
        limits = [f"trainer.max_steps={arguments.steps}", "trainer.max_epochs=-1"]
        start = ["model.params.ckpt_path=null", f"trainer.resume={'last' if last.is_file() else 'null'}"]
        own = ["mode=train", f"run_dir={folder}", *limits, *start]
        run_script("train_synctrack.py", [*files, *overlay], [*pairs, *own])
    source = [f"model.params.ckpt_path={last}", "data.params.path.latents=null"]
    out = [f"evaluation.out={folder / 'generated'}", f"evaluation.clips={arguments.clips}", "evaluation.score=false"]
    run_script("eval_synctrack.py", [EVAL_CONFIG, *files[1:], *overlay], [*pairs, "mode=test", *source, *out])


def last_logged(folder: Path, name: str) -> float | None:
    """The last value of `name` in a run's CSV logs; a resumed run has several."""
    values = {}
    for file in folder.glob("csv/version_*/metrics.csv"):
        with file.open(newline="") as lines:
            values |= {int(row["step"]): float(row[name]) for row in csv.DictReader(lines) if row.get(name)}
    return values[max(values)] if values else None


def score(out: Path, config: Config) -> dict[str, Any]:
    """Title -> rhythm scores, stem shares and validation loss of each model, and of the data."""
    paths = config.data.params.path
    stems, generated = paths.stems, {title: out / name / "generated" for name, title in MODELS.items()}
    targets = generated["full"] / "targets"
    audio = clip_format(targets)
    classifier = train(read_clips(paths.train_data, stems, audio), stems, audio)
    rows = {}
    for title, folder in {**generated, "data": targets}.items():
        named = share(classifier, read_clips(folder, stems, audio), stems, audio)
        loss = None if title == "data" else last_logged(folder.parent, "val/loss_ema")
        rows[title] = {**score_folder(folder), "stems_named": named, "val_loss_ema": loss}
    counts = {row["stems_named"]["clips"] for row in rows.values()}
    if len(counts) > 1:
        raise InputError(f"{out}: its models have {min(counts)} to {max(counts)} clips; ask for the most with --clips")
    return rows


def cell(value: float | None, interval: Sequence[float | None] = (None,), form: str = ".3f") -> str:
    if value is None:
        return "-"
    bounds = "" if None in interval else f" ({' to '.join(format(bound, form) for bound in interval)})"
    return f"{value:{form}}{bounds}"


def table(rows: dict[str, Any]) -> str:
    """The result of `score` as a table, with a row for chance."""
    names = [(protocol, metric) for protocol in PROTOCOLS for metric in METRICS.values()]
    lines = [["", *(f"{title} {protocol}" for protocol in PROTOCOLS for title in METRICS)]]
    lines[0] += ["stems named ↑", "silent", "val/loss_ema"]
    for title, row in rows.items():
        of, named = row["protocols"], row["stems_named"]
        scores = [cell(of[protocol][metric], of[protocol]["interval_95"][metric]) for protocol, metric in names]
        stems = [cell(named["share"], named["interval_95"], ".0%"), str(named["silent"])]
        lines.append([title, *scores, *stems, cell(row["val_loss_ema"], form=".4f")])
    of = rows["data"]["protocols"]
    floors = [cell(of[protocol]["chance_floor"].get(metric)) for protocol, metric in names]
    lines.append(["chance", *floors, f"{1 / len(rows['data']['stems_named']['stems']):.0%}", "-", "-"])
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Rows of cells, the first the heading, as a Markdown table in even columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    form = " | ".join(["{:<{}}", *["{:>{}}"] * (len(widths) - 1)])
    cells = (
        [item for pair in zip(line, widths, strict=True) for item in pair] for line in [lines[0], rule, *lines[1:]]
    )
    return "\n".join(f"| {form.format(*pairs)} |" for pairs in cells)


def describe(rows: dict[str, Any], steps: int) -> str:
    """The content of ablation.md."""
    clips = rows["data"]["counts"]["songs"]
    title = f"Each model trained for {steps} steps from random weights; {clips} clips."
    paper = aligned([["", "FAD ↓", "IRS ↓", "CBS ↑"], *([name, *values] for name, values in PAPER.items())])
    return "\n\n".join([title, table(rows), NOTES, PAPER_NOTES, paper]) + "\n"


def claim(out: Path, settings: dict[str, Any]) -> None:
    """Check that the content of `out` was created with these settings, or write them there."""
    path = out / "settings.json"
    if not path.is_file():
        write_json(path, settings)
        return
    changed = changes(json.loads(path.read_text()), settings)
    if changed:
        raise InputError(f"{out}: holds an ablation with other settings ({changed}); choose another --out")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_arguments(parser)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), help="folder (default: %(default)s)")
    parser.add_argument("--steps", type=int, required=True, help="of training, for each model")
    parser.add_argument("--clips", type=int, required=True, help="to generate with each model; more can follow")
    arguments = parser.parse_args()
    if min(arguments.steps, arguments.clips) < 1:
        raise InputError(f"--steps {arguments.steps} --clips {arguments.clips}: give 1 or more of each")
    config = config_of(arguments.config, arguments.overrides)
    given = [*arguments.config, *arguments.overrides]
    arguments.files, arguments.pairs = ([item for item in given if ("=" in item) == pair] for pair in (False, True))
    settings = {name: getattr(arguments, name) for name in ("files", "pairs", "steps")}
    claim(arguments.out, settings)
    for name, title in MODELS.items():
        print(f"{title}: {arguments.out / name}", flush=True)
        overlay = [] if name == "full" else [ROOT / "config" / "ablations" / f"{name}.yaml"]
        make_clips(arguments.out / name, overlay, arguments)
    rows = score(arguments.out, config)
    text = describe(rows, arguments.steps)
    with atomic_path(arguments.out / "ablation.md") as temporary:
        temporary.write_text(text)
    write_json(arguments.out / "ablation.json", {"settings": settings, "models": rows, "paper": PAPER})
    print(f"\n{text}\nwritten: {arguments.out / 'ablation.md'}, {arguments.out / 'ablation.json'}")


if __name__ == "__main__":
    run_command(main)
