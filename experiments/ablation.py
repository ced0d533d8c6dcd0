"""What SyncTrack's parts are worth, at a size that anyone can repeat: trainings with and without each, measured alike.

    python experiments/ablation.py [key=value ...] [--variants full no_global_attention ...] [--seeds 0 1]
        [--stop-at 500] [--out runs/ablation]

Makes grooves and their latents, trains every variant from random weights on the same data, in the same order and with
the same noise, and measures it at each of --steps: clips from its EMA weights, compared with data that was held back.
Last, `full` generates with DDIM and DPM-Solver++ by several numbers of calls. experiments/README.md says what for, how
and with which result.

A command that was interrupted resumes when it is run again, with other --variants, --seeds or --stop-at too; what
is measured is in `measured/` of each training. After each measurement, ablation.json, ablation.csv, ablation.md and
ablation.png in --out hold all that is there so far.
"""

import argparse
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from ablation_measures import Reference, Sampling, drop_clips, generate, losses, measure_clips, measurement
from ablation_report import write_report
from ablation_setup import EPSILON, FULL, VARIANTS, Setup, make_data
from ablation_training import train_to
from synctrack import SyncTrack
from synctrack.errors import InputError, run_command
from synctrack.locks import locked

SAMPLER = "dpmpp_2m_sde"
SAMPLERS = ("ddim", SAMPLER)
SAMPLER_CALLS = (5, 10, 20, 50)
"""What is compared with the weights of `full` after its last step."""


@dataclass(frozen=True)
class Part:
    """One measurement.

    Attributes:
        kind: `step` of the variants' tables, `sampler` of the comparison of samplers.
    """

    variant: str
    seed: int
    step: int
    how: Sampling
    kind: str

    @property
    def name(self) -> str:
        """Of its file and of its clips' folder."""
        return f"step_{self.step:05d}" if self.kind == "step" else f"{self.how.sampler}_{self.how.calls:03d}"

    def __str__(self) -> str:
        how = f"{self.how.calls} calls of {self.how.sampler}"
        return f"{VARIANTS[self.variant]}, seed {self.seed}, step {self.step}, {how}"


def parts_of(setup: Setup, variants: list[str], seeds: list[int], stop_at: float, samplers: bool) -> list[Part]:
    """What is to be measured, in order: seed by seed, variant by variant, then the samplers."""
    usual = Sampling(SAMPLER, setup.calls)
    steps = [step for step in setup.steps if step <= stop_at]
    parts = [Part(variant, seed, step, usual, "step") for seed in seeds for variant in variants for step in steps]
    if samplers and FULL in variants and steps[-1] == setup.steps[-1]:
        compared = [Sampling(sampler, calls) for sampler in SAMPLERS for calls in SAMPLER_CALLS]
        parts += [Part(FULL, seed, steps[-1], how, "sampler") for seed in seeds for how in compared if how != usual]
    return parts


def measure(part: Part, setup: Setup, reference: Reference) -> None:
    """Train as far as it is needed, generate clips and measure them, unless that is done already."""
    folder = setup.folder(part.variant, part.seed)
    clips = folder / "clips" / part.name
    prediction = EPSILON if part.variant == EPSILON else setup.config.model.params.diffusion.prediction
    settings = {"variant": part.variant, "seed": part.seed, "step": part.step, "kind": part.kind}
    settings |= {"prediction": prediction, **asdict(part.how), "clips": setup.clips}

    def found() -> dict:
        model = SyncTrack.from_pretrained(train_to(setup, part.variant, part.seed, part.step))
        generate(model, clips, setup.clips, part.seed, part.how, part.name)
        measured = measure_clips(clips, reference)
        measured["values"]["loss"] = losses(model, setup).tolist()
        return measured

    measurement(folder / "measured" / f"{part.name}.json", settings, found)
    drop_clips(clips, setup.clips)
    write_report(setup)


