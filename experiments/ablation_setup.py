"""What `ablation.py` trains and on what: the variants, the configuration, the data, and the settings of a folder."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from synctrack.checkpoint.files import read_file
from synctrack.config import Config, load_config, to_dict
from synctrack.data.latents.encoding import write_latents
from synctrack.data.sources.grooves import write_grooves
from synctrack.demo_weights import demo_checkpoint
from synctrack.manifest import claim

ROOT = Path(__file__).resolve().parents[1]
FILES = tuple(ROOT / name for name in ("config/synctrack_train.yaml", "config/demo.yaml", "experiments/ablation.yaml"))
VARIANTS = {
    "full": "full",
    "no_global_attention": "without global attention",
    "no_time_attention": "without time-specific attention",
    "no_cross_stem_attention": "without both (control)",
    "no_instrument_prior": "without instrument prior",
    "bin_scope": "time-specific attention within a bin",
    "epsilon": "full, predicts the noise",
}
"""Name, and overlay in config/ablations, of each variant -> its title in the tables."""
FULL, EPSILON = "full", "epsilon"
BPM, METERS = (105.0, 125.0), (4,)
"""Of the grooves: the range on which so small a model learns a common beat in 2,500 steps (ckpt/demo/make.sh)."""
DATA_SEEDS = {"train": 10, "valid": 11}
SEGMENTS = {"train": 3, "valid": 1}
"""Whole segments of a song."""
OFFSETS = 2
TRAINER_KEYS = ("precision", "gradient_clip_val", "accumulate_grad_batches", "limit_train_batches")
"""Keys of `trainer` on which a training's result depends."""


@dataclass(frozen=True)
class Setup:
    """An ablation's folder, sizes and configuration.

    Attributes:
        out: the folder of everything.
        songs: grooves to train on.
        clips: to measure at each step, and grooves held back, as many.
        calls: of the U-Net for each clip.
        steps: of training, ascending, at which variants are measured.
        batch_size: songs of a step, on all devices together.
        devices: processes that train together.
        accelerator: where they do, see `trainer.accelerator`.
        pairs: key=value pairs of the configuration.
    """

    out: Path
    songs: int
    clips: int
    calls: int
    steps: tuple[int, ...]
    batch_size: int
    devices: int
    accelerator: str
    pairs: tuple[str, ...] = ()

    @cached_property
    def config(self) -> Config:
        """The configuration of `full`."""
        own = f"trainer.accelerator={self.accelerator}"
        return load_config(self.files(FULL), [*self.pairs, *self.data_pairs, own])

    @property
    def data_pairs(self) -> list[str]:
        """Data and first stages of every training."""
        paths = [f"data.params.path.{split}_data={self.out / 'data' / split}" for split in DATA_SEEDS]
        stages = [f"model.params.{part}_ckpt_path={demo_checkpoint()}" for part in ("vae", "vocoder")]
        return [*paths, *stages]

    @property
    def latents(self) -> Path:
        """The store of pre-encoded latents."""
        return self.out / "latents"

    def files(self, variant: str) -> list[Path]:
        """The configuration files of a variant, later ones win."""
        overlay = [] if variant == FULL else [ROOT / "config" / "ablations" / f"{variant}.yaml"]
        return [*FILES, *overlay]

    def folder(self, variant: str, seed: int) -> Path:
        """Where a training and its measurements are."""
        return self.out / f"{variant}_seed{seed}"

    def settings(self) -> dict[str, Any]:
        """All that the content of the folder depends on, apart from the variants and seeds that are asked for."""
        config = self.config
        keys = {f"trainer.{key}": getattr(config.trainer, key) for key in TRAINER_KEYS}
        keys["data.params.path.stems"] = list(config.data.params.path.stems)
        # The weights' paths differ from place to place; their content is in `first_stages`.
        model = _flat(to_dict(config)["model"]["params"], "model.params.")
        keys |= {key: value for key, value in model if not key.endswith("ckpt_path")}
        sizes = {name: getattr(self, name) for name in ("songs", "clips", "calls", "batch_size")}
        return {**sizes, "steps": list(self.steps), "first_stages": _first_stages_sha256(), **keys}

    def claim(self) -> None:
        """Start the folder, or check that it holds an ablation of these settings; raises InputError otherwise."""
        claim(self.out, self.settings(), "choose another --out")


def make_data(setup: Setup) -> None:
    """Grooves and their latents, except for what is there already."""
    audio = setup.config.model.params.audio
    for split, seed in DATA_SEEDS.items():
        # As long as its segments and 1 % more, for the shifts.
        seconds = round(1.01 * SEGMENTS[split] * audio.segment_seconds, 2)
        count = setup.songs if split == "train" else setup.clips
        stems = setup.config.data.params.path.stems
        how = {"stems": stems, "meters": METERS, "bpm": BPM}
        write_grooves(setup.out / "data" / split, count, seconds, audio.sample_rate, seed, **how)
    write_latents(setup.config, setup.latents, OFFSETS)


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _first_stages_sha256() -> str:
    """Of the demo's VAE and vocoder alone: its U-Net is not used."""
    digest = hashlib.sha256()
    for name, tensor in sorted(read_file(demo_checkpoint()).tensors.items()):
        if name.startswith(("vae.", "vocoder.")):
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
