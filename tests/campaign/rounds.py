"""Commands that write a folder, what they read, and what of their results must be the same after a stop."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from helpers.latent_store import KEYS, MAKE, TRAIN_CONFIG, save_vae
from helpers.small_model import SMALL_AUDIO
from helpers.sources import FOUR_CLASSES, save_slakh_song
from helpers.steered import NOTHING, save_steered
from synctrack.data.sources.grooves import write_grooves


def make_sources(folder: Path) -> Path:
    """Write what the commands read: Slakh's songs, grooves, a VAE and a model."""
    for number in range(3):
        save_slakh_song(folder / "slakh" / "train" / f"Track{number}", FOUR_CLASSES)
    seconds, rate = 4.5 * SMALL_AUDIO.segment_seconds, SMALL_AUDIO.sample_rate
    write_grooves(folder / "data" / "train", songs=3, seconds=seconds, sample_rate=rate, seed=0, workers=0)
    write_grooves(folder / "data" / "valid", songs=1, seconds=seconds, sample_rate=rate, seed=1, workers=0)
    write_grooves(folder / "songs", 2, 4.0, 16000, seed=2, stems=["bass", "drums"], workers=0)
    save_vae(folder / "vae.ckpt", seed=0)
    save_steered(folder / "model.safetensors", NOTHING)
    return folder


def copy_sources(sources: Path, folder: Path) -> Path:
    """Copy them into `folder`, which may exist; latents know their modification times, which a copy keeps."""
    return Path(shutil.copytree(sources, folder, dirs_exist_ok=True))


def bytes_below(*names: str) -> Callable[[Path], dict[str, bytes]]:
    """Reads all files below some places of a round's folder, hidden ones too."""

    def read(folder: Path) -> dict[str, bytes]:
        files = [path for name in names for path in [folder / name, *(folder / name).rglob("*")] if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    return read


def _scores(folder: Path) -> dict[str, bytes]:
    """The scores and the cache, whose folder is shared and is not cleared of what killed runs leave."""
    files = bytes_below("scores.json", "values.csv", "cache")(folder)
    return {name: content for name, content in files.items() if not Path(name).name.startswith(".")}


def _tensors(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, torch.Tensor):
        yield name, hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()
    elif isinstance(value, dict | list | tuple):
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _tensors(entry, f"{name}.{key}")


def _trained(folder: Path) -> dict[str, str]:
    """Hashes of all tensors in the run's last checkpoint: weights, EMA and the optimiser's state."""
    checkpoint = torch.load(folder / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 4
    return dict(_tensors({key: checkpoint[key] for key in ("state_dict", "optimizer_states")}))


def _training(folder: Path) -> list[Any]:
    keys = [*KEYS, "run_dir=run", "data.params.path.valid_data=null", "trainer.max_steps=4"]
    keys += ["trainer.save_checkpoint_every_n_steps=1"]
    resume = ["trainer.resume=last"] if (folder / "run" / "checkpoints" / "last.ckpt").exists() else []
    return ["train", TRAIN_CONFIG, *keys, *resume]


GROOVES = ["data", "synthetic", "--songs", 4, "--seconds", 3, "--rate", 8000, "--workers", 2, "--out", "out"]
SLAKH = ["data", "slakh", "--root", "slakh", "--split", "train", "--workers", 2, "--out", "out"]
GENERATE = ["generate", "--model", "model.safetensors", "--clips", 4, "--steps", 2, "--batch-size", 1, "--out", "out"]
SCORE = ["score", "songs", "--protocol", "corrected", "--json", "scores.json", "--csv", "values.csv", "--workers", 1]
COMMANDS: dict[str, tuple[Callable[[Path], list[Any]], Callable[[Path], dict]]] = {
    "synthetic": (lambda folder: GROOVES, bytes_below("out")),
    "slakh": (lambda folder: SLAKH, bytes_below("out")),
    "latents": (lambda folder: ["data", *MAKE, "latents"], bytes_below("latents")),
    "generate": (lambda folder: GENERATE, bytes_below("out")),
    "score": (lambda folder: SCORE, _scores),
    "train": (_training, _trained),
}
"""Name -> the command in a round's folder, and what of its results must be the same."""


def words(name: str, folder: Path) -> list[str]:
    """The command of this name, as words, in a round's folder."""
    arguments, _ = COMMANDS[name]
    return ["synctrack", *map(str, arguments(folder))]
