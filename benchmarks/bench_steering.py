"""How far the model does what it is told, on grooves that training never saw: the table of ckpt/demo/README.md.

    python benchmarks/bench_steering.py [--songs 100] [--model demo] [--questions tempo drums …] [--out FOLDER]

Each question is measured on as many songs, beside chance and the data's own value, with 95 % bootstrap intervals over
songs. `long` and `best` take one to two minutes a song on a core, all others five to fifteen seconds; questions can be
asked in several processes, in folders of their own. Results are kept song by song in `out`, so that a run that was
stopped resumes; the table is in steering.md, all values in steering.json. The questions are functions in
`steering_questions.py`, what they measure is in `steering_measures.py`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from steering_measures import interval
from steering_questions import QUESTIONS, World
from synctrack import SyncTrack
from synctrack.errors import InputError, run_command
from synctrack.files import write_json, write_text
from synctrack.metrics.bootstrap import bootstrap_interval


def answers(name: str, world: World, songs: int, out: Path) -> list[dict[str, float]]:
    """The values of each song for a question, those of earlier runs kept."""
    path = out / f"{name}.json"
    settings = {"model": world.model.checkpoint.sha256, "question": name}
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if kept.get("settings") != settings:
        kept = {"settings": settings, "songs": []}
    for index in tqdm(range(len(kept["songs"]), songs), desc=name, leave=False):
        kept["songs"].append({key: float(value) for key, value in QUESTIONS[name].ask(world, index).items()})
        write_json(path, kept)
    return kept["songs"][:songs]


def row(values: list[float], digits: int = 3) -> str:
    mean, low, high = interval(values)
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def table(results: dict[str, Any]) -> str:
    """A Markdown table: question, measure, generated, chance, data, wanted."""
    head = "| question | measure | generated (95 %) | chance | compared with (95 %) | wanted | songs |"
    lines = [head, "|---" * 7 + "|"]
    for result in results.values():
        for measure in result["measures"]:
            cells = [result["title"], measure["name"], measure["generated"], measure["chance"], measure["data"]]
            lines.append(f"| {' | '.join([*cells, measure['wanted'], str(result['songs'])])} |")
    return "\n".join(lines)


def summarise(name: str, world: World, values: list[dict[str, float]]) -> dict[str, Any]:
    """What the table says of a question, and the numbers behind it."""
    question, measures = QUESTIONS[name], []
    for measure in question.measures:
        generated = [song[measure.key] for song in values]
        data = [song[measure.data] for song in values] if measure.data else None
        chance = measure.chance(world) if measure.chance else None
        entry = {
            "name": measure.name,
            "generated": row(generated, measure.digits),
            "chance": "–" if chance is None else f"{chance:.3f}",
            "data": "–" if data is None else row(data, measure.digits),
            "wanted": measure.wanted,
            "values": generated,
        }
        measures.append(entry)
        if chance is not None and data is not None:
            measures.append(_share(measure, generated, data, chance))
    return {"title": question.title, "songs": len(values), "measures": measures}


def _share(measure: Any, generated: list[float], data: list[float], chance: float) -> dict[str, Any]:
    """How far from chance to data, with the interval of a bootstrap over songs of both."""
    pairs = np.array([generated, data])
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]

    def shares(rounds: np.ndarray) -> np.ndarray:
        means = pairs[:, rounds].mean(axis=2)
        return (means[0] - chance) / (means[1] - chance)

    low, high = bootstrap_interval(shares, pairs.shape[1], seed=0)
    share = (pairs[0].mean() - chance) / (pairs[1].mean() - chance)
    text = f"{share:.2f} ({low:.2f} to {high:.2f})"
    return {
        "name": f"{measure.name}: share of the way from chance to data",
        "generated": text,
        "chance": "0",
        "data": "1",
        "wanted": measure.wanted_share,
        "values": [float(share)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=100, help="songs a question, 20 or more (default: 100)")
    parser.add_argument("--questions", nargs="+", default=list(QUESTIONS), metavar="NAME", help=", ".join(QUESTIONS))
    parser.add_argument("--model", default="demo")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("runs/bench_steering"))
    arguments = parser.parse_args()
    if arguments.songs < 20:
        parser.error("--songs: intervals need 20 songs or more")
    unknown = [name for name in arguments.questions if name not in QUESTIONS]
    if unknown:
        raise InputError(f"--questions: {unknown[0]!r} must be one of {', '.join(QUESTIONS)}")
    world = World(SyncTrack.from_pretrained(arguments.model, device=arguments.device))
    results = {}
    for name in arguments.questions:
        values = answers(name, world, arguments.songs, arguments.out)
        results[name] = summarise(name, world, values)
        print("\n".join(table({name: results[name]}).splitlines()[2:]), flush=True)
        write_json(arguments.out / "steering.json", {"model": world.model.checkpoint.sha256, "results": results})
    write_text(arguments.out / "steering.md", table(results) + "\n")


if __name__ == "__main__":
    run_command(main)
