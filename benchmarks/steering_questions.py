"""The questions of `bench_steering.py`: each asks the model for one song and gives what was measured of it."""

from collections.abc import Callable

import numpy as np

from steering_long import long
from steering_measures import (
    best_level_f_measure,
    f_measure,
    flux,
    mel_distance,
    si_sdr,
    strongest_period,
    tempo_kept,
    tracked,
)
from steering_world import Measure, Question, World
from synctrack import Song, SyncTrack
from synctrack.audio.beat_files import Beats, regular_beats
from synctrack.data.sources.grooves import Groove


def tempo(world: World, index: int) -> dict[str, float]:
    """A tempo asked for, drawn from the data's range, in the meter of a groove."""
    rate, groove = world.model.sample_rate, world.groove(index)
    song = world.model.generate(seed=index, bpm=groove.bpm, meter=groove.meter, seconds=world.seconds)
    beats = tracked({**song.waveforms, "mix": song.mix}, rate)
    period = 60.0 / groove.bpm
    asked = regular_beats(groove.bpm, groove.meter, song.seconds)
    return {
        "period": abs(strongest_period(song.mix, rate, period) / period - 1) <= 0.04,
        "madmom": tempo_kept(beats["mix"], groove.bpm),
        "drums": f_measure(beats["drums"], asked.beats),
        "drums_level": best_level_f_measure(beats["drums"], asked.beats),
        "data_drums": f_measure(world.data_beats(index)["drums"], groove.beats),
    }


def click(world: World, index: int) -> dict[str, float]:
    """The click of a groove alone, against the groove itself."""
    groove = world.groove(index)
    song = world.model.generate(seed=index, beats=Beats(groove.beats, groove.downbeats), seconds=world.seconds)
    return {"cbs": world.cbs(song), "data": world.data_cbs(index)}


def nothing(world: World, index: int) -> dict[str, float]:
    """Nothing given: the song's tempo is drawn by its seed."""
    return {"cbs": world.cbs(world.model.generate(seed=index)), "data": world.data_cbs(index)}


def nothing_told(world: World, index: int) -> dict[str, float]:
    """Nothing given, and the model told nothing either."""
    return {"cbs": world.cbs(world.model.generate(seed=index, beats="none")), "data": world.data_cbs(index)}


def accompaniment(
    world: World, index: int, kept: tuple[str, ...], model: SyncTrack, beats: str | None = None
) -> dict[str, float]:
    """Some stems of a groove given, the others asked for."""
    groove = world.groove(index)
    given = {stem: groove.stems[stem] for stem in kept}
    song = model.generate(seed=index, given=given, seconds=world.seconds, beats=beats)
    return {"cbs": world.cbs(song), "data": world.data_cbs(index)}


def drums(world: World, index: int) -> dict[str, float]:
    return accompaniment(world, index, ("drums",), world.model)


def others(world: World, index: int) -> dict[str, float]:
    return accompaniment(world, index, ("bass", "guitar", "piano"), world.model)


def drums_alone(world: World, index: int) -> dict[str, float]:
    return accompaniment(world, index, ("drums",), world.model, "none")


def others_alone(world: World, index: int) -> dict[str, float]:
    return accompaniment(world, index, ("bass", "guitar", "piano"), world.model, "none")


def drums_replaced(world: World, index: int) -> dict[str, float]:
    return accompaniment(world, index, ("drums",), world.without_context)


def others_replaced(world: World, index: int) -> dict[str, float]:
    return accompaniment(world, index, ("bass", "guitar", "piano"), world.without_context)


def another_take(world: World, index: int) -> dict[str, float]:
    """The piano of bars 5 to 8 again, the rest as it is."""
    model, rate = world.model, world.model.sample_rate
    groove = world.groove(index, 32.0)
    end = groove.downbeats[min(12, len(groove.downbeats) - 1)]
    length = int(end * rate)
    song = Song({stem: wave[:length] for stem, wave in groove.stems.items()}, rate, beats=_beats(groove, end))
    new = model.generate(seed=index, original=song, redo=["piano"], bars=(5, 8))
    start, stop = (round(time * rate) for time in (groove.downbeats[4], groove.downbeats[8]))
    fade, part = round(0.02 * rate), slice(start, stop)
    same = all(np.array_equal(new[stem], song[stem]) for stem in song.stems if stem != "piano")
    outside = np.r_[0 : start - fade, stop:length]
    same = same and np.array_equal(new["piano"][outside], song["piano"][outside])
    other = world.groove(index + 1, 32.0).stems["piano"]
    return {
        "same": same,
        "cbs": world.cbs(new),
        "data": world.cbs(song),
        "distance": mel_distance(new["piano"][part], song["piano"][part], rate),
        "songs_apart": mel_distance(other[part], song["piano"][part], rate),
    }


