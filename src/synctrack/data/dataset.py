"""Segments of four-stem (or n-stem) songs as waveforms, the raw material of training and evaluation."""

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from synctrack.audio.beat_files import BEATS_FILE, Beats, read_beats
from synctrack.audio.click import click_track
from synctrack.audio.files import read_audio
from synctrack.audio.mel import AudioFormat
from synctrack.config import MAX_SECONDS
from synctrack.data.segments import segment_name, segment_starts, shifted_start, stored_shifts
from synctrack.data.songs import MissingStem, SongFolder, SongRules, find_songs
from synctrack.seeding import item_seed

logger = logging.getLogger(__name__)

LISTED = 10
"""Songs that are left out and named."""


class Segment(NamedTuple):
    """One segment before shifting: `start` in samples at the model's rate."""

    song: SongFolder
    start: int


class StemDataset(Dataset):
    """Segments of the songs in `roots`, indexed by (epoch, index).

    An item is a dict: `waveform` float32 (s, n) in the order of `stems`, `index`, `epoch`, and `name`,
    `<song>_from_<seconds>`. With `shift`, each segment is moved by up to half its length; how far depends on
    (seed, epoch, index) alone, so that any worker, rank or resumed run reads the same.

    With the signal `click`, an item also has `click` float32 (n,), a metronome on the song's beats, and `click_given`,
    False where the song has no beats.json; the signal `mix`, the sum of the stems, needs nothing further.

    Attributes:
        songs: the songs, in the order of roots and names.
        offsets: shifts are drawn among this many, evenly spaced; None is to the sample.
        segments: all segments, in the order of roots, song names and time.
        report: what was kept and what was left out.

    Raises:
        InputError: no root, a root that is missing or without a usable song, stems of different length in
            one song, a stem that is there twice, (unreadable="refuse") an unreadable file, or a damaged beats.json
            where a click is asked for.
    """

    def __init__(
        self,
        roots: str | Path | Sequence[str | Path],
        stems: Sequence[str],
        audio: AudioFormat,
        *,
        shift: bool,
        seed: int,
        missing_stem: MissingStem = "skip",
        unreadable: Literal["skip", "refuse"] = "skip",
        max_seconds: float = MAX_SECONDS,
        signals: Sequence[str] = (),
    ):
        self.stems, self.audio, self.shift, self.seed = tuple(stems), audio, shift, seed
        self.signals = tuple(signals)
        self.offsets: int | None = None
        roots = [Path(root) for root in ([roots] if isinstance(roots, str | Path) else roots)]
        rules = SongRules(self.stems, audio, missing_stem, unreadable, max_seconds)
        self.songs, self.report = find_songs(roots, rules)
        if self.report.left_out:
            logger.warning("%s: %s", ", ".join(map(str, roots)), self.report)
            for line in self.report.lines[:LISTED]:
                logger.warning("left out: %s", line)
            if len(self.report.lines) > LISTED:
                logger.warning("left out: %d more", len(self.report.lines) - LISTED)
        without_beats = sum(song.beats is None for song in self.songs)
        if "click" in self.signals and without_beats:
            places = ", ".join(map(str, roots))
            count = f"{without_beats} of {len(self.songs)} songs"
            logger.warning("%s: %s have no %s and never give a click", places, count, BEATS_FILE)
        if "click" in self.signals:
            # A damaged file is refused here, and not hours later in a worker.
            for song in self.songs:
                if song.beats is not None:
                    _beats(song.beats)
        self.segments = [
            Segment(song, start) for song in self.songs for start in segment_starts(song.samples, audio.segment_samples)
        ]

    @functools.cached_property
    def bpm_range(self) -> tuple[float, float] | None:
        """The lowest and highest tempo of the songs with beats, None where no click is asked for or no song has any."""
        if "click" not in self.signals:
            return None
        tempi = [_beats(song.beats).bpm for song in self.songs if song.beats is not None]
        return (round(min(tempi), 1), round(max(tempi), 1)) if tempi else None

    def __len__(self) -> int:
        return len(self.segments)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        epoch, index = key
        song, start = self.segments[index].song, self.start(epoch, index)
        name = segment_name(song.name, start, self.audio.sample_rate)
        return self.read(song, start) | {"index": index, "epoch": epoch, "name": name}

    def start(self, epoch: int, index: int) -> int:
        """First sample of an item, shifted where the data set shifts."""
        song, start = self.segments[index]
        if not self.shift:
            return start
        length = self.audio.segment_samples
        shift = int(np.random.default_rng(item_seed(self.seed, epoch, index)).integers(-(length // 2), length // 2))
        if self.offsets:
            part = (shift + length // 2) * self.offsets // length
            shift = stored_shifts(length, self.offsets)[part]
        return shifted_start(start, shift, song.samples, length)

    def read(self, song: SongFolder, start: int) -> dict[str, torch.Tensor]:
        """The `waveform` float32 (s, n) of a song from sample `start` on; `click` and `click_given` where asked for."""
        length, rate = self.audio.segment_samples, self.audio.sample_rate
        waves = [np.zeros(length, np.float32) if f is None else read_audio(f, start, length, rate) for f in song.files]
        item = {"waveform": torch.from_numpy(np.stack(waves))}
        if "click" in self.signals:
            item["click"] = torch.from_numpy(self.click(song, start))
            item["click_given"] = torch.tensor(song.beats is not None)
        return item

    def click(self, song: SongFolder, start: int) -> np.ndarray:
        """The click track of a song from sample `start` on, float32 (n,); silent where the song has no beats."""
        length, rate = self.audio.segment_samples, self.audio.sample_rate
        if song.beats is None:
            return np.zeros(length, np.float32)
        times = _beats(song.beats)
        offset = start / rate
        return click_track(times.beats - offset, times.downbeats - offset, length, rate)


@functools.lru_cache(maxsize=4096)
def _beats(path: Path) -> Beats:
    return read_beats(path)
