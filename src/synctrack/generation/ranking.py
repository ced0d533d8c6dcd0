"""Best of several: how well a candidate's stems keep time, with each other and with the asked beats.

    rank = CBS - CBD (+ F of the mix's beats against the asked beats, ±70 ms)

in protocol `corrected`; each term is between 0 and 1, and a term that is not defined, as where a candidate has no
beats, counts as at its worst.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from synctrack.audio.beat_files import Beats
from synctrack.metrics.beats.madmom.tracker import MadmomTracker
from synctrack.metrics.cbd import song_deviation
from synctrack.metrics.cbs import WINDOW_SIZE, window_beat_ratio

TOLERANCE = 0.07  # seconds


@dataclass(frozen=True)
class Timing:
    """How well one candidate keeps time.

    Attributes:
        cbs: cross-stem beat synchronisation; None where fewer than two stems have beats.
        cbd: cross-stem beat deviation; None where no beat finds a partner.
        tempo: F-measure of the mix's beats against the asked ones; None where none are asked.
    """

    cbs: float | None
    cbd: float | None
    tempo: float | None

    @property
    def rank(self) -> float:
        """Higher is better."""
        asked = 0.0 if self.tempo is None else self.tempo
        return (self.cbs or 0.0) - (1.0 if self.cbd is None else self.cbd) + asked

    def as_json(self) -> dict[str, float | None]:
        """The values by name."""
        return asdict(self)


def keeps_time(waveforms: Sequence[np.ndarray], sample_rate: int, beats: Beats | None) -> Timing:
    """Score the stems (n,) of one candidate.

    Args:
        waveforms: one for each stem, all of one length.
        sample_rate: Hz.
        beats: that were asked for; None where none were.

    Raises:
        InputError: the beat tracker is not installed.
    """
    tracker = MadmomTracker()
    tracked = [tracker.track_waveform(wave, sample_rate) for wave in waveforms]
    stems = [found for found in tracked if len(found)]
    cbs = window_beat_ratio(stems, len(waveforms[0]) / sample_rate, WINDOW_SIZE) if len(stems) > 1 else math.nan
    cbd = song_deviation(stems).error if len(stems) > 1 else math.nan
    tempo = None
    if beats is not None:
        mix = np.sum(waveforms, axis=0, dtype=np.float32)
        tempo = f_measure(tracker.track_waveform(mix, sample_rate), beats.beats)
    return Timing(_defined(cbs), _defined(cbd), tempo)


def f_measure(found: np.ndarray, wanted: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """F-measure of beats: each found beat matches at most one wanted beat within `tolerance` seconds, and vice versa.

    Both (beats,) ascend; the result is between 0 and 1, 0 where either is empty (Davies et al., 2009, section 3.1).
    """
    matched = i = j = 0
    while i < len(found) and j < len(wanted):
        if abs(found[i] - wanted[j]) <= tolerance:
            matched, i, j = matched + 1, i + 1, j + 1
        elif found[i] < wanted[j]:
            i += 1
        else:
            j += 1
    return 2 * matched / (len(found) + len(wanted)) if matched else 0.0


def _defined(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
