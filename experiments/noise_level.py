"""The IRS that a beat tracker gives to noise, by length: the level below which a song's IRS says anything.

White noise, pink noise, and noise in bursts at random times. Prints the mean IRS of each and the lowest of the three,
which `synctrack.metrics.chance.NOISE_IRS` holds.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from synctrack.errors import run_command
from synctrack.metrics.beats.folders import track_folder
from synctrack.metrics.beats.trackers import DEFAULT_TRACKER, TRACKERS, make_tracker
from synctrack.metrics.irs import irs

SAMPLE_RATE = 16000
LENGTHS = (5.12, 10.24, 20.48, 40.96, 81.92)
KINDS = ("white", "pink", "bursts")
BURSTS_PER_SECOND = 4


def noise(kind: str, samples: int, generator: np.random.Generator) -> np.ndarray:
    """(samples,) noise of one of KINDS, peak 0.3."""
    values = generator.standard_normal(samples)
    if kind == "pink":
        spectrum = np.fft.rfft(values)
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
        values = np.fft.irfft(spectrum, samples)
    if kind == "bursts":
        starts = generator.integers(0, samples, int(BURSTS_PER_SECOND * samples / SAMPLE_RATE))
        envelope = np.zeros(samples)
        for start in starts:
            envelope[start:] = np.maximum(envelope[start:], np.exp(-np.arange(samples - start) / (0.1 * SAMPLE_RATE)))
        values = values * envelope
    return 0.3 * values / np.abs(values).max()


def measure(tracker: str, files: int) -> None:
    """Print a line for each kind, length and protocol, then the lowest level of each length."""
    chosen, levels = make_tracker(tracker), {}
    for seconds in LENGTHS:
        with tempfile.TemporaryDirectory() as folder:
            for kind in KINDS:
                Path(folder, kind).mkdir()
                for number in range(files):
                    generator = np.random.default_rng([number, KINDS.index(kind)])
                    samples = noise(kind, round(seconds * SAMPLE_RATE), generator)
                    soundfile.write(Path(folder, kind, f"{number}.wav"), samples, SAMPLE_RATE)
            beats = track_folder(folder, chosen, cache=False, layout="stems")
        for protocol in beats.protocols:
            result = irs(beats.by_stem(protocol)).stem_interval_std
            for kind in KINDS:
                print(f"{seconds:6.2f} s  {protocol:10} {kind:7} {result[kind]:.4f}", flush=True)
            levels[protocol, seconds] = min(result.values())
    for protocol in beats.protocols:
        print(protocol, [round(levels[protocol, seconds], 4) for seconds in LENGTHS])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracker", choices=TRACKERS, default=DEFAULT_TRACKER)
    parser.add_argument("--files", type=int, default=24, help="of each kind and length (default: %(default)s)")
    arguments = parser.parse_args()
    measure(arguments.tracker, arguments.files)


if __name__ == "__main__":
    run_command(main)
