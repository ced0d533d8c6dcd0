"""What `ablation.py` measures of a variant: its clips, clip by clip, beside data that was held back, and its loss."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ablation_setup import SEGMENTS, Setup
from synctrack import Song, SyncTrack, seeding
from synctrack.audio.files import audio_info, read_audio
from synctrack.data.datamodule import StemDataModule
from synctrack.data.dataset import StemDataset
from synctrack.files import write_json
from synctrack.generation.song import SONG_FILE
from synctrack.metrics.beats.folders import track_folder
from synctrack.metrics.beats.layout import Layout, find_layout
from synctrack.metrics.beats.trackers import make_tracker
from synctrack.metrics.cbs import WINDOW_SIZE, cbs
from synctrack.metrics.fad.embed import embed_files, make_embedding
from synctrack.metrics.frechet import frechet_distance
from synctrack.metrics.score import plain
from synctrack.metrics.stem_identity import assigned, train
from synctrack.metrics.summary import summarise

PROTOCOL = "corrected"
PAIRINGS = 8  # of each clip's first stem with stems of other clips
DRAWS = 4  # of time step and noise for the loss of each segment
ROUNDS = 100  # of half the clips, for the intervals of Fréchet distances
KEPT_CLIPS = 4  # of each measurement, to listen to


@dataclass(frozen=True)
class Sampling:
    """How clips are generated: a sampler, and calls of the U-Net."""

    sampler: str
    calls: int


def generate(model: SyncTrack, folder: Path, clips: int, seed: int, how: Sampling, title: str) -> None:
    """Write songs `clip_000`, `clip_001` … into `folder`, but not those that are there; clip i has seed (seed, i)."""
    missing = [clip for clip in range(clips) if not (_clip(folder, clip) / SONG_FILE).is_file()]
    settings = {"sampler": how.sampler, "steps": how.calls}
    songs = model.stream([(seed, clip) for clip in missing], **settings) if missing else ()
    bar = tqdm(songs, title, total=clips, initial=clips - len(missing), unit="clip")
    for clip, song in zip(missing, bar, strict=True):
        song.save(_clip(folder, clip))


def drop_clips(folder: Path, clips: int) -> None:
    """Remove measured clips but the first few."""
    for clip in range(KEPT_CLIPS, clips):
        shutil.rmtree(_clip(folder, clip), ignore_errors=True)


class Reference:
    """The data that clips are compared with, in `out/data_clips`: segments held back, and of the training set."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.stems = tuple(setup.config.data.params.path.stems)
        self.audio = setup.config.model.params.audio

    @cached_property
    def classifier(self) -> Any:
        """Names stems; trained on the training data."""
        data = self._segments("train")
        return train((data[0, index]["waveform"].numpy() for index in range(len(data))), self.stems, self.audio)

    @cached_property
    def embeddings(self) -> dict[str, np.ndarray]:
        """Those of the segments that were held back, see `embeddings`."""
        return embeddings(self.folder("valid"), self.stems)

    def folder(self, split: str) -> Path:
        """The first segment of each song, as a folder of songs, written where it is missing."""
        folder, data = self.setup.out / "data_clips" / split, self._segments(split)
        for clip in range(min(self.setup.clips, len(data) // SEGMENTS[split])):
            if not (_clip(folder, clip) / SONG_FILE).is_file():
                waves = data[0, SEGMENTS[split] * clip]["waveform"].numpy()
                Song(dict(zip(self.stems, waves, strict=True)), self.audio.sample_rate).save(_clip(folder, clip))
        return folder

    def _segments(self, split: str) -> StemDataset:
        return StemDataset([str(self.setup.out / "data" / split)], self.stems, self.audio, shift=False, seed=0)


def measure_clips(folder: Path, reference: Reference, distances_of: Path | None = None) -> dict[str, Any]:
    """All that is measured of a folder of songs, as JSON.

    Args:
        folder: of the clips.
        reference: the data.
        distances_of: another folder whose Fréchet distances to the reference are given; the clips' own by default.

    Returns:
        `values`: metric -> (clips, 1) or, for `irs` and `named`, (clips, stems); `fad`: stem or mix -> `value` and
        `rounds`; `silent`: silent stems.
    """
    layout = find_layout(folder, "songs", reference.stems)
    names = _names(layout, reference)
    return plain(
        {
            "values": {**rhythm_values(layout, reference.stems), "named": names == np.arange(len(reference.stems))},
            "fad": distances(embeddings(distances_of or folder, reference.stems), reference.embeddings),
            "silent": int((names == len(reference.stems)).sum()),
        }
    )


def rhythm_values(layout: Layout, stems: Sequence[str]) -> dict[str, np.ndarray]:
    """CBS, CBD, IRS of each stem, and the CBS of its first stem beside those of other clips, of each clip."""
    beats = track_folder("", make_tracker("madmom"), cache=False, layout=layout)
    rows = summarise(beats, PROTOCOL, WINDOW_SIZE, seed=0)["songs"]
    times = {song: [files[stem].beats[PROTOCOL] for stem in stems] for song, files in beats.files.items()}
    columns = {name: np.array([[row[name]] for row in rows.values()], float) for name in ("cbs", "cbd")}
    irs = np.array([[row["interval_std"][stem] for stem in stems] for row in rows.values()], float)
    return {**columns, "irs": irs, "chance": paired_at_random(times, beats.durations)[:, None]}


def paired_at_random(songs: Mapping[str, list[np.ndarray]], durations: Mapping[str, float]) -> np.ndarray:
    """CBS (songs,) of each song's first stem with the other stems of songs drawn at random, no two of one song.

    Args:
        songs: for each song the beat times in seconds of its stems.
        durations: of each song in seconds.

    Returns:
        The mean over PAIRINGS draws; NaN where there are fewer songs than stems.
    """
    names, generator = list(songs), np.random.default_rng(0)
    num_stems = len(songs[names[0]])
    if len(names) < num_stems:
        return np.full(len(names), np.nan)
    values = np.full((PAIRINGS, len(names)), np.nan)
    for row in values:
        shifts = [0, *generator.choice(np.arange(1, len(names)), num_stems - 1, replace=False)]
        for i in range(len(names)):
            sources = [names[(i + shift) % len(names)] for shift in shifts]
            paired = [songs[source][stem] for stem, source in enumerate(sources)]
            row[i] = cbs({"paired": paired}, {"paired": durations[names[i]]}).mean_beat_ratio
    known = np.isfinite(values)
    return np.where(known.any(axis=0), np.nansum(values, axis=0) / np.maximum(known.sum(axis=0), 1), np.nan)


def embeddings(folder: Path, stems: Sequence[str]) -> dict[str, np.ndarray]:
    """The embeddings `mel`, (clips, patches, d), of each stem and of the mix."""
    layout, embedding = find_layout(folder, "songs", stems), make_embedding("mel")
    files = {**{stem: list(layout.stems[stem].values()) for stem in stems}, "mix": list(layout.mixes.values())}
    found = {name: embed_files([[path] for path in paths], embedding, cache=False) for name, paths in files.items()}
    return {name: rows.values.reshape(len(files[name]), -1, rows.values.shape[1]) for name, rows in found.items()}


def distances(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """FAD of two sets of embeddings (clips, patches, d), and of ROUNDS random halves of the clips of both.

    The halves are the same for every set of as many clips, so that differences of sets can be taken round by round.
    """
    result = {}
    for name, first in ours.items():
        second, generator = theirs[name], np.random.default_rng(0)
        rounds = []
        for _ in range(ROUNDS):
            halves = [sets[generator.permutation(len(sets))[: max(1, len(sets) // 2)]] for sets in (first, second)]
            rounds.append(_distance(*halves))
        result[name] = {"value": _distance(first, second), "rounds": rounds}
    return result


def losses(model: SyncTrack, setup: Setup) -> np.ndarray:
    """The validation loss (segments, 1) of a model, mean of DRAWS time steps and noises that are the same for all."""
    data = StemDataModule(setup.config, str(setup.latents))
    data.require_vae(model.model.vae)
    result = []
    for index in tqdm(range(len(data.valid)), "validation loss", unit="segment", leave=False):
        item = data.valid[0, index]
        values = []
        for draw in range(DRAWS):
            keys = [(0, stream, draw, index) for stream in (seeding.VALIDATION_LATENT, seeding.VALIDATION_LOSS)]
            latent_generator, loss_generator = (seeding.item_generator(*key) for key in keys)
            latent = seeding.draw_per_item(item["mean"][None], item["std"][None], [latent_generator])
            with torch.no_grad():
                scaled = model.model.scale_factor * latent.to(model.device)
                values.append(model.model.loss(scaled, [loss_generator]).item())
        result.append([float(np.mean(values))])
    return np.array(result)


def measurement(path: Path, settings: dict[str, Any], measure: Any) -> dict[str, Any]:
    """The measurement at `path`, made by `measure()` where it is missing or was made with other settings."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if kept.get("settings") != settings:
        kept = {"settings": settings, **measure()}
        write_json(path, kept)
    return kept


def _clip(folder: Path, clip: int) -> Path:
    return folder / f"clip_{clip:03d}"


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    sets = [np.asarray(values, np.float64).reshape(-1, values.shape[-1]) for values in (first, second)]
    return frechet_distance(*sets) if min(map(len, sets)) > 1 else np.nan


def _names(layout: Layout, reference: Reference) -> np.ndarray:
    rate = reference.audio.sample_rate
    clips = []
    for song in layout.songs:
        paths = [layout.stems[stem][song] for stem in reference.stems]
        clips.append(np.stack([read_audio(path, 0, audio_info(path).num_samples, rate) for path in paths]))
    return assigned(reference.classifier, clips, reference.audio)
