"""Generated clips on disk: names, folders, what is already there, and the manifest that says how they were made."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import synctrack
from synctrack.audio.files import audio_info, peak_gain, read_audio, write_wav
from synctrack.checkpoint.loading import header
from synctrack.config import Config, TrainerConfig, to_dict
from synctrack.diffusion.samplers import Sampling
from synctrack.errors import InputError
from synctrack.files import sha256, write_json
from synctrack.manifest import MANIFEST, claim, installed_versions
from synctrack.report.plots import plot_mels
from synctrack.seeding import GENERATION, item_seed

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
        """Whether a clip is there, whole: all its files, of one length and of the model's rate."""
        try:
            found = {audio_info(file) for file in self.files(name)}
        except InputError:
            return False
        return len(found) == 1 and found.pop().sample_rate == self.sample_rate

    def write(self, name: str, waveform: np.ndarray) -> None:
        """Write the stems (s, n) of one clip, each clipped to [-1, 1], and their sum, scaled by `mix_gain`."""
        *stems, mix = self.files(name)
        for file, row in zip(stems, waveform, strict=True):
            write_wav(file, row, self.sample_rate)
        write_wav(mix, self.mix_gain(name) * np.clip(waveform, -1, 1).sum(axis=0), self.sample_rate)

    def mix_gain(self, name: str) -> float:
        """The gain, at most 1, that brings the sum of a clip's written stems to at most -1 dBFS.

        It follows from the stems' files, so that any process can tell it.
        """
        return peak_gain([self.read(name).sum(axis=0)])

    def read(self, name: str) -> np.ndarray:
        """The written stems (s, n) of one clip."""
        *stems, _ = self.files(name)
        return np.stack([read_audio(file, 0, audio_info(file).num_samples, self.sample_rate) for file in stems])


class Generation:
    """What an evaluation makes and where: the generated stems, the targets beside them, and the manifest.

    Args:
        config: the whole configuration.
        checkpoint: what `manifest.json` says of the weights; `sha256` is part of a clip's identity.
        names: of all clips, in the order of their indices.
        targets: folder of the targets, which several evaluations can share; `targets` in the clips' own by default.
    """

    def __init__(
        self, config: Config, checkpoint: dict[str, Any], names: Sequence[str], targets: Path | None = None
    ) -> None:
        self.config, self.checkpoint, self.names = config, checkpoint, names
        self.out, rate = Path(config.evaluation.out), config.model.params.audio.sample_rate
        self.generated = StemTree(self.out, len(config.data.params.path.stems), rate)
        self.targets = StemTree(targets or self.out / TARGETS, len(config.data.params.path.stems), rate)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a clip depends on: the same identity gives the same clips."""
        config, vocoder = to_dict(self.config), self.config.model.params.vocoder_ckpt_path
        return {
            "checkpoint_sha256": self.checkpoint["sha256"],
            "vocoder_sha256": sha256(vocoder) if vocoder else None,
            "seed": config["seed"],
            "sampler": self._sampling(),
            "valid_data": config["data"]["params"]["path"]["valid_data"],
            "model": header("synctrack", self.config),
            **self._rounding(),
        }

    def _rounding(self) -> dict[str, Any]:
        """Precision and TF32, where they are not as published; manifests of before hold neither."""
        ours, published = self.config.trainer, TrainerConfig()
        return {
            key: getattr(ours, key) for key in ("precision", "tf32") if getattr(ours, key) != getattr(published, key)
        }

    def _sampling(self) -> dict[str, Any]:
        """The sampling; what is as published is left out beside steps and eta, as in manifests of before."""
        ours, published = vars(self.config.evaluation.sampling), vars(Sampling())
        return {key: ours[key] for key in ours if key in ("steps", "eta") or ours[key] != published[key]}

    def claim(self) -> None:
        """Make sure that clips that are there already have this identity, and start the manifest if there are none.

        Raises:
            InputError: the folder holds clips that were created with different settings, or files but no manifest.
        """

        def differing(before: dict[str, Any], now: dict[str, Any]) -> str:
            return ", ".join(key for key in now if before.get(key) != now[key])

        claim(self.out, self.identity, "set another evaluation.out", key="identity", describe=differing)

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
        clips = []
        for index, name in enumerate(self.names):
            seed = item_seed(self.config.seed, GENERATION, index)
            gains = {"mix_gain": self.generated.mix_gain(name), "target_mix_gain": self.targets.mix_gain(name)}
            clips.append({"index": index, "name": name, "seed": seed, **gains})
        versions = {"synctrack": synctrack.__version__} | installed_versions("torch", "pytorch_lightning", "numpy")
        made = {"identity": self.identity, "checkpoint": self.checkpoint, "versions": versions}
        manifest = {"complete": True, **made, "config": to_dict(self.config), "clips": clips}
        write_json(self.out / MANIFEST, manifest)
        name, audio, stems = self.names[0], self.config.model.params.audio, self.config.data.params.path.stems
        files = self.generated.files(name)[: len(stems)]
        waveform = np.stack([read_audio(file, 0, audio.segment_samples, audio.sample_rate) for file in files])
        path = self.out / f"{name}.png"
        plot_mels(path, waveform, stems, audio, f"generated: {name}")
        return path
