"""Audio files as the tracker receives them: one channel at 44.1 kHz, decoded and resampled in process.

madmom reads WAV files of 44.1 kHz in their own sample type and everything else through the ffmpeg program, as 16-bit
integers. The same steps are taken here with libsndfile and without ffmpeg: the samples that reach the networks are the
same, rounding included.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synctrack.audio.files import read_channels
from synctrack.metrics.beats.madmom.resampling import INT16_STEPS, resample

SAMPLE_RATE = 44100
WIDE_SUBTYPES = ("FLOAT", "DOUBLE", "PCM_32")


@dataclass(frozen=True)
class Audio:
    """One file as it is.

    Attributes:
        channels: (n, channels) float32, full scale 1.
        rate: Hz.
        container: libsndfile's name of the file's format, such as WAV.
        subtype: libsndfile's name of the sample type, such as PCM_16.
    """

    channels: np.ndarray
    rate: int
    container: str
    subtype: str

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.channels) / self.rate

    @property
    def peak(self) -> float:
        """Highest absolute sample of any channel."""
        return float(np.abs(self.channels).max(initial=0.0))


def decode(path: Path) -> Audio:
    """Decode one file.

    Raises:
        InputError: as `read_channels`.
    """
    return Audio(*read_channels(path))


def as_madmom_reads(audio: Audio) -> np.ndarray:
    """(n,) float32 of full scale 1: one channel at SAMPLE_RATE, with madmom's conversions of sample types."""
    sixteen_bit = audio.subtype == "PCM_16"
    if audio.rate == SAMPLE_RATE and audio.container in ("WAV", "WAVEX"):
        if audio.subtype in WIDE_SUBTYPES:
            return audio.channels.mean(axis=1)
        if sixteen_bit:
            # madmom casts the mean of the channels back to integers, which cuts towards zero.
            steps = np.trunc(audio.channels.mean(axis=1, dtype=np.float64) * INT16_STEPS)
            return (steps / (INT16_STEPS - 1)).astype(np.float32)
    return (_as_ffmpeg(audio, sixteen_bit) / (INT16_STEPS - 1)).astype(np.float32)


def _as_ffmpeg(audio: Audio, sixteen_bit: bool) -> np.ndarray:
    """The 16-bit steps (n,) that ffmpeg makes of a file: one channel at SAMPLE_RATE."""
    scaled = audio.channels.T * float(INT16_STEPS)
    channels = [resample(channel, audio.rate, SAMPLE_RATE, sixteen_bit) for channel in scaled]
    if sixteen_bit:
        channels = [np.floor(channel + 0.5) for channel in channels]
    return np.clip(np.floor(sum(channels) / len(channels) + 0.5), -INT16_STEPS, INT16_STEPS - 1)
