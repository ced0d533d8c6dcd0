"""Reading and writing audio files: files at any rate → mono waveform (n,), and waveform → WAV or FLAC."""

import contextlib
import math
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from synctrack.errors import InputError
from synctrack.files import atomic_path, require_ordinary

NOT_NUMBERS = "holds samples that are not numbers; replace it or leave it out"
CUT_OFF = "is cut off or damaged (holds less than its header states); replace it or leave it out"
# Source context read on each side of a segment, so that it equals a slice of the whole file resampled.
RESAMPLE_MARGIN_SECONDS = 0.05
PEAK_DBFS = -1.0
RATES = (1000, 768_000)
"""The lowest and highest sample rate, in Hz, that is not taken as damage."""
MOST_SECONDS, MOST_SAMPLES = 4 * 3600, 2**29
"""Longer files, or those with more samples over all channels, are refused: they are read into memory whole."""
BLOCK = 2**20  # samples that are written at once
IN_MEMORY = 2**26  # bytes; longer waveforms lie in a temporary file
PCM_BITS = {"PCM_16": 16, "PCM_24": 24}
FLOATS = ("FLOAT", "DOUBLE")


class AudioInfo(NamedTuple):
    """Sample rate in Hz, and `num_samples` samples per channel at that rate."""

    sample_rate: int
    num_samples: int

    @property
    def seconds(self) -> float:
        return self.num_samples / self.sample_rate

    def num_samples_at(self, sample_rate: int) -> int:
        """Number of whole samples at another rate."""
        return self.num_samples * sample_rate // self.sample_rate


class WholeFile(NamedTuple):
    """All that an audio file holds: `samples` float32 (num_samples, channels), and how they are stored."""

    samples: np.ndarray
    sample_rate: int
    file_format: str
    subtype: str


def read_channels(path: str | Path) -> WholeFile:
    """Read a whole audio file as it is, at its own rate and with all its channels.

    Raises:
        InputError: as `audio_info`; or it holds samples that are not numbers.
    """
    with _open(path) as file:
        if file.format == "MP3":
            # It does not know its length exactly.
            samples = file.read(dtype="float32", always_2d=True)
        else:
            samples = _read_frames(file, 0, file.frames)
        if not np.isfinite(samples).all():
            raise InputError(f"{path}: {NOT_NUMBERS}")
        return WholeFile(samples, file.samplerate, file.format, file.subtype)


def audio_info(path: str | Path) -> AudioInfo:
    """Rate and length of an audio file, checked for completeness without reading all of it.

    Raises:
        InputError: missing, no ordinary file, not audio, empty, shorter than its header states, too long to be read, or
            of a sample rate that cannot be right.
    """
    with _open(path) as file:
        if file.format != "MP3":
            # A cut FLAC keeps the length of its header: only reading the last sample shows whether it is complete.
            _read_frames(file, file.frames - 1, 1)
        return AudioInfo(file.samplerate, file.frames)


def is_complete(path: str | Path) -> bool:
    """Whether `audio_info` finds nothing wrong with a file."""
    try:
        audio_info(path)
    except InputError:
        return False
    return True


