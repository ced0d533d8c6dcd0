"""The numbers in the README files: those of the files that the benchmarks wrote, which are in docs/results.

    python experiments/front_page.py                       # checks; names what differs
    python experiments/front_page.py --take steering ...   # copies new results from runs/ first, and fills them in
    python experiments/front_page.py --write               # fills in what is in docs/results

Each text holds its numbers between `<!-- measured: NAME -->` and `<!-- end of NAME -->`; what stands there is written
by this command alone, from docs/results.
"""

import argparse
import csv
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ablation_tables import describe
from synctrack.errors import InputError, run_command
from synctrack.files import atomic_path, sha256, write_text

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("docs", "results")
TAKEN = {
    "demo": {"runs/demo/scores.json": "demo.json"},
    "steering": {"runs/bench_steering/steering.json": "steering.json"},
    "ablation": {"runs/ablation/ablation.json": "ablation.json", "runs/ablation/ablation.png": "ablation.png"},
    "calibration": {"runs/calibration/calibration.csv": "calibration.csv"},
}
"""Result -> the files that its command writes, and their names in docs/results."""
COMMANDS = {
    "demo": "make demo",
    "steering": "python benchmarks/bench_steering.py",
    "ablation": "python experiments/ablation.py",
    "calibration": "python experiments/calibrate_metrics.py",
}
STEERED = (
    ("nothing", "corrected CBS"),
    ("nothing_told", "corrected CBS"),
    ("tempo", "madmom's tempo within 4 %, half and double accepted"),
    ("click", "corrected CBS"),
    ("drums", "corrected CBS"),
    ("others", "corrected CBS"),
    ("extension", "F of the beats on its grid"),
    ("separation", "SI-SDR over the mixture, mean of stems (dB)"),
)
"""Questions and measures of steering.json that the front page shows."""
OLD_WEIGHTS = "Steering was measured with other weights than `ckpt/demo` holds now; it is to be measured again."


def load(root: Path, name: str) -> Any:
    """The content of a result's JSON; None where it is not there."""
    path = root / RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def front_table(root: Path) -> str:
    """What it can do, measured: one row for each number, with the command that makes it."""
    lines = [["what", "measured (95 % interval)", "chance", "data", "songs", "made by"]]
    lines += _result_rows(root, "demo", "songs with nothing asked", _demo_rows)
    lines += _result_rows(root, "steering", "steered songs", _steering_rows)
    lines += _result_rows(root, "ablation", "what the attentions are worth", _ablation_rows)
    lines += _calibration_rows(root)
    return "\n\n".join([markdown(lines), *_steering_notes(root)])


def _result_rows(root: Path, name: str, title: str, rows: Callable[[Any], list[list[str]]]) -> list[list[str]]:
    content = load(root, name)
    if content is None:
        return [[title, "not measured yet", "–", "–", "–", f"`{COMMANDS[name]}`"]]
    return [[*row, f"`{COMMANDS[name]}`"] for row in rows(content)]


def _demo_rows(content: Any) -> list[list[str]]:
    ours, data = (side["protocols"]["corrected"] for side in (content, content["reference"]))
    rows, songs = [], str(content["counts"]["songs"])
    for metric, title in {"cbs": "stems together (CBS)", "irs": "each stem's own beat, s (IRS, low is good)"}.items():
        chance = ours["chance_floor"].get(metric)
        values = [with_interval(side[metric], side["interval_95"][metric]) for side in (ours, data)]
        shown = "–" if chance is None else f"{number(chance)} ¹"
        rows.append([f"songs of the demo with nothing asked: {title}", values[0], shown, values[1], songs])
    sides = [side["onset_synchrony"] for side in (content, content["reference"])]
    values = [with_interval(side["value"], side["interval_95"]) for side in sides]
    return [*rows, ["the same: onsets together, without a beat tracker", values[0], "0", values[1], songs]]


def _steering_rows(content: Any) -> list[list[str]]:
    rows = []
    for question, name in STEERED:
        result = content["results"].get(question, {"measures": ()})
        for measure in result["measures"]:
            if measure["name"] == name:
                title = f"{result['title']}: {name}"
                rows.append([title, *(measure[key] for key in ("generated", "chance", "data")), str(result["songs"])])
    return rows


def _ablation_rows(content: Any) -> list[list[str]]:
    """Every variant's CBS after the last step that all of them have, and how far it is from that of `full`."""
    data, rows = content["data"], [row for row in content["rows"] if row["kind"] == "step"]
    variants = dict.fromkeys(row["variant"] for row in rows)
    common = [s for s in content["settings"]["steps"] if sum(row["step"] == s for row in rows) == len(variants)]
    lines = []
    for row in rows:
        if common and row["step"] == common[-1]:
            title = f"ablation, {row['title']}, {row['step']:,} steps (CBS)"
            cbs, change = row["metrics"]["cbs"], row["difference_to_full"].get("cbs")
            text = with_interval(cbs["value"], cbs["interval_95"])
            if change:
                text += f"; minus full {with_interval(change['value'], change['interval_95'], signed=True)}"
            songs = str(content["settings"]["clips"] * len(row["seeds"]))
            chance = f"{number(row['metrics']['chance']['value'])} ¹"
            lines.append([title, text, chance, number(data["cbs"]["value"]), songs])
    return lines or [["what the attentions are worth", "not at equal steps yet", "–", "–", "–"]]


