"""Pre-encoded latents: every segment that training and validation may read, through mel and VAE."""

import itertools
import math
import multiprocessing
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from synctrack.audio.mel import LogMel
from synctrack.checkpoint.loading import load_vae
from synctrack.config import Config, ModelParams
from synctrack.data.dataset import StemDataset
from synctrack.data.latents.store import LATENTS, MOST_OFFSETS, signal_file, song_settings, store_settings, vae_sha256
from synctrack.data.segments import stored_starts
from synctrack.data.shards import Shard
from synctrack.data.songs import SongFolder, SongReport
from synctrack.data.splits import not_set, stem_dataset
from synctrack.data.writing import write_songs
from synctrack.devices import all_devices, use_tf32
from synctrack.errors import InputError
from synctrack.models.vae import VAE
from synctrack.processors import processors

DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""Of the VAE's convolutions, by `trainer.precision`; others are float32."""
AHEAD = 2
"""Batches that are read ahead."""


class _Split(NamedTuple):
    folder: Path
    songs: StemDataset
    offsets: int
    shard: Shard | None = None

    @property
    def own(self) -> list[SongFolder]:
        """The songs to encode."""
        songs = {song.name: song for song in self.songs.songs}
        return list((songs if self.shard is None else self.shard.jobs(songs)).values())

    def starts(self, song: SongFolder) -> list[int]:
        return stored_starts(song.samples, self.songs.audio.segment_samples, self.offsets)


