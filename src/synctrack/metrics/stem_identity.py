"""Stem identity: the share of generated stems that a classifier, trained on data, assigns to the right instrument.

The classifier is a logistic regression on mean, standard deviation and mean absolute difference in time of each log-mel
band, invariant to loudness. A silent stem counts as misclassified. `experiments/stem_identity.py` is its command.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from synctrack.audio.mel import AudioFormat, LogMel
from synctrack.errors import InputError
from synctrack.metrics.bootstrap import bootstrap_interval
from synctrack.metrics.summary import SILENCE_PEAK

LOUDNESS = 0.1  # root mean square to which stems are normalised
RANGE = np.log(100)  # 40 dB below a mel's maximum: the faint noise of a vocoder is below and must not decide
REACH = 4.0  # standard deviations

_log_mel = cache(LogMel)


def _is_silent(waveform: np.ndarray) -> bool:
    return bool(np.abs(waveform).max() < SILENCE_PEAK)


def features(waveform: np.ndarray, audio: AudioFormat) -> np.ndarray:
    """Waveform (n,) -> (3 · n_mels,): mean, standard deviation and mean absolute difference of each log-mel band."""
    level = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))
    mel = _log_mel(audio)(torch.from_numpy(waveform * (LOUDNESS / max(level, 1e-9)))).numpy()
    mel = np.maximum(mel, mel.max() - RANGE)
    mel -= mel.mean()
    return np.concatenate([mel.mean(axis=0), mel.std(axis=0), np.abs(np.diff(mel, axis=0)).mean(axis=0)])


def train(clips: Iterable[np.ndarray], stems: Sequence[str], audio: AudioFormat) -> Pipeline:
    """Train the classifier on clips (s, n) of music, without their silent stems.

    Raises:
        InputError: a stem is silent in all clips.
    """
    active = [(features(wave, audio), i) for clip in clips for i, wave in enumerate(clip) if not _is_silent(wave)]
    labels = {label for _, label in active}
    inactive = [stem for i, stem in enumerate(stems) if i not in labels]
    if inactive:
        raise InputError(f"training data: {', '.join(inactive)} is silent in all clips; name other data or stems")
    # Generated stems can be far from all data; then no single band may decide alone.
    bound = FunctionTransformer(np.clip, kw_args={"a_min": -REACH, "a_max": REACH})
    classifier = make_pipeline(StandardScaler(), bound, LogisticRegression(C=0.1, max_iter=1000))
    return classifier.fit(*zip(*active, strict=True))


def assigned(classifier: Pipeline, clips: Iterable[np.ndarray], audio: AudioFormat) -> np.ndarray:
    """Classify each stem of the clips (s, n) -> (clips, s): the position of a stem's name, s where it is silent."""

    def name(wave: np.ndarray, silence: int) -> int:
        return silence if _is_silent(wave) else int(classifier.predict([features(wave, audio)])[0])

    return np.array([[name(wave, len(clip)) for wave in clip] for clip in clips])


def share(classifier: Pipeline, clips: Iterable[np.ndarray], stems: Sequence[str], audio: AudioFormat) -> dict:
    """Classify each stem of the clips (s, n) -> the `share` classified correctly, its interval and the counts.

    `confusion` has a row for each stem: how often it was assigned to each of `stems`, in order, or was silent.
    """
    silence, named = len(stems), assigned(classifier, clips, audio)
    right = named == np.arange(silence)
    return {
        "share": float(right.mean()),
        "interval_95": bootstrap_interval(lambda rounds: right[rounds].mean(axis=(1, 2)), len(right), seed=0),
        "stems": dict(zip(stems, right.mean(axis=0).tolist(), strict=True)),
        "clips": len(named),
        "silent": int((named == silence).sum()),
        "confusion": [np.bincount(column, minlength=silence + 1).tolist() for column in named.T],
    }


def report(title: str, result: dict[str, Any]) -> str:
    """A result of `share` as a line and an aligned table."""
    counts = f"{result['clips']} clips x {len(result['stems'])} stems, {result['silent']} silent"
    interval = " to ".join(f"{bound:.1%}" for bound in result["interval_95"])
    chance = 1 / len(result["stems"])
    line = f"{title}: {result['share']:.1%} ({interval}) classified correctly, chance {chance:.0%}; {counts}"
    rows = [["stem", *result["stems"], "silent", "correct"]]
    for (stem, right), names in zip(result["stems"].items(), result["confusion"], strict=True):
        rows.append([stem, *map(str, names), f"{right:.0%}"])
    return "\n".join([line, *("".join(cell.rjust(10) for cell in row) for row in rows)])
