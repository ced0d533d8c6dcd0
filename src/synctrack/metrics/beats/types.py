"""What a beat tracker is and what it gives: the types that trackers, cache and metrics share."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from synctrack.errors import InputError
from synctrack.metrics.beats.layout import Layout

# Frames per second passed to the decoder, whose input has 100 activations per second: `paper` is the published
# evaluation's mistake, with which all times are 2/3 of the true ones and the tempo limits are 20 to 200 BPM.
PROTOCOL_FPS = {"paper": 150.0, "corrected": 100.0}


@dataclass(frozen=True)
class FileBeats:
    """What is known of one file.

    Attributes:
        duration: seconds.
        peak: highest absolute sample, full scale 1; NaN where there is no audio.
        beats: protocol → (beats,) ascending times in seconds.
    """

    duration: float
    peak: float
    beats: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class StemBeats:
    """The beats of every file of a folder of stems.

    Attributes:
        stems: names of the stems, in order.
        files: song → stem → what is known of that file; songs that some stem lacks are here as well.
        protocols: the protocols for which there are beats, in order.
        tracker: name and version of what found the beats.
        unreadable: file → why it was skipped.
        layout: the files that the beats were found in; None where they were given.
    """

    stems: Sequence[str]
    files: Mapping[str, Mapping[str, FileBeats]]
    protocols: Sequence[str]
    tracker: str
    unreadable: Mapping[str, str] = field(default_factory=dict)
    layout: Layout | None = None

    def __post_init__(self) -> None:
        if not self.songs:
            skipped = f" ({next(iter(self.unreadable.values()))})" if self.unreadable else ""
            stems = ", ".join(self.stems)
            raise InputError(f"no file name is common to all of the stems {stems}: nothing to compare{skipped}")

    @functools.cached_property
    def songs(self) -> list[str]:
        """The songs that every stem has."""
        return [song for song, stems in self.files.items() if len(stems) == len(self.stems)]

    @property
    def incomplete(self) -> list[str]:
        """The songs that some stem lacks."""
        return [song for song, stems in self.files.items() if len(stems) < len(self.stems)]

    @property
    def readable(self) -> "Layout | None":
        """The files, without the unreadable ones; None where beats were given without audio."""
        return self.layout.without(self.unreadable) if self.layout is not None else None

    @functools.cached_property
    def durations(self) -> dict[str, float]:
        """Per song that every stem has, the duration of its longest stem in seconds."""
        return {song: max(file.duration for file in self.files[song].values()) for song in self.songs}

    def only(self, stems: Sequence[str]) -> "StemBeats":
        """The same of these stems alone, in this order. Raises InputError where one is missing."""
        missing = [stem for stem in stems if stem not in self.stems]
        if missing:
            raise InputError(f"--stems: there are no beats of {', '.join(missing)}; stems are {', '.join(self.stems)}")
        chosen = {song: {s: files[s] for s in stems if s in files} for song, files in self.files.items()}
        return replace(self, stems=tuple(stems), files={song: files for song, files in chosen.items() if files})

    def by_song(self, protocol: str) -> dict[str, list[np.ndarray]]:
        """Per song that every stem has, the beat times in seconds of its stems, in the order of `stems`."""
        return {song: [self.files[song][stem].beats[protocol] for stem in self.stems] for song in self.songs}

    def by_stem(self, protocol: str) -> dict[str, list[np.ndarray]]:
        """Per stem, the beat times in seconds of all its files."""
        return {
            stem: [files[stem].beats[protocol] for files in self.files.values() if stem in files] for stem in self.stems
        }


class Tracker(Protocol):
    """Finds the beats of one file at a time; called from several threads.

    Attributes:
        version: name and version; beats cached for another version are not used.
        protocols: what `track_file` gives beats for.
    """

    version: str
    protocols: Sequence[str]

    def track_file(self, path: Path) -> FileBeats:
        """Track one file. Raises InputError where it cannot be read."""
        ...

    def track_bars(self, waveform: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
        """Beats and downbeats of a waveform (n,), true times in seconds; no downbeats where it finds no bars."""
        ...


def choose_protocols(available: Sequence[str], asked: str | None, default: str) -> tuple[str, ...]:
    """The protocols to score: those asked for, or else the default as far as the beats have it.

    Args:
        available: what the beats have; trackers other than madmom and given beats know no `paper`.
        asked: a protocol, `both`, or None if the user did not choose one.
        default: the protocol in that case.

    Raises:
        InputError: the beats do not have what was asked for.
    """
    wanted = tuple(PROTOCOL_FPS) if (asked or default) == "both" else (asked or default,)
    if set(wanted) <= set(available):
        return wanted
    if asked is None:
        return tuple(available)
    raise InputError(f"--protocol {asked}: these beats come in protocol {' and '.join(available)} only; leave it out")
