"""Segments of four-stem (or n-stem) songs as waveforms, the raw material of training and evaluation."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from synctrack.audio import AudioFormat, read_audio
from synctrack.data.segments import segment_name, segment_starts, shifted_start
from synctrack.data.tracks import MissingStem, Track, TrackRules, find_tracks
from synctrack.seeding import item_seed

logger = logging.getLogger(__name__)


class Segment(NamedTuple):
    """One segment before shifting: `start` in samples at the model's rate."""

    track: Track
    start: int


class StemDataset(Dataset):
    """Segments of the tracks in `roots`, indexed by (epoch, index).

    An item is a dict: `waveform` float32 (s, n) in the order of `stems`, `index`, `epoch`, and `name`,
    `<track>_from_<seconds>`. With `shift`, each segment is moved by up to half its length; how far depends on
    (seed, epoch, index) alone, so that any worker, rank or resumed run reads the same.

    Attributes:
        segments: all segments, in the order of roots, track names and time.
        report: what was kept and what was left out.

    Raises:
        InputError: no root, a root that is missing or without a usable track, stems of different length in
            one track, a stem that is there twice, or (unreadable="refuse") an unreadable file.
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
        max_seconds: float = 640.0,
    ):
        self.audio = audio
        self.shift = shift
        self.seed = seed
        roots = [Path(root) for root in ([roots] if isinstance(roots, str | Path) else roots)]
        rules = TrackRules(tuple(stems), audio, missing_stem, unreadable, max_seconds)
        tracks, self.report = find_tracks(roots, rules)
        if self.report.left_out:
            logger.warning("%s: %s", ", ".join(map(str, roots)), self.report)
        self.segments = [
            Segment(track, start) for track in tracks for start in segment_starts(track.samples, audio.segment_samples)
        ]

    def __len__(self) -> int:
        return len(self.segments)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        epoch, index = key
        track, start = self.segments[index]
        if self.shift:
            start = self._shifted(epoch, index)
        return {
            "waveform": torch.stack([self._read(file, start) for file in track.files]),
            "index": index,
            "epoch": epoch,
            "name": segment_name(track.name, start, self.audio.sample_rate),
        }

    def _shifted(self, epoch: int, index: int) -> int:
        track, start = self.segments[index]
        length = self.audio.segment_samples
        drawn = np.random.default_rng(item_seed(self.seed, epoch, index)).integers(-(length // 2), length // 2)
        return shifted_start(start, int(drawn), track.samples, length)

    def _read(self, file: Path | None, start: int) -> torch.Tensor:
        if file is None:
            return torch.zeros(self.audio.segment_samples)
        return torch.from_numpy(read_audio(file, start, self.audio.segment_samples, self.audio.sample_rate))
