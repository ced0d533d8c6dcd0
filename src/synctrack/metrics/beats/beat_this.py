"""The Beat This! tracker, an optional dependency: the extra `beat-this`.

Source: F. Foscarin, J. Schlüter, G. Widmer, "Beat this! Accurate beat tracking without DBN postprocessing", ISMIR 2024.
"""

import importlib.metadata
from pathlib import Path

import numpy as np

from synctrack.errors import InputError
from synctrack.files import sha256
from synctrack.metrics.beats.bar_tracker import BarTracker

PUBLISHED_WEIGHTS = "final0"


class BeatThisTracker(BarTracker):
    """Beat This! with its minimal postprocessing. Its times are true: it knows protocol `corrected` alone.

    Args:
        weights: checkpoint file; if None, the published `final0`, which beat_this downloads and caches.

    Raises:
        InputError: the package is not installed, or the weights cannot be read or downloaded.
    """

    def __init__(self, weights: Path | None) -> None:
        try:
            from beat_this.inference import Audio2Beats
        except (ImportError, OSError) as error:
            raise InputError(
                f"--tracker beat_this needs its package: pip install 'synctrack[beat-this]' (importing it: {error})"
            ) from error
        import torch

        if weights is not None and not weights.is_file():
            raise InputError(f"--weights {weights}: no such file")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        checkpoint = PUBLISHED_WEIGHTS if weights is None else str(weights)
        try:
            self._find_beats = Audio2Beats(checkpoint, device=device)
        except Exception as error:
            # Unpickling, network and key errors alike mean that the weights are not available.
            raise InputError(
                f"the weights {checkpoint} of beat_this cannot be loaded ({str(error).split('. ')[0]})"
            ) from error
        content = PUBLISHED_WEIGHTS if weights is None else sha256(weights)[:16]
        self.version = f"beat_this {importlib.metadata.version('beat-this')}, weights {content}"

    def track_bars(self, waveform: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
        """Beats and downbeats in seconds of a waveform (n,)."""
        beats, downbeats = self._find_beats(waveform, sample_rate)
        return np.asarray(beats, float), np.asarray(downbeats, float)
