"""Stems brought back into time: shifted, and stretched without change of pitch where they drift."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile

from synctrack.audio.files import read_channels, write_audio
from synctrack.errors import InputError
from synctrack.files import atomic_path
from synctrack.locks import locked_empty
from synctrack.metrics.beats.layout import Layout
from synctrack.metrics.check.stretch import stretch
from synctrack.metrics.check.timing import StemTiming

LOSSY_SUFFIXES = (".ogg", ".mp3")
"""Formats in which writing a mended stem would lose again."""


def mend(samples: np.ndarray, rate: int, timing: StemTiming) -> np.ndarray:
    """Samples (n,) or (n, channels) with the lag of `timing` taken away, of the same shape.

    What is cut at one end is silence at the other. A drift is taken out without change of pitch.
    """
    length, channels = len(samples), [(0, 0)] * (samples.ndim - 1)
    if timing.drift:
        samples = stretch(samples, rate, 1 + timing.drift)
    shift = round(timing.offset / (1 + timing.drift) * rate)
    samples = samples[shift:] if shift > 0 else np.pad(samples, [(-shift, 0), *channels])
    return np.pad(samples, [(0, max(0, length - len(samples))), *channels])[:length]


def mend_folder(layout: Layout, timings: Mapping[str, Mapping[str, StemTiming]], out: str | Path) -> list[Path]:
    """Write the songs that were checked anew, one folder for each: faulty stems mended, other stems copied as they are.

    A mended stem keeps its rate, channels and sample type; where the original is lossy it is written as 24-bit FLAC.
    Mixes, other files, and songs that were not checked are left out.

    Args:
        layout: the files.
        timings: song → stem → what was found of it.
        out: a folder that is empty or not there.

    Returns:
        The files that were mended.

    Raises:
        InputError: `out` holds files or is being written by another process, or a file cannot be read or written.
    """
    out, mended = Path(out), []
    with locked_empty(out, "name an empty folder for --fix"):
        for song, stems in timings.items():
            for stem, files in layout.stems.items():
                if song not in files:
                    continue
                timing = stems.get(stem)
                if timing is not None and timing.faulty:
                    mended.append(_write_mended(files[song], timing, out / song / stem))
                else:
                    _copy(files[song], out / song / f"{stem}{files[song].suffix.lower()}")
    return mended


def _write_mended(source: Path, timing: StemTiming, target: Path) -> Path:
    """Write the mended stem at `target`, whose suffix is added; the path of the file."""
    samples, rate, _, subtype = read_channels(source)
    suffix = ".flac" if source.suffix.lower() in LOSSY_SUFFIXES else source.suffix.lower()
    # A file may be called .wav and hold something else, whose sample type no WAV has.
    if not soundfile.check_format(suffix[1:], subtype):
        subtype = "PCM_24"
    path = target.with_name(f"{target.name}{suffix}")
    write_audio(path, mend(samples, rate, timing), rate, subtype, exact=True)
    return path


def _copy(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all. Raises InputError where it cannot be read or written."""
    with atomic_path(target) as temporary:
        try:
            shutil.copyfile(source, temporary)
        except OSError as error:
            raise InputError(f"{source}: cannot be copied to {target} ({error.strerror})") from error
