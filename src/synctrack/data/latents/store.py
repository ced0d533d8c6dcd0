"""Segments as the VAE's posteriors, pre-encoded by `prepare_data.py latents`: the store's layout, and its reader.

A store is a folder `train` and, where there are validation data, `valid`. Each holds a folder for every song with
`latents.npy`, float16 (starts, 2, s, c, t, f): mean and standard deviation at every start that training may draw; and
`manifest.json` with all that they depend on.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synctrack.data.dataset import StemDataset
from synctrack.data.segments import stored_starts
from synctrack.data.songs import SongFolder
from synctrack.errors import InputError
from synctrack.files import changes
from synctrack.models.latent_diffusion import ModelConfig
from synctrack.models.vae import VAE

LATENTS = "latents.npy"


def vae_sha256(vae: VAE) -> str:
    """The hexadecimal SHA-256 of a VAE's weights, whatever file they came from."""
    digest = hashlib.sha256()
    for name, weight in sorted(vae.state_dict().items()):
        digest.update(name.encode() + weight.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def store_settings(songs: StemDataset, model: ModelConfig, offsets: int, vae_hash: str) -> dict[str, Any]:
    """All that latents depend on, as JSON: of each song, too, its samples and every file's bytes and modification time.

    Args:
        songs: what is encoded.
        model: whose audio and VAE these are.
        offsets: training shifts stored for each segment; 1 is the segment as it lies.
        vae_hash: see `vae_sha256`.
    """
    settings = {"offsets": offsets, "stems": list(songs.stems), "vae_sha256": vae_hash}
    for part in ("audio", "vae"):
        settings |= {f"{part}.{key}": value for key, value in asdict(getattr(model, part)).items()}
    for song in songs.songs:
        status = [file and file.stat() for file in song.files]
        settings[f"track {song.name}"] = [song.samples, [s and [s.st_size, s.st_mtime_ns] for s in status]]
    return settings


class LatentDataset(StemDataset):
    """A `StemDataset` that reads stored posteriors: `mean` and `std`, float16 (s, c, t, f), instead of `waveform`.

    A shift is drawn as there; the stored one for its part of the range takes its place. No audio is opened.

    Args:
        folder: `train` or `valid` of a store.
        model: for which the latents must have been made.
        roots: and more as for `StemDataset`.

    Attributes:
        vae_hash: of the VAE that made the latents, see `vae_sha256`.

    Raises:
        InputError: as `StemDataset`; no store, one that is not complete, or one of other data or another model.
    """

    def __init__(self, folder: Path, model: ModelConfig, roots: Any, stems: Sequence[str], **how: Any) -> None:
        super().__init__(roots, stems, model.audio, **how)
        self.folder = folder
        made, self.offsets, self.vae_hash = _read_manifest(folder)
        if changed := changes(made, store_settings(self, model, self.offsets, self.vae_hash)):
            raise InputError(
                f"{folder}: its latents were created with different settings ({changed}); create them again elsewhere"
            )
        self._starts = {t.name: stored_starts(t.samples, self.audio.segment_samples, self.offsets) for t in self.songs}
        for name, starts in self._starts.items():
            shape = (len(starts), 2, len(stems), *model.latent_shape)
            if self._latents(name).shape != shape:
                raise InputError(f"{folder / name / LATENTS}: is of another shape than {shape}; make it again")

    def read(self, song: SongFolder, start: int) -> dict[str, torch.Tensor]:
        """The `mean` and `std`, float16 (s, c, t, f), of a song from sample `start` on."""
        mean, std = self._latents(song.name)[self._starts[song.name].index(start)]
        # Copies: an item must not keep its file open.
        return {"mean": torch.tensor(mean), "std": torch.tensor(std)}

    def _latents(self, name: str) -> np.ndarray:
        """A song's file, mapped into memory anew each time: there are more songs than files may be open."""
        path = self.folder / name / LATENTS
        try:
            return np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{path}: is missing or damaged; remove its folder and make it again") from error


def _read_manifest(folder: Path) -> tuple[dict[str, Any], int, str]:
    """A store's settings, its offsets and the hash of its VAE; the list of songs is written when all are there."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        settings, _ = manifest["settings"], manifest["tracks"]
        return settings, settings["offsets"], settings["vae_sha256"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{folder}: holds no complete latents; prepare_data.py latents makes them") from error
