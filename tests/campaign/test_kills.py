"""A hundred runs are killed at random times; each command, run again, ends in the same bytes as if never killed.

A round is a new folder in which a command is killed several times before it may finish.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.forked_commands import KILLED, Commands, Ended
from helpers.latent_store import KEYS, MAKE, TRAIN_CONFIG, save_vae
from helpers.small_model import SMALL_AUDIO
from helpers.sources import FOUR_CLASSES, save_slakh_song
from helpers.steered import NOTHING, save_steered
from synctrack.data.sources.grooves import write_grooves

pytestmark = pytest.mark.slow

KILLS = {"synthetic": 25, "slakh": 15, "latents": 10, "generate": 20, "score": 15, "train": 15}
"""How many runs of each kind are killed."""
KILLS_IN_A_ROUND = 5
PATIENCE = 300.0
"""Seconds in which a command that is not killed ends."""
SEED = 0


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    with Commands(Path("cache")) as running:
        yield running


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """What the commands read: Slakh's songs, grooves, a VAE and a model."""
    folder = tmp_path_factory.mktemp("sources")
    for number in range(3):
        save_slakh_song(folder / "slakh" / "train" / f"Track{number}", FOUR_CLASSES)
    seconds, rate = 4.5 * SMALL_AUDIO.segment_seconds, SMALL_AUDIO.sample_rate
    write_grooves(folder / "data" / "train", songs=3, seconds=seconds, sample_rate=rate, seed=0, workers=0)
    write_grooves(folder / "data" / "valid", songs=1, seconds=seconds, sample_rate=rate, seed=1, workers=0)
    write_grooves(folder / "songs", 2, 4.0, 16000, seed=2, stems=["bass", "drums"], workers=0)
    save_vae(folder / "vae.ckpt", seed=0)
    save_steered(folder / "model.safetensors", NOTHING)
    return folder


def _bytes_below(*names: str) -> Callable[[Path], dict[str, bytes]]:
    """Reads all files below some places of a round's folder, hidden ones too."""

    def read(folder: Path) -> dict[str, bytes]:
        files = [path for name in names for path in [folder / name, *(folder / name).rglob("*")] if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    return read


def _scores(folder: Path) -> dict[str, bytes]:
    """The scores and the cache, whose folder is shared and is not cleared of what killed runs leave."""
    files = _bytes_below("scores.json", "values.csv", "cache")(folder)
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
    "synthetic": (lambda folder: GROOVES, _bytes_below("out")),
    "slakh": (lambda folder: SLAKH, _bytes_below("out")),
    "latents": (lambda folder: ["data", *MAKE, "latents"], _bytes_below("latents")),
    "generate": (lambda folder: GENERATE, _bytes_below("out")),
    "score": (lambda folder: SCORE, _scores),
    "train": (_training, _trained),
}
"""Name -> the command in a round's folder, and what of its results must be the same."""


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_command_run_again_gives_the_same_bytes(commands, sources, tmp_path, name):
    arguments, results = COMMANDS[name]
    rng = np.random.default_rng(SEED)
    outputs = tmp_path / "outputs"
    outputs.mkdir()

    def run(folder: Path, seconds: float = PATIENCE) -> Ended:
        words = ["synctrack", *map(str, arguments(folder))]
        return commands.run(folder, words, seconds, outputs, alone=True)

    def finish(folder: Path) -> float:
        ended = run(folder)
        assert ended.status == 0, ended.err[-3000:]
        return ended.seconds

    def new_folder(round_name: str) -> Path:
        # Latents know the modification times of their sources, which a copy keeps.
        return Path(shutil.copytree(sources, tmp_path / round_name))

    whole = new_folder("whole")
    longest = finish(whole)
    expected, killed, rounds = results(whole), 0, 0
    assert expected
    while killed < KILLS[name]:
        folder = new_folder(f"round_{rounds}")
        for _ in range(min(KILLS_IN_A_ROUND, KILLS[name] - killed)):
            ended = run(folder, rng.uniform(0, longest))
            assert ended.status in (0, KILLED), ended.err[-3000:]
            killed += ended.status == KILLED
            if ended.status == 0:
                # The machine is quicker than it was, or little was left to do.
                longest = min(longest, max(ended.seconds, longest / 2))
        finish(folder)
        assert results(folder) == expected
        shutil.rmtree(folder)
        rounds += 1
        assert rounds <= KILLS[name], "the command ends before it can be killed"


def test_the_campaign_kills_a_hundred_runs():
    assert sum(KILLS.values()) == 100
    assert KILLS.keys() == COMMANDS.keys()
