"""The question of `bench_steering.py` about songs far beyond the trained length: tempo, synchrony and seams."""

import numpy as np

from steering_measures import HOP, at_and_elsewhere, flux, synchronisation, tracked
from steering_world import World
from synctrack.data.sources.grooves import Groove


def long(world: World, index: int) -> dict[str, float]:
    """A minute from a model of a few seconds."""
    rate, groove = world.model.sample_rate, world.groove(index)
    song = world.model.generate(seed=index, bpm=groove.bpm, meter=groove.meter, seconds=60)
    beats = tracked({**song.waveforms, "mix": song.mix}, rate)
    first, last = (beats["mix"][mask] for mask in (beats["mix"] < 10, beats["mix"] >= song.seconds - 10))
    tempi = [60 / np.median(np.diff(times)) if len(times) > 2 else np.nan for times in (first, last)]
    scores = []
    for begin in np.arange(0, song.seconds - 9, 10.0):
        within = [times[(times >= begin) & (times < begin + 10)] - begin for times in list(beats.values())[:-1]]
        scores.append(synchronisation(within, 10.0))
    seams = _seams(world, groove)
    return {
        "tempo": abs(tempi[1] / tempi[0] - 1) <= 0.02,
        "slope": float(np.polyfit(np.arange(len(scores)), np.nan_to_num(scores), 1)[0] * (len(scores) - 1)),
        "cbs": float(np.nanmean(scores)),
        **_at_seams(song.mix, seams, rate),
        **_data_at_seams(world, index, seams),
    }


def _data_at_seams(world: World, index: int, seams: list[int]) -> dict[str, float]:
    """Flux and energy of the groove at the same places in its bars: seams a whole number of beats apart lie on them."""
    groove = world.groove(index, 62.0)
    first = round(groove.beats[0] * world.model.sample_rate)
    mix = np.sum(list(groove.stems.values()), axis=0)[first : first + 60 * world.model.sample_rate]
    found = _at_seams(mix, seams, world.model.sample_rate)
    return {f"data_{name}": value for name, value in found.items()}


def _seams(world: World, groove: Groove) -> list[int]:
    """The frames of HOP samples at which what a window continues ends."""
    plan = world.model.check(bpm=groove.bpm, meter=groove.meter, seconds=60).plan
    overlap = plan.length - (plan.starts[1] - plan.starts[0])
    return [(start + overlap) * plan.grid.frame // HOP for start in plan.starts[1:]]


def _at_seams(mix: np.ndarray, seams: list[int], rate: int) -> dict[str, float]:
    """Spectral flux, and change of energy, at the seams over those elsewhere."""
    changes = {"flux": flux(mix, rate), "energy": np.abs(np.diff(np.log(_energies(mix) + 1e-6), prepend=0))}
    found = {name: at_and_elsewhere(values, seams) for name, values in changes.items()}
    return {name: here / elsewhere for name, (here, elsewhere) in found.items()}


def _energies(wave: np.ndarray) -> np.ndarray:
    usable = len(wave) // HOP * HOP
    return np.sqrt((wave[:usable].reshape(-1, HOP) ** 2).mean(axis=1))