def extension(world: World, index: int, model: SyncTrack | None = None, beats: str | None = None) -> dict[str, float]:
    """What follows a real song, against the grid of what went before."""
    rate, seconds = world.model.sample_rate, world.seconds
    groove = world.groove(index, 2 * seconds)
    length = round(seconds * rate)
    song = Song({stem: wave[:length] for stem, wave in groove.stems.items()}, rate)
    new = (model or world.model).generate(seed=index, original=song, extend=seconds, beats=beats)
    values = {}
    for name, mix in (("f", new.mix), ("data", sum(groove.stems.values()))):
        times = tracked({"mix": mix}, rate)["mix"]
        values[name] = best_level_f_measure(times[times >= seconds], groove.beats[groove.beats >= seconds])
    return values


def extension_alone(world: World, index: int) -> dict[str, float]:
    return extension(world, index, beats="none")


def extension_replaced(world: World, index: int) -> dict[str, float]:
    return extension(world, index, world.without_context)


def loop(world: World, index: int) -> dict[str, float]:
    """Two or more bars that go round."""
    rate, groove = world.model.sample_rate, world.groove(index)
    bars = max(1, round(world.seconds * groove.bpm / 60 / groove.meter))
    song = world.model.generate(seed=index, bpm=groove.bpm, meter=groove.meter, bars=bars, loop=True)
    seam, percentile = _rise_at_the_middle(np.concatenate([song.mix, song.mix]), rate)
    # A loop begins on a downbeat, where a rise is music: a groove that plays on over as many bars has one as well.
    played = world.groove(index, 3 * world.seconds)
    begin, end = (round(played.downbeats[number] * rate) for number in (0, 2 * bars))
    data_seam, data_percentile = _rise_at_the_middle(np.sum(list(played.stems.values()), axis=0)[begin:end], rate)
    return {
        "seam": seam,
        "data_seam": data_seam,
        "percentile": percentile,
        "data_percentile": data_percentile,
        "exact": song.num_samples == round(bars * groove.meter * 60 / groove.bpm * rate),
    }


def _rise_at_the_middle(wave: np.ndarray, rate: int) -> tuple[bool, float]:
    """Whether the flux in the middle of a song is within that of its inside, and its quantile of the first half's."""
    rises = flux(wave, rate)
    middle = len(wave) // 2 // 160
    here, inside = rises[middle - 2 : middle + 3].max(), rises[8 : middle - 8]
    return bool(here <= max(np.percentile(inside, 95), rises[middle + 8 :].max())), float((inside < here).mean())


def separation(world: World, index: int) -> dict[str, float]:
    """The stems of a mix."""
    rate, groove = world.model.sample_rate, world.groove(index)
    mix = np.sum(list(groove.stems.values()), axis=0)
    stems = world.model.separate((mix, rate), seed=index)
    truths = {stem: groove.stems[stem][: stems.num_samples] for stem in stems.stems}
    mix = mix[: stems.num_samples]
    gains = {f"gain_{stem}": si_sdr(stems[stem], truth) - si_sdr(mix, truth) for stem, truth in truths.items()}
    apart = np.abs(np.sum(list(stems.waveforms.values()), axis=0) - mix).max()
    return {"gain": float(np.mean(list(gains.values()))), "sum": float(apart), **gains}


def best(world: World, index: int) -> dict[str, float]:
    """The best of eight against the first of them, nothing given."""
    chosen, first = world.model.generate(seed=index, best_of=8), world.model.generate(seed=index)
    values = {"best": world.cbs(chosen), "first": world.cbs(first)}
    return values | {"difference": values["best"] - values["first"]}