def read_audio(path: str | Path, start: int, num_samples: int, sample_rate: int) -> np.ndarray:
    """Read `num_samples` samples at `sample_rate` Hz from sample `start` on, as mono float32 (num_samples,).

    Channels are averaged. Only the part needed is read; the result equals a slice of the whole file resampled. Where
    rounding between the rates makes the file end one sample early, that sample is zero.

    Raises:
        InputError: as `audio_info`; shorter than `start + num_samples`; or samples are not numbers.
    """
    with _open(path) as file:
        # Source frame `k * down` falls exactly on target sample `k * up`; reading starts at such a frame.
        common = math.gcd(file.samplerate, sample_rate)
        up, down = sample_rate // common, file.samplerate // common
        k = max(0, (start - math.ceil(RESAMPLE_MARGIN_SECONDS * sample_rate)) // up)
        last = math.ceil(((start + num_samples) / sample_rate + RESAMPLE_MARGIN_SECONDS) * file.samplerate)
        mono = _read_frames(file, k * down, min(last, file.frames) - k * down).mean(axis=1)
        if file.samplerate != sample_rate:
            mono = soxr.resample(mono, file.samplerate, sample_rate)
    wave = mono[start - k * up :][:num_samples]
    if len(wave) < num_samples - 1:
        missing = (num_samples - len(wave)) / sample_rate
        raise InputError(f"{path}: ends {missing:.3f} s before its segment does; replace it or leave it out")
    if not np.isfinite(wave).all():
        raise InputError(f"{path}: {NOT_NUMBERS}")
    return np.pad(wave, (0, num_samples - len(wave)))


def write_wav(path: str | Path, waveform: np.ndarray, sample_rate: int) -> None:
    """Write a waveform (n,) as a mono 16-bit WAV (FLAC by its suffix), clipped to [-1, 1], whole or not at all.

    Raises:
        InputError: the place cannot be written.
    """
    write_audio(path, waveform, sample_rate, "PCM_16")


def write_audio(path: str | Path, waveform: np.ndarray, sample_rate: int, subtype: str, exact: bool = False) -> None:
    """Write a waveform, clipped to [-1, 1] unless `exact` says otherwise, whole or not at all.

    Args:
        path: where; its suffix decides the container.
        waveform: (n,), or (n, channels); full scale 1.
        sample_rate: Hz.
        subtype: libsndfile's name of the sample type, such as `PCM_16`, `PCM_24` or `FLOAT`.
        exact: write samples that were read from a file of this sample type as what they were: the very integers
            (otherwise libsndfile scales by 32767 where reading divides by 32768), or floats beyond full scale too.

    Raises:
        InputError: the place cannot be written, or samples are not numbers.
    """
    suffix = Path(path).suffix
    channels = 1 if waveform.ndim == 1 else waveform.shape[1]
    with atomic_path(path) as temporary:
        try:
            with soundfile.SoundFile(temporary, "w", sample_rate, channels, subtype, format=suffix[1:].upper()) as file:
                for begin in range(0, len(waveform), BLOCK):
                    block = waveform[begin : begin + BLOCK]
                    if not np.isfinite(block).all():
                        raise InputError(f"{path}: its samples from {begin} on are not all numbers; it is not written")
                    file.write(_integers(block, subtype) if exact else np.clip(block, -1.0, 1.0))
        except soundfile.SoundFileError as error:
            # libsndfile reports a full disk as "System error." only.
            raise OSError(f"{error} Is there room?") from error


def new_waveforms(shape: tuple[int, ...]) -> np.ndarray:
    """Zeros of float32; in a temporary file, which the system removes, where they would take much memory.

    Raises:
        InputError: there is no room for the file.
    """
    size = 4 * math.prod(shape)
    if size <= IN_MEMORY:
        return np.zeros(shape, np.float32)
    try:
        with tempfile.TemporaryFile() as file:
            # The room is taken at once: a map of a file without it kills the process where it is written.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return np.memmap(file, np.float32, "r+", shape=shape)
    except OSError as error:
        reason = f"cannot hold {size / 1e6:.0f} MB of samples ({error.strerror or error})"
        raise InputError(f"{tempfile.gettempdir()}: {reason}; free space there, or set TMPDIR") from error


def peak_gain(waveforms: Iterable[np.ndarray], peak_dbfs: float = PEAK_DBFS) -> float:
    """The common gain, at most 1, that brings the loudest of `waveforms` (n,) to at most `peak_dbfs` dBFS."""
    loudest = max(float(max(wave.max(initial=0.0), -wave.min(initial=0.0))) for wave in waveforms)
    limit = 10 ** (peak_dbfs / 20)
    # Tolerance, so that rounding does not scale again what this gain was already applied to.
    return limit / loudest if loudest > limit * (1 + 1e-6) else 1.0


def _integers(waveform: np.ndarray, subtype: str) -> np.ndarray:
    """Samples in the upper bits of 32-bit integers, as libsndfile takes them; floats stay as they are."""
    if subtype in FLOATS:
        return waveform
    if subtype not in PCM_BITS:
        return np.clip(waveform, -1.0, 1.0)
    full = 2 ** (PCM_BITS[subtype] - 1)
    steps = np.clip(np.rint(waveform * float(full)), -full, full - 1).astype(np.int64)
    return (steps << (32 - PCM_BITS[subtype])).astype(np.int32)


def _open(path: str | Path) -> soundfile.SoundFile:
    """The only way in which audio is opened: an ordinary file whose header is within bounds."""
    path = Path(path)
    require_ordinary(path)
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
        reason = "is not there" if not path.exists() else "is not a readable audio file"
        raise InputError(f"{path}: {reason}; replace it or leave it out") from error
    problem = _problem(file)
    if problem:
        file.close()
        raise InputError(f"{path}: {problem}")
    return file


def _problem(file: soundfile.SoundFile) -> str:
    """What is wrong with an audio file by its header; empty where nothing is."""
    # libsndfile silently truncates the length of a cut WAV; only its log tells. A length near 0xFFFFFFFF means
    # unknown: programs that write to a pipe set it.
    claim = re.search(r"^data : (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    if claim and int(claim[2]) < int(claim[1]) < 0xFFFFFFF0:
        return CUT_OFF
    if not 0 < file.frames < 2**40:
        return "holds no audio of known length; replace it or leave it out"
    if not RATES[0] <= file.samplerate <= RATES[1]:
        return f"has a sample rate of {file.samplerate} Hz, not {RATES[0]} to {RATES[1]}; replace it or leave it out"
    if file.frames > MOST_SECONDS * file.samplerate or file.frames * file.channels > MOST_SAMPLES:
        length = f"{file.frames / file.samplerate / 3600:.3g} h in {file.channels} channels"
        return f"is too long ({length}; {MOST_SECONDS // 3600} h and {MOST_SAMPLES} samples at most); cut it"
    return ""


def _read_frames(file: soundfile.SoundFile, first: int, count: int) -> np.ndarray:
    """Frames [first, first + count) as float32 (count, channels)."""
    source = np.empty((0, file.channels), np.float32)
    with contextlib.suppress(soundfile.SoundFileError, MemoryError):
        file.seek(min(first, file.frames))
        source = file.read(max(count, 0), dtype="float32", always_2d=True)
    if len(source) < count:
        raise InputError(f"{file.name}: {CUT_OFF}")
    return source
