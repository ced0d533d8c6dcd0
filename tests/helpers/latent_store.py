"""A small store of latents: how it is made, and the configuration that trains from it."""

from pathlib import Path

import torch

from helpers.commands import ROOT
from helpers.small_model import SMALL_KEYS, SMALL_VAE
from synctrack.checkpoint import loading as checkpoint
from synctrack.config import Config, load_config
from synctrack.models.vae import VAE

TRAIN_CONFIG = ROOT / "config" / "synctrack_train.yaml"
OFFSETS = 4
KEYS = [
    *SMALL_KEYS,
    "data.params.path.train_data=data/train",
    "data.params.path.valid_data=data/valid",
    "model.params.ckpt_path=null",
    "model.params.vae_ckpt_path=vae.ckpt",
    "model.params.vocoder_ckpt_path=null",
    "model.params.base_learning_rate=1e-3",
    "model.params.warmup_steps=0",
    "trainer.max_steps=3",
    "trainer.validation_every_n_steps=3",
    "trainer.log_every_n_steps=1",
    "validation.clips=0",
]
MAKE = ["latents", "--config", TRAIN_CONFIG, *KEYS, "--offsets", OFFSETS, "--out"]
FROM_STORE = "data.params.path.latents=latents"


def save_vae(path: Path, seed: int) -> None:
    """A checkpoint of an untrained VAE."""
    torch.manual_seed(seed)
    weights = {f"vae.{name}": weight for name, weight in VAE(SMALL_VAE).state_dict().items()}
    torch.save({"state_dict": weights, "synctrack": checkpoint.header("vae", load_config([TRAIN_CONFIG], KEYS))}, path)


def config_with(*keys: str) -> Config:
    """The training configuration of the small model, with `keys` over it."""
    return load_config([TRAIN_CONFIG], [*KEYS, *keys])


def contents(folder: Path) -> dict[str, bytes | None]:
    """The bytes of every file below `folder`, by relative path; None for folders."""
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in folder.rglob("*")}
