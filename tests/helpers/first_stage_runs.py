"""Small runs of `train_first_stage.py`, shared by the tests."""

import csv
from pathlib import Path
from typing import Any

import torch

from helpers.commands import ROOT, run_here
from helpers.small_model import SMALL_KEYS
from synctrack.config import Config, load_config

CONFIGS = {kind: ROOT / "config" / f"{kind}_train.yaml" for kind in ("vae", "vocoder")}
SMALL_VOCODER = (
    "model.params.vocoder={kind: hifigan, hifigan: {upsample_rates: [8, 5, 4], upsample_kernel_sizes: [16, 16, 8], "
    "upsample_initial_channel: 32, resblock_kernel_sizes: [3], resblock_dilations: [1, 3]}}"
)
"""Gives a sample or more too many, as the published one does."""
KEYS = {
    "vae": [*SMALL_KEYS, "first_stage={crop_frames: 32, learning_rate: 1e-3, patch_channels: 16}"],
    "vocoder": [
        *SMALL_KEYS,
        SMALL_VOCODER,
        "first_stage={crop_frames: 32, learning_rate: 2e-3, schedule: constant, wave_channels: 4, periods: [2, 3]}",
        "first_stage.scales=2",
    ],
}
RUN_KEYS = [
    "trainer.max_epochs=-1",
    "trainer.validation_every_n_steps=4",
    "trainer.log_every_n_steps=1",
    "validation.clips=1",
    "first_stage.discriminator_start=2",
]


def arguments(kind: str, grooves: Path, *keys: str) -> list[Any]:
    """What follows the command's name for a small run on `grooves`."""
    data = [f"data.params.path.{part}_data={grooves / part}" for part in ("train", "valid")]
    return ["--config", CONFIGS[kind], *KEYS[kind], *RUN_KEYS, *data, *keys]


def train(folder: Path, kind: str, grooves: Path, *keys: str) -> None:
    """Train a small VAE or vocoder whose run folder is named in `keys`, relative to `folder`."""
    run_here(folder, "train_first_stage.py", *arguments(kind, grooves, *keys))


def small_config(kind: str, *keys: str) -> Config:
    return load_config([CONFIGS[kind]], [*KEYS[kind], *RUN_KEYS, *keys])


def last(run_dir: Path) -> dict[str, Any]:
    """The run's last checkpoint."""
    return torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)


def logged(run_dir: Path) -> dict[tuple[str, int], float]:
    """All logged values but the speed, by name and step, over all parts of a run."""
    rows = [row for file in sorted(run_dir.glob("csv/version_*/metrics.csv")) for row in csv.DictReader(file.open())]
    names = {name for row in rows for name in row} - {"epoch", "step", "train/songs_per_second"}
    return {(name, int(row["step"])): float(row[name]) for row in rows for name in names if row.get(name)}


def values(run_dir: Path, name: str) -> list[float]:
    """The logged values of one name in the order of their steps."""
    return [value for (key, _), value in sorted(logged(run_dir).items()) if key == name]
