"""Cross-stem beat synchronisation (CBS): how often the stems of a song have their beats together. Higher is better.

    song = mean over the windows in which any stem has a beat of (stems with a beat in the window / stems with a beat)
    CBS  = mean over songs

The windows are [i w, (i+1) w), i = 0 … ⌈(D - w) / w⌉, with w the window size and D the longest stem's duration. Stems
without any beat are not counted; songs with fewer than two stems with beats are left out.

Source: SyncTrack (section on rhythm metrics); the published evaluation runs it in protocol `paper`, w = 0.15 s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

WINDOW_SIZE = 0.15


@dataclass(frozen=True)
class BeatSynchrony:
    """Result of `cbs`.

    Attributes:
        mean_beat_ratio: the CBS; NaN where no song has two stems with beats.
        song_beat_ratio: per song; songs that are left out are missing.
    """

    mean_beat_ratio: float
    song_beat_ratio: dict[str, float]


def window_beat_ratio(stems: Sequence[np.ndarray], duration: float, window_size: float) -> float:
    """One song's mean share of stems that have a beat in the windows where any has.

    Args:
        stems: beat times in seconds of each stem that has at least one beat.
        duration: seconds, of the longest stem.
        window_size: seconds.

    Returns:
        A number in (0, 1]; NaN where every beat lies after the last window.
    """
    num_windows = int(np.ceil((duration - window_size) / window_size)) + 1
    edges = np.arange(num_windows + 1) * window_size
    hits = np.zeros((len(stems), num_windows), bool)
    for hit, stem in zip(hits, stems, strict=True):
        windows = np.searchsorted(edges, stem, side="right") - 1
        hit[windows[windows < num_windows]] = True
    ratio = hits.mean(axis=0)
    return float(ratio[ratio > 0].mean()) if ratio.any() else np.nan


def cbs(
    songs: Mapping[str, Sequence[np.ndarray]],
    durations: Mapping[str, float],
    window_size: float = WINDOW_SIZE,
) -> BeatSynchrony:
    """Score songs by the coincidence of their stems' beats.

    Args:
        songs: for each song the beat times in seconds of its stems, each a (beats,) ascending array.
        durations: for each song the duration of its longest stem in seconds.
        window_size: seconds, above 0.

    Raises:
        ValueError: the window size is not a positive number.
    """
    if not window_size > 0:
        raise ValueError(f"window size must be above 0 seconds, not {window_size}")
    ratios = {}
    for song, stems in songs.items():
        valid = [stem for stem in stems if len(stem)]
        if len(valid) >= 2:
            ratio = window_beat_ratio(valid, durations[song], window_size)
            if np.isfinite(ratio):
                ratios[song] = ratio
    return BeatSynchrony(float(np.mean(list(ratios.values()))) if ratios else np.nan, ratios)
