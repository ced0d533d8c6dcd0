"""Made-up results of experiments/ablation.py."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np


def made_up(variant: str, step: int, seed: int = 0, clips: int = 8, shift: float = 0.0, kind: str = "step") -> dict:
    """A measurement of random numbers, those of CBS moved by `shift`."""
    generator = np.random.default_rng([len(variant), step, seed])
    values = {name: generator.uniform(0.2, 0.6, (clips, 1)) for name in ("cbs", "chance", "cbd", "loss")}
    values["cbs"] += shift
    values |= {"irs": generator.uniform(0.0, 0.1, (clips, 2)), "named": generator.integers(2, size=(clips, 2))}
    fad = {name: {"value": 3.0 + seed, "rounds": list(generator.normal(4, 0.1, 100))} for name in ("bass", "mix")}
    of = {"variant": variant, "seed": seed, "step": step, "kind": kind, "sampler": "dpmpp_2m_sde", "calls": 20}
    of["prediction"] = "epsilon" if variant == "epsilon" else "v"
    return {"settings": of, "values": {name: rows.tolist() for name, rows in values.items()}, "fad": fad, "silent": 1}


def write_measured(out: Path, measured: list[dict], data: dict) -> None:
    """Measurements, and that of the data, where an ablation keeps them."""
    for number, one in enumerate(measured):
        of = one["settings"]
        path = out / f"{of['variant']}_seed{of['seed']}" / "measured" / f"{number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(one))
    (out / "data_clips").mkdir()
    (out / "data_clips" / "data.json").write_text(json.dumps(data))


@dataclass
class Folder:
    """What the report asks of an ablation's setup."""

    out: Path
    steps: list[int]

    def settings(self) -> dict:
        return {"clips": 8, "calls": 20, "songs": 4, "batch_size": 8, "steps": self.steps, "seed": 1}
