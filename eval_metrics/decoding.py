"""Audio files as the tracker hears them: one channel at 44.1 kHz, decoded and resampled in process.

madmom reads WAV files of 44.1 kHz in their own sample type and everything else through the ffmpeg program, as 16-bit
integers. The same steps are taken here with libsndfile and without ffmpeg: the samples that reach the networks are the
same, rounding included.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from eval_metrics.resampling import INT16_STEPS, resample
from synctrack.errors import InputError

SAMPLE_RATE = 44100
WIDE_SUBTYPES = ("FLOAT", "DOUBLE", "PCM_32")
OWN_SUBTYPES = (*WIDE_SUBTYPES, "PCM_16")


@dataclass(frozen=True)
class Sound:
    """One decoded file.

    Attributes:
        samples: (n,) float32, mono at 44.1 kHz; full scale is 1.
        duration: seconds, of the file as it is.
        peak: highest absolute sample of any channel of the file; full scale is 1.
    """

    samples: np.ndarray
    duration: float
    peak: float


def _as_ffmpeg(data: np.ndarray, rate: int, sixteen_bit: bool) -> np.ndarray:
    """The 16-bit steps (n,) that ffmpeg makes of channels (n, c) of full scale 1: one channel at SAMPLE_RATE."""
    channels = [resample(channel * float(INT16_STEPS), rate, SAMPLE_RATE, sixteen_bit) for channel in data.T]
    if sixteen_bit:
        channels = [np.floor(channel + 0.5) for channel in channels]
    return np.clip(np.floor(sum(channels) / len(channels) + 0.5), -INT16_STEPS, INT16_STEPS - 1)


def read_sound(path: Path) -> Sound:
    """Decode one file.

    Raises:
        InputError: the file is missing, is not audio that libsndfile reads, or holds samples that are not numbers.
    """
    try:
        with soundfile.SoundFile(path) as file:
            rate, subtype = file.samplerate, file.subtype
            own_type = rate == SAMPLE_RATE and file.format in ("WAV", "WAVEX") and subtype in OWN_SUBTYPES
            data = file.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{path}: cannot be read as audio ({error})") from error
    peak = float(np.abs(data).max(initial=0.0))
    if not np.isfinite(peak):
        raise InputError(f"{path}: holds samples that are not numbers")
    sixteen_bit = subtype == "PCM_16"
    if not own_type:
        samples = _as_ffmpeg(data, rate, sixteen_bit) / (INT16_STEPS - 1)
    elif subtype in WIDE_SUBTYPES:
        samples = data.mean(axis=1)
    else:
        # madmom casts the mean of the channels back to integers, which cuts towards zero.
        samples = np.trunc(data.mean(axis=1, dtype=np.float64) * INT16_STEPS) / (INT16_STEPS - 1)
    return Sound(samples.astype(np.float32), len(data) / rate, peak)