def _calibration_rows(root: Path) -> list[list[str]]:
    """The smallest fault from which on CBS, corrected, is worse than without."""
    path, made_by = root / RESULTS / "calibration.csv", f"`{COMMANDS['calibration']}`"
    if not path.is_file():
        return [["metrics: the smallest fault that they detect", "see [Metrics](#metrics)", "–", "–", "–", made_by]]
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["protocol"], row["metric"]) == ("corrected", "CBS")]
    lines = []
    for fault in dict.fromkeys(row["fault"] for row in rows):
        curve = [row for row in rows if row["fault"] == fault and float(row["size"]) > 0]
        missed = max((float(row["size"]) for row in curve if not float(row["worse_low"]) > 1e-9), default=0.0)
        found = [row["size"] for row in curve if float(row["size"]) > missed]
        unit = "of the tempo" if fault == "drift" else "s"
        size = f"from {found[0]} {unit} on" if found else "not detected"
        lines.append([f"metrics: {fault} between stems that CBS detects", size, "–", "–", "–", made_by])
    return lines


def steering_table(root: Path) -> str:
    """All of steering.json, as bench_steering.py prints it."""
    content = load(root, "steering")
    if content is None:
        return f"Not measured yet: `{COMMANDS['steering']}`."
    head = ["question", "measure", "generated (95 %)", "chance", "compared with (95 %)", "wanted", "songs"]
    lines = [head]
    for result in content["results"].values():
        for measure in result["measures"]:
            cells = [measure[key] for key in ("name", "generated", "chance", "data", "wanted")]
            lines.append([result["title"], *cells, str(result["songs"])])
    return "\n\n".join([markdown(lines), *_steering_notes(root)])


def _steering_notes(root: Path) -> list[str]:
    content, weights = load(root, "steering"), root / "ckpt" / "demo" / "synctrack.safetensors"
    return [OLD_WEIGHTS] if content and weights.is_file() and sha256(weights) != content["model"] else []


def ablation_text(root: Path) -> str:
    """All tables of the ablation and its picture."""
    content = load(root, "ablation")
    if content is None:
        return "**Not run yet at this size.** There are no numbers to show."
    picture = [f"![CBS by steps](../{RESULTS}/ablation.png)"] if (root / RESULTS / "ablation.png").is_file() else []
    return "\n\n".join([*picture, describe(content).rstrip()])


BLOCKS: dict[tuple[str, str], Callable[[Path], str]] = {
    ("README.md", "what it can do"): front_table,
    ("ckpt/demo/README.md", "steering"): steering_table,
    ("experiments/README.md", "ablation"): ablation_text,
}
"""(text, name of the block) -> what it holds."""


def filled(text: str, name: str, content: str, source: str) -> str:
    """`text` with `content` in its block of this name; raises InputError where there is not exactly one."""
    begin, end = f"<!-- measured: {name} -->", f"<!-- end of {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise InputError(f"{source}: holds no block between {begin} and {end}; put both lines where its numbers belong")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n\n{content}\n\n{end}{rest.partition(end)[2]}"


def differing(root: Path, write: bool) -> list[str]:
    """The texts whose numbers are not those of docs/results; with `write`, they are filled in."""
    found = []
    for (path, name), content in BLOCKS.items():
        text = (root / path).read_text(encoding="utf-8")
        wanted = filled(text, name, content(root), path)
        if wanted != text:
            found.append(f"{path} ({name})")
            if write:
                write_text(root / path, wanted)
    return found


def take(root: Path, names: Sequence[str]) -> None:
    """Copy results from `runs` to docs/results; raises InputError where one is not there."""
    for name in names:
        for source, target in TAKEN[name].items():
            if not (root / source).is_file():
                raise InputError(f"--take {name}: {source} is not there; run {COMMANDS[name]} first")
            if re.search(r'"(?:folder|name)": "/', (root / source).read_text(errors="ignore")):
                raise InputError(f"--take {name}: {source} names a folder by its absolute path; run it from the root")
            with atomic_path(root / RESULTS / target) as temporary:
                shutil.copyfile(root / source, temporary)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Rows of cells, the first the heading, as a table."""
    head, *rows = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])


def number(value: float | None, signed: bool = False) -> str:
    return "–" if value is None else f"{value:{'+' if signed else ''}.3f}"


def with_interval(value: float | None, interval: Sequence[float] | None, signed: bool = False) -> str:
    """`0.382 (0.341 to 0.423)`."""
    if value is None or interval is None:
        return number(value, signed)
    return f"{number(value, signed)} ({number(interval[0], signed)} to {number(interval[1], signed)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="fill in the texts")
    parser.add_argument("--take", nargs="+", choices=TAKEN, default=[], help="copy these from runs/, and fill in")
    arguments = parser.parse_args()
    take(ROOT, arguments.take)
    write = arguments.write or bool(arguments.take)
    found = differing(ROOT, write)
    if found and not write:
        raise InputError(f"{', '.join(found)}: not the numbers of {RESULTS}; run experiments/front_page.py --write")
    print("\n".join(f"filled in: {text}" for text in found) or "all numbers are those of docs/results")


if __name__ == "__main__":
    run_command(main)
