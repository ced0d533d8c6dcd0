"""Audio files as the tracker hears them: one channel at 44.1 kHz, decoded and resampled in process.

madmom reads WAV files of 44.1 kHz in their own sample type and everything else through the ffmpeg program, as 16-bit
integers. The same steps are taken here with libsndfile and soxr, so that ffmpeg is not needed: the levels that reach
the networks are madmom's, rounding included.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from synctrack.errors import InputError

SAMPLE_RATE = 44100
WIDE_SUBTYPES = ("FLOAT", "DOUBLE", "PCM_32")
INT16_STEPS = 32768


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


def read_sound(path: Path) -> Sound:
    """Decode one file.

    Raises:
        InputError: the file is missing, is not audio that libsndfile reads, or holds samples that are not numbers.
    """
    try:
        with soundfile.SoundFile(path) as file:
            rate, subtype = file.samplerate, file.subtype
            own_type = rate == SAMPLE_RATE and file.format in ("WAV", "WAVEX")
            data = file.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{path}: cannot be read as audio ({error})") from error
    peak = float(np.abs(data).max(initial=0.0))
    if not np.isfinite(peak):
        raise InputError(f"{path}: holds samples that are not numbers")
    samples = data[:, 0] if data.shape[1] == 1 else data.mean(axis=1, dtype=np.float64)
    if not (own_type and subtype in WIDE_SUBTYPES):
        # madmom casts the mean of 16-bit channels back to integers, which cuts towards zero; ffmpeg rounds.
        to_steps = np.trunc if own_type and subtype == "PCM_16" else np.rint
        resampled = samples if rate == SAMPLE_RATE else soxr.resample(samples, rate, SAMPLE_RATE)
        steps = np.clip(to_steps(resampled * INT16_STEPS), -INT16_STEPS, INT16_STEPS - 1)
        samples = steps / (INT16_STEPS - 1)
    return Sound(samples.astype(np.float32), len(data) / rate, peak)
