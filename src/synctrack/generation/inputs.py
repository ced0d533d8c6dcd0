"""Audio that a person gives: any file or array of any rate, channels and length, as mono at the model's rate."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from synctrack.audio.files import RATES, audio_info, read_audio
from synctrack.errors import InputError
from synctrack.files import sha256

QUIETEST = 2.0**-15
"""Audio that nowhere reaches this, one step of 16 bits, counts as silent."""
LOUDEST = 100.0
"""Audio beyond this, 40 dB above full scale, is of another scale, such as that of 16-bit integers."""

NOT_AUDIO = "must be a path, an array of samples, or a pair of an array and its rate"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GivenAudio:
    """Audio as the model takes it.

    Attributes:
        waveform: (n,) float32 at the model's rate.
        facts: where it came from, for `song.json`: `path` and `sha256` of a file, `sha256` of an array's float32 bytes.
    """

    waveform: np.ndarray
    facts: dict[str, Any]


def read_given(name: str, source: Any, sample_rate: int, shortest: int) -> GivenAudio:
    """Audio from a path, an array at the model's rate, or a pair of an array and its rate.

    Channels are averaged; audio at another rate is resampled. At the model's rate, mono samples are kept as they are.

    Args:
        name: of the option, for messages.
        source: path, array (num_samples,) or (channels, num_samples), or (array, rate).
        sample_rate: the model's, in Hz.
        shortest: the number of samples that it must have at least.

    Raises:
        InputError: it cannot be read, holds samples that are not numbers, is too short, or is silent.
    """
    if isinstance(source, str | Path):
        info = audio_info(source)
        waveform = read_audio(source, 0, info.num_samples_at(sample_rate), sample_rate)
        path = Path(source)
        facts = {"path": str(path.resolve()), "sha256": sha256(path)}
        name = f"{name}: {path}"
    else:
        if isinstance(source, tuple) and len(source) != 2:
            raise InputError(f"{name}: {NOT_AUDIO}")
        array, rate = source if isinstance(source, tuple) else (source, sample_rate)
        waveform = _mono(name, array, rate, sample_rate)
        facts = {"sha256": hashlib.sha256(waveform.tobytes()).hexdigest()}
    if len(waveform) < shortest:
        need = f"{shortest / sample_rate:g} s, a frame of the model"
        raise InputError(f"{name}: is {len(waveform) / sample_rate:g} s long; it must have {need}, or more")
    peak = float(np.abs(waveform).max())
    if peak < QUIETEST:
        raise InputError(f"{name}: is silent; leave it out, or give audio")
    if peak > LOUDEST:
        raise InputError(f"{name}: reaches {peak:.6g}; full scale is 1: divide it by the scale that it has")
    return GivenAudio(waveform, facts)


def fitted(name: str, waveform: np.ndarray, num_samples: int, sample_rate: int) -> np.ndarray:
    """The waveform (n,) cut or padded with silence to `num_samples`; says so."""
    difference = len(waveform) - num_samples
    seconds = abs(difference) / sample_rate
    if difference > 0:
        logger.warning("%s: is longer than the song; its last %.3g s are cut", name, seconds)
        return waveform[:num_samples]
    if difference < 0:
        logger.warning("%s: is shorter than the song; %.3g s of silence follow it", name, seconds)
        return np.pad(waveform, (0, -difference))
    return waveform


def _mono(name: str, array: Any, rate: Any, sample_rate: int) -> np.ndarray:
    if isinstance(array, np.ndarray) and not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{name}: holds {array.dtype}, of which the scale is not known; give floats, full scale 1")
    try:
        waveform = np.asarray(array, np.float32)
        rate = int(rate)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {NOT_AUDIO}") from error
    if waveform.ndim == 2:
        if waveform.shape[0] > waveform.shape[1]:
            raise InputError(f"{name}: has the shape {waveform.shape}; it must be (channels, num_samples)")
        waveform = waveform.mean(axis=0)
    if waveform.ndim != 1 or not RATES[0] <= rate <= RATES[1]:
        found = f"shape {waveform.shape} and rate {rate}"
        raise InputError(f"{name}: has {found}; it must be (num_samples,) at {RATES[0]} to {RATES[1]} Hz")
    if not np.isfinite(waveform).all():
        raise InputError(f"{name}: holds samples that are not numbers")
    return waveform if rate == sample_rate else soxr.resample(waveform, rate, sample_rate)
