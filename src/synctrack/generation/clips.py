"""Generated clips on disk: names, folders, what is already there, and the manifest that says how they were made."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning
import torch

import synctrack
from synctrack.audio.files import read_audio, write_wav
from synctrack.checkpoint.loading import header, sha256
from synctrack.config import Config, to_dict
from synctrack.errors import InputError
from synctrack.files import write_json
from synctrack.report.plots import plot_mels
from synctrack.seeding import GENERATION, item_seed

MANIFEST = "manifest.json"
TARGETS = "targets"


@dataclass(frozen=True)
class StemTree:
    """A folder of stems as the metrics read it: `stem_0/ ... stem_<s-1>/` and `mix/`, one WAV per clip in each."""

    root: Path
    num_stems: int
    sample_rate: int

    def files(self, name: str) -> list[Path]:
        """The stems' files of one clip, then its mix."""
        folders = [f"stem_{i}" for i in range(self.num_stems)] + ["mix"]
        return [self.root / folder / f"{name}.wav" for folder in folders]

    def holds(self, name: str) -> bool:
        """Whether a clip is there, whole."""
        return all(file.is_file() for file in self.files(name))

    def write(self, name: str, waveform: np.ndarray) -> None:
        """Write the stems (s, n) of one clip and their mix, each clipped to [-1, 1] after mixing."""
        for file, row in zip(self.files(name), [*waveform, waveform.sum(axis=0)], strict=True):
            write_wav(file, row, self.sample_rate)


class Generation:
    """What an evaluation makes and where: the generated stems, the targets beside them, and the manifest.

    Args:
        config: the whole configuration.
        checkpoint: what `manifest.json` says of the weights; `sha256` is part of a clip's identity.
        names: of all clips, in the order of their indices.
    """

    def __init__(self, config: Config, checkpoint: dict[str, Any], names: Sequence[str]) -> None:
        self.config, self.checkpoint, self.names = config, checkpoint, names
        self.out, rate = Path(config.evaluation.out), config.model.params.audio.sample_rate
        self.generated = StemTree(self.out, len(config.data.params.path.stems), rate)
        self.targets = StemTree(self.out / TARGETS, len(config.data.params.path.stems), rate)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a clip depends on: the same identity gives the same clips."""
        config, vocoder = to_dict(self.config), self.config.model.params.vocoder_ckpt_path
        return {
            "checkpoint_sha256": self.checkpoint["sha256"],
            "vocoder_sha256": sha256(vocoder) if vocoder else None,
            "seed": config["seed"],
            "sampler": {key: config["evaluation"][key] for key in ("steps", "eta")},
            "valid_data": config["data"]["params"]["path"]["valid_data"],
            "model": header("synctrack", self.config),
        }

    def claim(self) -> None:
        """Make sure that clips that are there already have this identity, and start the manifest if there are none.

        Raises:
            InputError: the folder holds clips that were made otherwise, or files but no manifest.
        """
        path = self.out / MANIFEST
        if not path.is_file():
            # Hidden files do not count: another rank may be writing this very manifest.
            if self.out.is_dir() and any(not path.name.startswith(".") for path in self.out.iterdir()):
                raise InputError(f"{self.out}: holds files but no {MANIFEST}; set another evaluation.out")
            write_json(path, {"complete": False, "identity": self.identity})
            return
        try:
            before = json.loads(path.read_text())["identity"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: is no manifest of ours; move it away or set another evaluation.out") from error
        if other := [key for key, value in self.identity.items() if before.get(key) != value]:
            raise InputError(f"{self.out}: its clips have another {', '.join(other)}; set another evaluation.out")

    def complete(self) -> set[int]:
        """Indices of the clips that are there, with their targets."""
        trees = (self.generated, self.targets)
        return {i for i, name in enumerate(self.names) if all(tree.holds(name) for tree in trees)}

    def write(self, name: str, generated: np.ndarray, target: np.ndarray) -> None:
        """Write one clip and its target, both (s, n)."""
        self.targets.write(name, target)
        self.generated.write(name, generated)

    def finish(self) -> Path:
        """Write the complete manifest and a picture of the first clip's mels; gives the picture's path."""
        seeds = [item_seed(self.config.seed, GENERATION, i) for i in range(len(self.names))]
        clips = [{"index": i, "name": name, "seed": seeds[i]} for i, name in enumerate(self.names)]
        versions = {module.__name__: module.__version__ for module in (synctrack, torch, pytorch_lightning, np)}
        made = {"identity": self.identity, "checkpoint": self.checkpoint, "versions": versions}
        manifest = {"complete": True, **made, "config": to_dict(self.config), "clips": clips}
        write_json(self.out / MANIFEST, manifest)
        name, audio, stems = self.names[0], self.config.model.params.audio, self.config.data.params.path.stems
        files = self.generated.files(name)[: len(stems)]
        waveform = np.stack([read_audio(file, 0, audio.segment_samples, audio.sample_rate) for file in files])
        path = self.out / f"{name}.png"
        plot_mels(path, waveform, stems, audio, f"generated: {name}")
        return path
