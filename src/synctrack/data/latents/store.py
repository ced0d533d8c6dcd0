"""Segments as the VAE's posteriors, pre-encoded by `prepare_data.py latents`: the store's layout, and its reader.

A store is a folder `train` and, where there are validation data, `valid`. Each holds a folder for every song with
`latents.npy`, float16 (starts, 2, s, c, t, f): mean and standard deviation at every start that training may draw; for
each signal of the model's conditioning `click.npy` or `mix.npy`, float16 (starts, 2, c, t, f); and `manifest.json` with
all that they depend on.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from synctrack.data.dataset import StemDataset
from synctrack.data.segments import stored_starts
from synctrack.data.shards import missing_shards
from synctrack.data.songs import SongFolder
from synctrack.documents import LARGEST_LIST, has_form, read_json
from synctrack.errors import InputError
from synctrack.files import changes, require_ordinary
from synctrack.manifest import MANIFEST
from synctrack.models.latent_diffusion import ModelConfig
from synctrack.models.vae import VAE

LATENTS = "latents.npy"
FULL_PRECISION = "32-true"
MOST_OFFSETS = 4096
FORM = {"settings": {"offsets": int, "vae_sha256": str}, "tracks": [str]}
"""What the manifest of a complete store holds, see `has_form`."""
AGAIN = "remove its folder and make it again"


def signal_file(signal: str) -> str:
    """The file of a signal's latents in a song's folder."""
    return f"{signal}.npy"


def vae_sha256(vae: VAE) -> str:
    """The hexadecimal SHA-256 of a VAE's weights, whatever file they came from."""
    digest = hashlib.sha256()
    for name, weight in sorted(vae.state_dict().items()):
        digest.update(name.encode() + weight.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def store_settings(
    songs: StemDataset,
    model: ModelConfig,
    offsets: int,
    vae_hash: str,
    signals: Sequence[str],
    precision: str = FULL_PRECISION,
) -> dict[str, Any]:
    """All that latents depend on, as JSON, but for the songs themselves, of which `song_settings` are.

    Args:
        songs: what is encoded.
        model: whose audio and VAE these are.
        offsets: training shifts stored for each segment; 1 is the segment as it lies.
        vae_hash: see `vae_sha256`.
        signals: encoded beside the stems.
        precision: of the VAE when it encodes, a value of `trainer.precision`.
    """
    settings = {"offsets": offsets, "stems": list(songs.stems), "vae_sha256": vae_hash}
    if signals:
        settings["signals"] = list(signals)
    if precision != FULL_PRECISION:
        settings["precision"] = precision
    for part in ("audio", "vae"):
        settings |= {f"{part}.{key}": value for key, value in asdict(getattr(model, part)).items()}
    return settings


def song_settings(song: SongFolder, signals: Sequence[str]) -> dict[str, Any]:
    """What the latents of a song depend on, as JSON: its samples, and every file's bytes and modification time."""
    status = [file and file.stat() for file in song.files]
    settings = {f"track {song.name}": [song.samples, [s and [s.st_size, s.st_mtime_ns] for s in status]]}
    if "click" in signals and song.beats is not None:
        settings[f"beats {song.name}"] = [song.beats.stat().st_size, song.beats.stat().st_mtime_ns]
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
        stored = made.get("signals", [])
        if lacking := [name for name in self.signals if name not in stored]:
            raise InputError(
                f"{folder}: holds no {', '.join(lacking)}; create latents with this model.params.conditioning elsewhere"
            )
        precision = made.get("precision", FULL_PRECISION)
        own = store_settings(self, model, self.offsets, self.vae_hash, stored, precision)
        changed = changes(made, own | {k: v for song in self.songs for k, v in song_settings(song, stored).items()})
        if changed:
            raise InputError(
                f"{folder}: its latents were created with different settings ({changed}); create them again elsewhere"
            )
        self._starts = {t.name: stored_starts(t.samples, self.audio.segment_samples, self.offsets) for t in self.songs}
        for song in self.songs:
            starts = len(self._starts[song.name])
            self._require_shape(song.name, LATENTS, (starts, 2, len(stems), *model.latent_shape))
            for signal in self.signals:
                if signal != "click" or song.beats is not None:
                    self._require_shape(song.name, signal_file(signal), (starts, 2, *model.latent_shape))

    def read(self, song: SongFolder, start: int) -> dict[str, torch.Tensor]:
        """The `mean` and `std`, float16 (s, c, t, f), of a song from sample `start` on.

        For each signal `<signal>_mean` and `<signal>_std` (c, t, f) as well, and `click_given`; zeros where the song
        has no beats.
        """
        position = self._starts[song.name].index(start)
        mean, std = self._pair(song.name, LATENTS, position)
        # Copies: an item must not keep its file open.
        item = {"mean": torch.tensor(mean), "std": torch.tensor(std)}
        for signal in self.signals:
            if signal == "click":
                item["click_given"] = torch.tensor(song.beats is not None)
            if signal == "click" and song.beats is None:
                pair = np.zeros((2, *mean.shape[1:]), mean.dtype)
            else:
                pair = self._pair(song.name, signal_file(signal), position)
            item[f"{signal}_mean"], item[f"{signal}_std"] = torch.tensor(pair[0]), torch.tensor(pair[1])
        return item

    def _require_shape(self, name: str, file: str, shape: tuple[int, ...]) -> None:
        if self._stored(name, file).shape != shape:
            raise InputError(f"{self.folder / name / file}: is of another shape than {shape}; make it again")

    def _pair(self, name: str, file: str, position: int) -> np.ndarray:
        """Mean and standard deviation (2, ...) of one start."""
        pair = self._stored(name, file)[position]
        if not np.isfinite(pair).all() or (pair[1] < 0).any():
            raise InputError(f"{self.folder / name / file}: holds values that are not finite; {AGAIN}")
        return pair

    def _stored(self, name: str, file: str) -> np.ndarray:
        """A song's file, mapped into memory anew each time: there are more songs than files may be open."""
        path = self.folder / name / file
        require_ordinary(path)
        try:
            stored = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError, TypeError, OverflowError, MemoryError, BadZipFile) as error:
            raise InputError(f"{path}: is missing or damaged; {AGAIN}") from error
        if not isinstance(stored, np.ndarray) or stored.dtype != np.float16:
            raise InputError(f"{path}: is not an array of float16; {AGAIN}")
        return stored


def _read_manifest(folder: Path) -> tuple[dict[str, Any], int, str]:
    """A store's settings, its offsets and the hash of its VAE; the list of songs is written when all are there."""
    try:
        settings = read_json(folder / MANIFEST, FORM, LARGEST_LIST)["settings"]
    except InputError as error:
        reason = missing_shards(folder) or "prepare_data.py latents makes them"
        raise InputError(f"{folder}: holds no complete latents; {reason}") from error
    if not 1 <= settings["offsets"] <= MOST_OFFSETS or not has_form(settings.get("signals", []), [str]):
        raise InputError(f"{folder / MANIFEST}: its offsets or signals are damaged; make the latents again elsewhere")
    return settings, settings["offsets"], settings["vae_sha256"]