def _beats(groove: Groove, end: float) -> Beats:
    return Beats(groove.beats[groove.beats < end], groove.downbeats[groove.downbeats < end])


def _share(title: str, ask: Callable, kept: tuple[str, ...], wanted: str) -> Question:
    measure = Measure("corrected CBS", "cbs", data="data", chance=lambda world: world.chance(kept), wanted_share=wanted)
    return Question(title, ask, [measure])


MELODIC = ("bass", "guitar", "piano")
QUESTIONS = {
    "tempo": Question(
        "tempo asked",
        tempo,
        [
            Measure("strongest onset period within 4 %", "period", "≥ 0.98"),
            Measure("madmom's tempo within 4 %, half and double accepted", "madmom"),
            Measure("F of the drums' beats against the click", "drums", "≥ 0.9", data="data_drums"),
            Measure("the same, half and double accepted", "drums_level"),
        ],
    ),
    "drums": _share("others for given drums", drums, ("drums",), "≥ 0.9"),
    "others": _share("drums for given bass, guitar, piano", others, MELODIC, "≥ 0.75"),
    "nothing": _share("nothing given, a tempo drawn by the seed", nothing, (), "≥ 0.6"),
    "nothing_told": _share("nothing given, no tempo either", nothing_told, (), "reported"),
    "click": Question("click only", click, [Measure("corrected CBS", "cbs", "at least the data's", data="data")]),
    "take": Question(
        "another take of the piano, bars 5 to 8",
        another_take,
        [
            Measure("the rest equal to the bit", "same", "1"),
            Measure("corrected CBS", "cbs", "as before", data="data"),
            Measure("mel L1 to the old part", "distance", "as two songs' parts", data="songs_apart"),
        ],
    ),
    "extension": Question(
        "extension of a real song", extension, [Measure("F of the beats on its grid", "f", "≥ 0.8", data="data")]
    ),
    "loop": Question(
        "loop",
        loop,
        [
            Measure("no rise at the seam above those inside", "seam", "1", data="data_seam"),
            Measure("flux at the seam, quantile of the inside", "percentile", data="data_percentile"),
            Measure("exact number of samples", "exact", "1"),
        ],
    ),
    "separation": Question(
        "separation by soft masks",
        separation,
        [
            Measure("SI-SDR over the mixture, mean of stems (dB)", "gain", "≥ 6", digits=1),
            *[Measure(f"… of {stem} (dB)", f"gain_{stem}", "≥ 6", digits=1) for stem in ("drums", *MELODIC)],
            Measure("largest difference of the sum", "sum", "≤ 1e-4", digits=7),
        ],
    ),
    "long": Question(
        "60 s from a 5 s model",
        long,
        [
            Measure("tempo of the last 10 s within 2 % of the first's", "tempo", "1"),
            Measure("trend of CBS from first to last 10 s", "slope", "0 in the interval"),
            Measure("corrected CBS of 10 s", "cbs"),
            Measure("flux at seams, times that elsewhere", "flux", "≤ data", data="data_flux", digits=2),
            Measure(
                "change of energy at seams, times that elsewhere", "energy", "≤ data", data="data_energy", digits=2
            ),
        ],
    ),
    "best": Question(
        "best of 8 against one",
        best,
        [
            Measure("corrected CBS of the best", "best", data="first"),
            Measure("difference", "difference", "above 0"),
        ],
    ),
    "drums_alone": _share("no beats detected: others for given drums", drums_alone, ("drums",), "reported"),
    "others_alone": _share("no beats detected: drums for the others", others_alone, MELODIC, "reported"),
    "extension_alone": Question(
        "no beats detected: extension", extension_alone, [Measure("F of the beats on its grid", "f", data="data")]
    ),
    "drums_replaced": _share("replacement: others for given drums", drums_replaced, ("drums",), "reported"),
    "others_replaced": _share("replacement: drums for the others", others_replaced, MELODIC, "reported"),
    "extension_replaced": Question(
        "replacement: extension", extension_replaced, [Measure("F of the beats on its grid", "f", data="data")]
    ),
}
"""All questions by name, in the order of the table."""
