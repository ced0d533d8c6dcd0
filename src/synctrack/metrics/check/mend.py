"""Stems brought back into time: shifted, and stretched without change of pitch where they drift."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from synctrack.audio.files import read_channels, write_audio
from synctrack.errors import InputError
from synctrack.metrics.beats.layout import Layout
from synctrack.metrics.check.timing import StemTiming


def mend(samples: np.ndarray, rate: int, timing: StemTiming) -> np.ndarray:
    """Samples (n,) with the lag of `timing` taken away, of the same length.

    What is cut at one end is silence at the other. A drift is taken out by a phase vocoder, which keeps the pitch.
    """
    length = len(samples)
    if timing.drift:
        import librosa

        samples = librosa.effects.time_stretch(samples.astype(np.float32), rate=1 + timing.drift)
    shift = round(timing.offset / (1 + timing.drift) * rate)
    samples = samples[shift:] if shift > 0 else np.pad(samples, (-shift, 0))
    return np.pad(samples, (0, max(0, length - len(samples))))[:length]


def mend_folder(layout: Layout, timings: Mapping[str, Mapping[str, StemTiming]], out: str | Path) -> list[Path]:
    """Write the songs of a folder anew, one folder for each song, faulty stems mended and the others unchanged.

    Args:
        layout: the files.
        timings: song → stem → what was found of it.
        out: a folder that is empty or not there.

    Returns:
        The files that were mended.

    Raises:
        InputError: `out` holds files, or a file cannot be read or written.
    """
    out = Path(out)
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"--fix {out}: holds files already; name an empty folder")
    mended = []
    for song, stems in timings.items():
        for stem, timing in stems.items():
            source = layout.stems[stem][song]
            samples, rate, _, subtype = read_channels(source)
            wave = np.ascontiguousarray(samples)
            if timing.faulty:
                wave = np.stack([mend(channel, rate, timing) for channel in samples.T], axis=1)
            # Lossy files would lose again; what is written here is exact.
            lossy = source.suffix.lower() in (".ogg", ".mp3")
            target = out / song / f"{stem}{'.flac' if lossy else source.suffix.lower()}"
            write_audio(target, wave, rate, "PCM_24" if lossy else subtype)
            if timing.faulty:
                mended.append(target)
    return mended