def write_latents(config: Config, out: str | Path, offsets: int = 8, shard: Shard | None = None) -> SongReport:
    """Encode the configuration's training data into `out`/train, its validation data into `out`/valid.

    The layout is that of `synctrack.data.latents.store`. Validation segments are not shifted and need one offset.

    Args:
        config: of the training: its data, audio, VAE and VAE weights; `trainer.accelerator` and `trainer.devices` are
            where the VAE runs, one song on each device, `data.params.batch_size` segments at a time, in
            `trainer.precision`; `data.params.num_workers` threads read ahead for each device.
        offsets: evenly spaced shifts of each training segment.
        shard: encode its share of the songs of each split alone.

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
    params, devices = config.model.params, all_devices(config.trainer.accelerator, config.trainer.devices)
    if shard is not None:
        splits = [split._replace(shard=shard) for split in splits]
    _require_room(Path(out), splits, params)
    several = len(devices) > 1
    encoder = _Encoder(config, splits, torch.device("cpu") if several else devices[0])
    report, vae_hash = SongReport(), vae_sha256(encoder.vae)
    for split in splits:
        settings = store_settings(
            split.songs, params, split.offsets, vae_hash, split.songs.signals, config.trainer.precision
        )
        jobs = {song.name: (split.folder.name, song) for song in split.songs.songs}
        how = {"write": encoder.write_song, "workers": 0}
        if several:
            how = {"write": _encode_in_worker, "workers": len(devices), "setup": _worker_setup(config, splits, devices)}
        holds = partial(_files, split)
        own = partial(_song_settings, split)
        report.add(write_songs(split.folder, settings, jobs, holds=holds, own_settings=own, shard=shard, **how))
    return report


def _signals(split: _Split, song: SongFolder) -> list[str]:
    """The signals that a song has: a click only where its beats are known."""
    return [name for name in split.songs.signals if name != "click" or song.beats is not None]


def _song_settings(split: _Split, job: tuple[str, SongFolder]) -> dict[str, Any]:
    return song_settings(job[1], split.songs.signals)


def _files(split: _Split, job: tuple[str, SongFolder]) -> list[str]:
    return [LATENTS, *map(signal_file, _signals(split, job[1]))]


_encoders: list["_Encoder"] = []
"""Of a worker process: its own."""


def _worker_setup(config: Config, splits: list[_Split], devices: list[torch.device]) -> Callable[[], None]:
    """What each worker does when it starts: take one of the devices, and load the VAE there."""
    free = multiprocessing.get_context("spawn").SimpleQueue()
    for device in devices:
        free.put(str(device))
    return partial(_start_encoder, config, splits, free, max(1, processors() // len(devices)))


def _start_encoder(config: Config, splits: list[_Split], free: Any, threads: int) -> None:
    torch.set_num_threads(min(threads, torch.get_num_threads()))
    _encoders.append(_Encoder(config, splits, torch.device(free.get())))


def _encode_in_worker(folder: Path, job: tuple[str, SongFolder]) -> None:
    _encoders[0].write_song(folder, job)


class _Encoder:
    """The VAE on a device, for songs of the splits."""

    def __init__(self, config: Config, splits: list[_Split], device: torch.device) -> None:
        params = config.model.params
        path = params.vae_ckpt_path or params.ckpt_path
        if not path:
            raise InputError("model.params.vae_ckpt_path: is not set; latents need the VAE that training will use")
        self.vae = VAE(params.vae)
        load_vae(self.vae, path, params.audio)
        self.vae.to(device)
        self.mel = LogMel(params.audio).to(device)
        self.device, self.splits = device, {split.folder.name: split for split in splits}
        self.at_once, self.readers = config.data.params.batch_size, config.data.params.num_workers
        self.dtype = DTYPES.get(config.trainer.precision)
        # Stored latents are the same whatever trains on them.
        use_tf32(False)

    def write_song(self, folder: Path, job: tuple[str, SongFolder]) -> None:
        split, song = self.splits[job[0]], job[1]
        batches = list(self._batches(split, song, _signals(split, song)))
        for name in _files(split, job):
            latents = torch.cat([batch[name] for batch in batches]).numpy()
            if not np.isfinite(latents).all():
                raise InputError(f"{song.name}: the VAE gives latents that are not numbers in float16; use another VAE")
            np.save(folder / name, latents)

    def _batches(self, split: _Split, song: SongFolder, signals: list[str]) -> Iterator[dict[str, torch.Tensor]]:
        """For each file, float16 mean and standard deviation (b, 2, ...) of the song's stored starts, in order."""
        starts = split.starts(song)
        items = self._read(split, song, starts)
        for first in tqdm(range(0, len(starts), self.at_once), song.name, leave=False, position=1, delay=1.0):
            batch = list(itertools.islice(items, min(self.at_once, len(starts) - first)))
            waveform = torch.stack([item["waveform"] for item in batch])
            encoded = {LATENTS: self._encode(waveform)}
            for signal in signals:
                rows = waveform.sum(dim=1) if signal == "mix" else torch.stack([item[signal] for item in batch])
                encoded[signal_file(signal)] = self._encode(rows[:, None])[:, :, 0]
            yield encoded

    def _read(self, split: _Split, song: SongFolder, starts: list[int]) -> Iterator[dict[str, torch.Tensor]]:
        """The items of a song in order; with readers, those of the next batches while one is encoded."""
        if not self.readers:
            yield from (split.songs.read(song, start) for start in starts)
            return
        with ThreadPoolExecutor(self.readers) as pool:
            waiting: deque[Future] = deque()
            for start in starts:
                waiting.append(pool.submit(split.songs.read, song, start))
                if len(waiting) > AHEAD * self.at_once:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    @torch.no_grad()
    def _encode(self, waveform: torch.Tensor) -> torch.Tensor:
        """Waveform (b, s, n) -> float16 mean and standard deviation (b, 2, s, c, t, f)."""
        mel = self.mel(waveform.to(self.device))
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            posterior = self.vae.encode(mel)
        return torch.stack([posterior.mean, posterior.std], dim=1).half().cpu()


def _require_room(out: Path, splits: list[_Split], params: ModelParams) -> None:
    """Hours of encoding must not end on a full disk."""
    stem_bytes = np.dtype(np.float16).itemsize * 2 * math.prod(params.latent_shape)
    wanted = sum(
        len(split.starts(song)) * (len(song.files) + len(split.songs.signals)) * stem_bytes
        for split in splits
        for song in split.own
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
