"""What SyncTrack's parts are worth, at a size that anyone can repeat: trainings with and without each, measured alike.

    python experiments/ablation.py [key=value ...] [--variants full no_global_attention ...] [--seeds 0 1]
        [--stop-at 500] [--out runs/ablation]

Makes grooves and their latents, trains every variant from random weights on the same data, in the same order and with
the same noise, and measures it at each of --steps: clips from its EMA weights, compared with data that was held back.
Last, `full` generates with DDIM and DPM-Solver++ by several numbers of calls. experiments/README.md says what for, how
and with which result.

A command that was stopped, however, resumes when it is run again, with other --variants, --seeds or --stop-at too; what
is measured is in `measured/` of each training. After each measurement, ablation.json, ablation.csv, ablation.md and
ablation.png in --out hold all that is there so far.
"""

import argparse
import math
from pathlib import Path

from ablation_measures import Reference, Sampling, drop_clips, generate, losses, measure_clips, measurement
from ablation_report import write_report
from ablation_setup import FULL, VARIANTS, Setup, make_data, only_run
from ablation_training import train_to
from synctrack import SyncTrack
from synctrack.errors import InputError, run_command

SAMPLER = "dpmpp_2m_sde"
SAMPLERS = ("ddim", SAMPLER)
SAMPLER_CALLS = (5, 10, 20, 50)
"""What is compared with the weights of `full` after its last step."""


class Ablation:
    """Trains and measures; what is there already is kept."""

    def __init__(self, setup: Setup, lock: int) -> None:
        self.setup, self.lock, self.reference = setup, lock, Reference(setup)

    def data(self) -> None:
        """Measure the data that was held back; Fréchet distances are those of training data to it."""

        def measure() -> dict:
            return measure_clips(self.reference.folder("valid"), self.reference, self.reference.folder("train"))

        measurement(self.setup.out / "data_clips" / "data.json", {"clips": self.setup.clips}, measure)

    def variant(self, variant: str, seed: int, step: int) -> None:
        """Train a variant up to a step and measure it."""
        self.measure(variant, seed, step, Sampling(SAMPLER, self.setup.calls), "step")

    def samplers(self, seed: int) -> None:
        """Measure `full` after its last step with other samplers and numbers of calls."""
        for sampler in SAMPLERS:
            for calls in SAMPLER_CALLS:
                how = Sampling(sampler, calls)
                if how != Sampling(SAMPLER, self.setup.calls):
                    self.measure(FULL, seed, self.setup.steps[-1], how, "sampler")

    def measure(self, variant: str, seed: int, step: int, how: Sampling, kind: str) -> None:
        """Measure one variant at one step with one sampler, unless it is measured already."""
        setup, folder = self.setup, self.setup.folder(variant, seed)
        print(f"{VARIANTS[variant]}, seed {seed}, step {step}, {how.calls} calls of {how.sampler}", flush=True)
        name = f"step_{step:05d}" if kind == "step" else f"{how.sampler}_{how.calls:03d}"
        prediction = "epsilon" if variant == "epsilon" else setup.config.model.params.diffusion.prediction
        settings = {"variant": variant, "seed": seed, "step": step, "kind": kind, "prediction": prediction}
        settings |= {"sampler": how.sampler, "calls": how.calls, "clips": setup.clips}

        def measure() -> dict:
            weights, clips = train_to(setup, variant, seed, step, self.lock), folder / "clips" / name
            model = SyncTrack.from_pretrained(weights)
            generate(model, clips, setup.clips, seed, how, name)
            found = measure_clips(clips, self.reference)
            found["values"]["loss"] = losses(model, setup).tolist()
            return found

        measurement(folder / "measured" / f"{name}.json", settings, measure)
        drop_clips(folder / "clips" / name, setup.clips)
        write_report(setup)


def run(setup: Setup, variants: list[str], seeds: list[int], stop_at: float, samplers: bool) -> None:
    """Do what is missing, seed by seed."""
    setup.claim()
    with only_run(setup.out) as lock:
        make_data(setup)
        ablation = Ablation(setup, lock)
        ablation.data()
        for seed in seeds:
            for variant in variants:
                for step in setup.steps:
                    if step <= stop_at:
                        ablation.variant(variant, seed, step)
        if samplers and FULL in variants and stop_at >= setup.steps[-1]:
            ablation.samplers(seeds[0])
    print((setup.out / "ablation.md").read_text(), end="")
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
    run(setup, variants, list(dict.fromkeys(given["seeds"])), stop_at, not given["no_samplers"])


if __name__ == "__main__":
    run_command(main)
