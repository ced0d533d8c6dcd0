"""A click track: a metronome that sounds on every beat, higher and louder on downbeats."""

import numpy as np

BEAT_HZ, DOWNBEAT_HZ = 1000.0, 1600.0
BEAT_LEVEL, DOWNBEAT_LEVEL = 0.4, 0.8
DECAY_SECONDS = 0.02
CLICK_SECONDS = 0.1


def click_track(beats: np.ndarray, downbeats: np.ndarray, num_samples: int, sample_rate: int) -> np.ndarray:
    """Render a click track.

    Args:
        beats: times in seconds; those before 0 or past the end sound as far as they reach into the track.
        downbeats: times of the beats that are accented; the others are not.
        num_samples: length of the track.
        sample_rate: Hz.

    Returns:
        float32 (num_samples,), full scale 1.
    """
    track = np.zeros(num_samples, np.float32)
    accented = set(np.round(np.asarray(downbeats) * sample_rate).astype(int).tolist())
    plain, accent = _click(BEAT_HZ, BEAT_LEVEL, sample_rate), _click(DOWNBEAT_HZ, DOWNBEAT_LEVEL, sample_rate)
    for start in np.round(np.asarray(beats) * sample_rate).astype(int).tolist():
        sound = accent if start in accented else plain
        first, last = max(start, 0), min(start + len(sound), num_samples)
        if first < last:
            track[first:last] += sound[first - start : last - start]
    return track


def _click(frequency: float, level: float, sample_rate: int) -> np.ndarray:
    t = np.arange(round(CLICK_SECONDS * sample_rate)) / sample_rate
    return (level * np.exp(-t / DECAY_SECONDS) * np.sin(2 * np.pi * frequency * t)).astype(np.float32)
