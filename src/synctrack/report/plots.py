"""Pictures of mel spectrograms."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch

from synctrack.audio.mel import AudioFormat, LogMel
from synctrack.files import atomic_path


def plot_mels(path: str | Path, waveforms: np.ndarray, stems: Sequence[str], audio: AudioFormat, title: str) -> None:
    """Write a PNG of the log-mels of `waveforms` (s, n), one above the other on one time axis."""
    mels = LogMel(audio)(torch.from_numpy(waveforms)).numpy()
    figure = matplotlib.figure.Figure(figsize=(11, 2 * len(stems) + 0.6), layout="constrained")
    axes = figure.subplots(len(stems), 1, sharex=True, squeeze=False)[:, 0]
    seconds = mels.shape[1] * audio.hop_length / audio.sample_rate
    for axis, mel, stem in zip(axes, mels, stems, strict=True):
        image = axis.imshow(
            mel.T, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, 0, audio.n_mels), vmin=-11.5, vmax=2
        )
        # A $ in a name begins no formula.
        axis.set_ylabel(f"{stem}\nmel band", parse_math=False)
    axes[0].set_title(title, parse_math=False)
    axes[-1].set_xlabel("time (s)")
    figure.colorbar(image, ax=axes, label="ln magnitude")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=90)
