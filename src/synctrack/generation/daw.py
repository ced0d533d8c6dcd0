"""Songs for music programs (digital audio workstations): another rate, whole bars, and names that sort well."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.signal
import soxr

from synctrack.audio.beat_files import Beats
from synctrack.errors import InputError
from synctrack.generation.timing import END_TOLERANCE, bar_ends, whole_bars

if TYPE_CHECKING:
    from synctrack.generation.song import Song

RATES = (8000, 384_000)  # Hz
BAR_TOLERANCE = 0.05
"""Seconds by which the beats of a loop of whole bars may go round late or early, as detected ones do."""

logger = logging.getLogger(__name__)


def check_rate(sample_rate: int) -> None:
    """Raise InputError unless a rate of files is between 8 and 384 kHz."""
    if not (isinstance(sample_rate, int) and RATES[0] <= sample_rate <= RATES[1]):
        raise InputError(f"sample_rate: {sample_rate} is not between {RATES[0]} and {RATES[1]} Hz")


def resampled_loop(waveforms: np.ndarray, num_samples: int) -> np.ndarray:
    """Waveforms (..., n) of a loop as (..., num_samples), float32: as a periodic signal.

    A filter that hears silence before and behind a loop makes a click where it goes round.
    """
    return scipy.signal.resample(np.asarray(waveforms, np.float64), num_samples, axis=-1).astype(np.float32)


def at_rate(song: "Song", sample_rate: int) -> "Song":
    """The song resampled, a loop as one that goes round. Raises InputError where the rate is out of bounds."""
    check_rate(sample_rate)

    def resampled(wave: np.ndarray) -> np.ndarray:
        if not song.loops:
            return soxr.resample(wave, song.sample_rate, sample_rate)
        return resampled_loop(wave, max(1, round(len(wave) * sample_rate / song.sample_rate)))

    waveforms = {stem: resampled(wave) for stem, wave in song.waveforms.items()}
    return replace(song, waveforms=waveforms, sample_rate=sample_rate)


def from_first_bar(song: "Song") -> "Song":
    """The whole bars of a song, from its first downbeat; all of it where there are none, and says so.

    Of a loop nothing is cut, as it would no longer go round: it begins with its first downbeat, and what precedes that
    comes at its end.
    """
    if song.loops and song.beats is not None and len(song.beats.downbeats):
        return _from_downbeat(song)
    bars = whole_bars(song.beats, song.seconds)
    if bars is None:
        logger.warning("daw: where the song's bars are is not known; its files begin where it begins")
        return song
    start, stop, _ = bars
    first, last = round(start * song.sample_rate), round(stop * song.sample_rate)
    waveforms = {stem: wave[first:last] for stem, wave in song.waveforms.items()}
    chosen = [
        times[(times >= start) & (times < stop - END_TOLERANCE)] for times in (song.beats.beats, song.beats.downbeats)
    ]
    beats = Beats(*(times - start for times in chosen)) if len(chosen[0]) > 1 else None
    return replace(song, waveforms=waveforms, beats=beats)


def _from_downbeat(song: "Song") -> "Song":
    """A loop turned so that it begins with its first downbeat."""
    if abs(bar_ends(song.beats)[-1] - float(song.beats.downbeats[0]) - song.seconds) > BAR_TOLERANCE:
        logger.warning("daw: the loop of %.3g s does not hold whole bars; its files are as long as it is", song.seconds)
    shift = round(float(song.beats.downbeats[0]) * song.sample_rate)
    start = shift / song.sample_rate

    def turned(times: np.ndarray) -> np.ndarray:
        moved = (times - start) % song.seconds
        # The downbeat itself, by a rounding before it.
        moved[song.seconds - moved < END_TOLERANCE] = 0.0
        return np.unique(moved)

    beats = Beats(turned(song.beats.beats), turned(song.beats.downbeats))
    waveforms = {stem: np.roll(wave, -shift) for stem, wave in song.waveforms.items()}
    return replace(song, waveforms=waveforms, beats=beats)


def daw_names(stems: Sequence[str], mix: str) -> dict[str, str]:
    """Name of the file of each stem and of the mix, without suffix: 00_mix, 01_bass and so on."""
    return {mix: f"00_{mix}"} | {stem: f"{number:02d}_{stem}" for number, stem in enumerate(stems, start=1)}
