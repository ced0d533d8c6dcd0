"""Pre-encoded latents: every segment that training and validation may read, through mel and VAE."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from synctrack.audio.mel import LogMel
from synctrack.checkpoint.loading import load_vae
from synctrack.config import Config, ModelParams
from synctrack.data.dataset import StemDataset
from synctrack.data.latents.store import LATENTS, MOST_OFFSETS, signal_file, store_settings, vae_sha256
from synctrack.data.segments import stored_starts
from synctrack.data.songs import SongFolder, SongReport
from synctrack.data.splits import not_set, stem_dataset
from synctrack.data.writing import write_songs
from synctrack.devices import resolve_device
from synctrack.errors import InputError
from synctrack.models.vae import VAE


class _Split(NamedTuple):
    folder: Path
    songs: StemDataset
    offsets: int

    def starts(self, song: SongFolder) -> list[int]:
        return stored_starts(song.samples, self.songs.audio.segment_samples, self.offsets)


def write_latents(config: Config, out: str | Path, offsets: int = 8) -> SongReport:
    """Encode the configuration's training data into `out`/train, its validation data into `out`/valid.

    The layout is that of `synctrack.data.latents.store`. Validation segments are not shifted and need one offset.

    Args:
        config: of the training: its data, audio, VAE and VAE weights; `trainer.accelerator` is where the VAE runs, on
            `data.params.batch_size` songs at a time.
        offsets: evenly spaced shifts of each training segment.

    Raises:
        InputError: data or weights that training would refuse as well, too little room in `out`, latents that
            float16 cannot hold; or as `write_songs`.
    """
    if not 1 <= offsets <= MOST_OFFSETS:
        raise InputError(f"--offsets {offsets}: is not between 1 and {MOST_OFFSETS}")
    train, valid = stem_dataset(config, "train"), stem_dataset(config, "valid")
    if train is None:
        raise not_set("train")
    splits = [_Split(Path(out, "train"), train, offsets)]
    if valid is not None:
        splits.append(_Split(Path(out, "valid"), valid, 1))
    params = config.model.params
    encoder = _Encoder(params, resolve_device(config.trainer.accelerator), config.data.params.batch_size)
    _require_room(Path(out), splits, params)
    report, vae_hash = SongReport(), vae_sha256(encoder.vae)
    for split in splits:
        settings = store_settings(split.songs, params, split.offsets, vae_hash, split.songs.signals)
        jobs = {song.name: (split, song) for song in split.songs.songs}
        report.add(write_songs(split.folder, settings, jobs, encoder.write_song, 0, _files))
    return report


def _signals(job: tuple[_Split, SongFolder]) -> list[str]:
    """The signals that a song has: a click only where its beats are known."""
    split, song = job
    return [name for name in split.songs.signals if name != "click" or song.beats is not None]


def _files(job: tuple[_Split, SongFolder]) -> list[str]:
    return [LATENTS, *map(signal_file, _signals(job))]


class _Encoder:
    def __init__(self, params: ModelParams, device: torch.device, songs_at_once: int) -> None:
        path = params.vae_ckpt_path or params.ckpt_path
        if not path:
            raise InputError("model.params.vae_ckpt_path: is not set; latents need the VAE that training will use")
        self.vae = VAE(params.vae)
        load_vae(self.vae, path, params.audio)
        self.vae.to(device)
        self.mel = LogMel(params.audio).to(device)
        self.device, self.songs_at_once = device, songs_at_once

    def write_song(self, folder: Path, job: tuple[_Split, SongFolder]) -> None:
        split, song = job
        batches = list(self._batches(split, song, _signals(job)))
        for name in _files(job):
            latents = torch.cat([batch[name] for batch in batches]).numpy()
            if not np.isfinite(latents).all():
                raise InputError(f"{song.name}: the VAE gives latents that are not numbers in float16; use another VAE")
            np.save(folder / name, latents)

    def _batches(self, split: _Split, song: SongFolder, signals: list[str]) -> Iterator[dict[str, torch.Tensor]]:
        """For each file, float16 mean and standard deviation (b, 2, ...) of the song's stored starts, in order."""
        batches = torch.tensor(split.starts(song)).split(self.songs_at_once)
        for starts in tqdm(batches, song.name, leave=False, position=1, delay=1.0):
            items = [split.songs.read(song, start) for start in starts.tolist()]
            waveform = torch.stack([item["waveform"] for item in items])
            encoded = {LATENTS: self._encode(waveform)}
            for signal in signals:
                rows = waveform.sum(dim=1) if signal == "mix" else torch.stack([item[signal] for item in items])
                encoded[signal_file(signal)] = self._encode(rows[:, None])[:, :, 0]
            yield encoded

    @torch.no_grad()
    def _encode(self, waveform: torch.Tensor) -> torch.Tensor:
        """Waveform (b, s, n) -> float16 mean and standard deviation (b, 2, s, c, t, f)."""
        posterior = self.vae.encode(self.mel(waveform.to(self.device)))
        return torch.stack([posterior.mean, posterior.std], dim=1).half().cpu()


def _require_room(out: Path, splits: list[_Split], params: ModelParams) -> None:
    """Hours of encoding must not end on a full disk."""
    stem_bytes = np.dtype(np.float16).itemsize * 2 * math.prod(params.latent_shape)
    wanted = sum(
        len(split.starts(song)) * (len(song.files) + len(split.songs.signals)) * stem_bytes
        for split in splits
        for song in split.songs.songs
        if not (split.folder / song.name).exists()
    )
    place = next(folder for folder in [out, *out.absolute().parents] if folder.exists())
    if wanted > (free := shutil.disk_usage(place).free):
        room = f"needs {_size(wanted)} more, {_size(free)} are free"
        raise InputError(f"{out}: {room}; make room, choose another place or fewer --offsets")


def _size(count: int) -> str:
    """A number of bytes with three digits that tell, such as 1.52 GB or 13 kB."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} bytes"