def measure_data(setup: Setup, reference: Reference) -> None:
    """Measure the data that was held back; Fréchet distances are those of training data to it."""

    def found() -> dict:
        return measure_clips(reference.folder("valid"), reference, reference.folder("train"))

    measurement(setup.out / "data_clips" / "data.json", {"clips": setup.clips}, found)


def run(setup: Setup, parts: list[Part]) -> None:
    """Do what is missing of all parts."""
    setup.claim()
    with locked(setup.out):
        make_data(setup)
        reference = Reference(setup)
        measure_data(setup, reference)
        for number, part in enumerate(parts, 1):
            print(f"[{number}/{len(parts)}] {part}", flush=True)
            measure(part, setup, reference)
    print((setup.out / "ablation.md").read_text(encoding="utf-8"), end="")
    print(f"written: {', '.join(str(setup.out / f'ablation.{kind}') for kind in ('json', 'csv', 'md', 'png'))}")


def arguments_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The command's arguments, within their bounds."""
    add = parser.add_argument
    add("--variants", nargs="+", default=list(VARIANTS), metavar="NAME", help=", ".join(VARIANTS))
    add("--seeds", type=int, nargs="+", default=[0], help="of the trainings (default: 0)")
    add("--stop-at", type=int, help="train and measure up to this step; the rest can follow")
    add("--no-samplers", action="store_true", help="without the comparison of samplers")
    add("--out", type=Path, default=Path("runs/ablation"), help="folder (default: %(default)s)")
    add("--steps", type=int, nargs="+", default=[500, 1000, 1500, 2000, 2500], help="to measure at (500 to 2500)")
    add("--clips", type=int, default=64, help="to measure at each step (default: %(default)s)")
    add("--calls", type=int, default=20, help="of the U-Net for a clip (default: %(default)s)")
    add("--songs", type=int, default=240, help="grooves to train on (default: %(default)s)")
    add("--batch-size", type=int, default=8, help="songs of a step (default: %(default)s)")
    add("--devices", type=int, default=2, help="processes that train together (default: %(default)s)")
    add("--accelerator", default="cpu", help="where they do: cpu, cuda, mps (default: %(default)s)")
    add("overrides", nargs="*", metavar="key=value", help="of the configuration, for all variants")
    arguments = parser.parse_intermixed_args()
    _check(arguments)
    return arguments


def _check(arguments: argparse.Namespace) -> None:
    for name in ("clips", "calls", "songs", "batch_size", "devices"):
        if getattr(arguments, name) < 1:
            raise InputError(f"--{name.replace('_', '-')}: {getattr(arguments, name)} is not 1 or more")
    if arguments.batch_size % arguments.devices:
        raise InputError(f"--batch-size: {arguments.batch_size} songs do not divide among {arguments.devices} devices")
    if unknown := [name for name in arguments.variants if name not in VARIANTS]:
        raise InputError(f"--variants: {unknown[0]!r} must be one of {', '.join(VARIANTS)}")
    if min(arguments.steps) < 1 or min(arguments.seeds) < 0:
        raise InputError("--steps, --seeds: steps are 1 or more, seeds 0 or more")
    if arguments.stop_at is not None and arguments.stop_at < min(arguments.steps):
        raise InputError(f"--stop-at: {arguments.stop_at} is before the first of --steps, {min(arguments.steps)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given = vars(arguments_of(parser))
    sizes = {name: given[name] for name in ("out", "songs", "clips", "calls", "batch_size", "devices", "accelerator")}
    setup = Setup(**sizes, steps=tuple(sorted(set(given["steps"]))), pairs=tuple(given["overrides"]))
    stop_at = math.inf if given["stop_at"] is None else given["stop_at"]
    variants = [name for name in VARIANTS if name in given["variants"]]
    seeds = list(dict.fromkeys(given["seeds"]))
    run(setup, parts_of(setup, variants, seeds, stop_at, not given["no_samplers"]))


if __name__ == "__main__":
    run_command(main)
