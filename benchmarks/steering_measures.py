"""What `bench_steering.py` measures of songs: beats, tempo, seams, distances; functions of arrays alone."""

from collections.abc import Mapping, Sequence

import librosa
import numpy as np
import torch

from synctrack.audio.mel import AudioFormat, LogMel
from synctrack.metrics.beats.madmom.tracker import MadmomTracker
from synctrack.metrics.bootstrap import bootstrap_interval
from synctrack.metrics.cbs import WINDOW_SIZE, window_beat_ratio

HOP = 160
TOLERANCE = 0.07  # seconds
TEMPO_TOLERANCE = 0.04
OCTAVES = (1 / 3, 1 / 2, 2 / 3, 1.0, 3 / 2, 2.0, 3.0)
TRACKER = MadmomTracker()


def tracked(waveforms: Mapping[str, np.ndarray], rate: int) -> dict[str, np.ndarray]:
    """The beats, in seconds, that madmom's models detect in each stem."""
    return {stem: TRACKER.track_waveform(np.asarray(wave, np.float32), rate) for stem, wave in waveforms.items()}


def synchronisation(beats: Sequence[np.ndarray], seconds: float) -> float:
    """Corrected CBS of one song; NaN where fewer than two stems have beats."""
    sounding = [times for times in beats if len(times)]
    return window_beat_ratio(sounding, seconds, WINDOW_SIZE) if len(sounding) > 1 else np.nan


def chance(beats: Sequence[Mapping[str, np.ndarray]], kept: Sequence[str], seconds: float, rounds: int = 4) -> float:
    """Corrected CBS of data whose `kept` stems are paired with the others of another song.

    With nothing kept, every stem comes from a song of its own.
    """
    values, count, stems = [], len(beats), list(beats[0])
    for shift in range(1, rounds + 1):
        for index in range(count):
            chosen = []
            for position, stem in enumerate(stems):
                step = 0 if stem in kept else shift if kept else shift * position
                chosen.append(beats[(index + step) % count][stem])
            values.append(synchronisation(chosen, seconds))
    return float(np.nanmean(values))


def strongest_period(wave: np.ndarray, rate: int, asked: float, width: float = 0.2) -> float:
    """The period, in seconds, of the highest autocorrelation of onset strength within `width` of the asked one."""
    strength = librosa.onset.onset_strength(y=wave, sr=rate, hop_length=HOP)
    strength = strength - strength.mean()
    correlation = np.correlate(strength, strength, "full")[len(strength) - 1 :]
    # Fewer frames overlap at longer lags.
    correlation = correlation / np.arange(len(strength), 0, -1)
    lags = np.arange(int(np.ceil((1 - width) * asked * rate / HOP)), int((1 + width) * asked * rate / HOP) + 1)
    best = int(lags[np.argmax(correlation[lags])])
    left, middle, right = correlation[best - 1 : best + 2]
    curvature = left - 2 * middle + right
    offset = 0.5 * (left - right) / curvature if curvature < 0 else 0.0
    return (best + float(np.clip(offset, -0.5, 0.5))) * HOP / rate


def tempo_kept(beats: np.ndarray, bpm: float) -> bool:
    """Whether the tempo of detected beats is the asked one or one of its octaves, within 4 %."""
    if len(beats) < 3:
        return False
    found = 60.0 / float(np.median(np.diff(beats)))
    return any(abs(found / (bpm * octave) - 1) <= TEMPO_TOLERANCE for octave in OCTAVES)


def f_measure(found: np.ndarray, wanted: np.ndarray) -> float:
    """F-measure of beats within ±70 ms, each matched at most once (Davies et al., 2009)."""
    import mir_eval

    return float(mir_eval.beat.f_measure(np.asarray(wanted), np.asarray(found), TOLERANCE)) if len(found) else 0.0


def best_level_f_measure(found: np.ndarray, wanted: np.ndarray) -> float:
    """The best F-measure against the wanted beats, every second of them, or twice as many: a tracker's octave."""
    doubled = np.sort(np.concatenate([wanted, (wanted[1:] + wanted[:-1]) / 2]))
    return max(f_measure(found, grid) for grid in (wanted, wanted[::2], wanted[1::2], doubled))


def flux(wave: np.ndarray, rate: int) -> np.ndarray:
    """Spectral flux of each mel frame: the mean rise of the log-mel from the frame before, (frames,)."""
    mel = log_mel(wave, rate)
    return np.concatenate([[0.0], np.maximum(np.diff(mel, axis=0), 0).mean(axis=1)])


def log_mel(wave: np.ndarray, rate: int) -> np.ndarray:
    """Natural log of mel magnitudes (frames, 64)."""
    audio = AudioFormat(sample_rate=rate, f_max=min(8000.0, rate / 2))
    return LogMel(audio)(torch.from_numpy(np.asarray(wave, np.float32))[None])[0].numpy()


def mel_distance(one: np.ndarray, other: np.ndarray, rate: int) -> float:
    """Mean absolute difference of the log-mels of two waveforms of one length."""
    return float(np.abs(log_mel(one, rate) - log_mel(other, rate)).mean())


def at_and_elsewhere(values: np.ndarray, places: Sequence[int], reach: int = 2) -> tuple[float, float]:
    """The mean over places of the largest value within `reach` frames, and the same over all other places."""
    largest = np.array([values[max(0, i - reach) : i + reach + 1].max() for i in range(len(values))])
    near = np.zeros(len(values), bool)
    for place in places:
        near[max(0, place - reach) : place + reach + 1] = True
    return float(largest[list(places)].mean()), float(largest[~near].mean())


def si_sdr(estimate: np.ndarray, truth: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., 2019)."""
    truth = truth.astype(np.float64)
    projection = truth * (estimate @ truth) / (truth @ truth + 1e-12)
    return float(10 * np.log10((projection @ projection + 1e-12) / (((estimate - projection) ** 2).sum() + 1e-12)))


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """Mean and its 95 % bootstrap interval over items; NaN are left out."""
    known = np.array([value for value in values if np.isfinite(value)], float)
    if not len(known):
        return (np.nan, np.nan, np.nan)
    low, high = bootstrap_interval(lambda rounds: known[rounds].mean(axis=1), len(known), seed)
    return float(known.mean()), low, high
