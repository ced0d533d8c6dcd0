"""The picture on the front page: the mels of one generated song, with the beats that are detected in each stem.

python experiments/song_figure.py [--bpm 112] [--seed 7] [--model demo] [--out docs/demo_song.png]
"""

import argparse
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch

from synctrack import Song, SyncTrack
from synctrack.audio.mel import AudioFormat, LogMel
from synctrack.errors import run_command
from synctrack.files import atomic_path
from synctrack.metrics.beats.madmom.tracker import MadmomTracker


def write_figure(path: Path, song: Song, audio: AudioFormat, title: str) -> None:
    """Write a PNG of the log-mels of a song's stems, one above the other on one time axis.

    Args:
        path: of the picture.
        song: its beats, if it has any, are ticks below each stem; what madmom detects in a stem are white lines in it.
        audio: of the mels.
        title: of the picture.
    """
    tracker, seconds = MadmomTracker(), song.seconds
    figure = matplotlib.figure.Figure(figsize=(9, 4.8), layout="constrained")
    axes = figure.subplots(len(song.stems), 1, sharex=True, squeeze=False)[:, 0]
    for axis, stem in zip(axes, song.stems, strict=True):
        wave = np.asarray(song[stem], np.float32)
        mel = LogMel(audio)(torch.from_numpy(wave)[None])[0].numpy()
        extent = (0.0, seconds, 0.0, audio.n_mels)
        axis.imshow(mel.T, origin="lower", aspect="auto", cmap="magma", extent=extent, vmin=-11.5, vmax=2)
        for beat in tracker.track_waveform(wave, song.sample_rate):
            axis.axvline(beat, color="white", linewidth=1.2)
        if song.beats is not None:
            ticks = song.beats.beats[song.beats.beats < seconds]
            axis.plot(ticks, np.zeros(len(ticks)), "^", color="black", markersize=7, clip_on=False)
        axis.set(ylabel=stem, yticks=[])
    axes[0].set_title(title, fontsize=10)
    axes[-1].set_xlabel("time (s)")
    with atomic_path(path) as temporary:
        # A palette of 64 colours: a small file.
        figure.savefig(temporary, dpi=80)
        reduce_colours(temporary)


def reduce_colours(path: Path, colours: int = 64) -> None:
    """Rewrite a PNG with a palette."""
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(colours)
    small.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bpm", type=float, default=112.0, help="tempo to ask for (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="of the song (default: %(default)s)")
    parser.add_argument("--model", default="demo", help="as for synctrack generate (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("docs/demo_song.png"), help="(default: %(default)s)")
    arguments = parser.parse_args()
    model = SyncTrack.from_pretrained(arguments.model)
    song = model.generate(seed=arguments.seed, bpm=arguments.bpm, seconds=model.trained_seconds)
    title = f"{arguments.bpm:g} BPM asked, seed {arguments.seed}: mels of the stems, with detected beats"
    write_figure(arguments.out, song, model.model.config.audio, title)
    print(arguments.out)


if __name__ == "__main__":
    run_command(main)
