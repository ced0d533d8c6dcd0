"""The tempo of songs for which none is asked: drawn by the seed, or detected in what is given."""

import numpy as np
import pytest

from helpers.steered import QUICK, RATE, STEMS, noise_song, steered_model
from synctrack import Song, load_song
from synctrack.audio.beat_files import Beats, regular_beats
from synctrack.errors import InputError
from synctrack.generation.detection import detected_beats, is_steady, octave_within
from synctrack.generation.tempo import drawn_beats
from synctrack.generation.timing import continued_beats, preceded_beats

BOUNDS = (70.1, 160.0)


@pytest.fixture(scope="module")
def model():
    return steered_model(trained_bpm=BOUNDS)


def clicks(bpm, seconds, first=0.0, rate=RATE):
    """Short noise bursts at each beat, a louder one at each fourth."""
    wave, rng = np.zeros(round(seconds * rate), np.float32), np.random.default_rng(0)
    for number, time in enumerate(regular_beats(bpm, 4, seconds, first).beats):
        begin = round(time * rate)
        burst = rng.normal(0, 0.4 if number % 4 == 0 else 0.2, 400) * np.exp(-np.arange(400) / 80)
        wave[begin : begin + 400] += burst[: len(wave) - begin].astype(np.float32)
    return wave


def test_tempi_that_are_drawn_are_whole_bpm_spread_over_the_trained_range():
    tempi = [drawn_beats(seed, clip, BOUNDS, 5.0).bpm for seed in range(20) for clip in range(20)]
    np.testing.assert_allclose(tempi, np.round(tempi), atol=1e-9)
    assert 71 <= min(tempi) < 75
    assert 155 < max(tempi) <= 160
    # Uniform: the mean of 400 draws lies within four standard errors of the middle.
    assert abs(np.mean(tempi) - np.mean(BOUNDS)) < 4 * 26 / 20


def test_tempo_that_is_drawn_within_less_than_one_bpm_stays_within():
    assert 100.2 <= drawn_beats(0, 0, (100.2, 100.4), 5.0).bpm <= 100.4


@pytest.mark.medium
def test_song_of_a_drawn_tempo_is_the_song_of_that_tempo_asked_for(model):
    drawn = model.generate(seed=3, **QUICK)
    asked = model.generate(seed=3, bpm=round(drawn.beats.bpm), **QUICK)
    assert drawn.beats.beats.tolist() == asked.beats.beats.tolist()
    assert all((drawn[stem] == asked[stem]).all() for stem in STEMS)


@pytest.mark.medium
def test_each_song_of_a_batch_has_the_tempo_that_it_has_alone(model):
    keys = [(3, 0), (3, 1), (9, 0)]
    together = list(model.stream(keys, batch_size=3, **QUICK))
    alone = list(model.stream(keys, batch_size=1, **QUICK))
    assert len({song.beats.bpm for song in alone}) == 3
    for one, other in zip(together, alone, strict=True):
        assert one.beats.beats.tolist() == other.beats.beats.tolist()
        np.testing.assert_allclose(one.mix, other.mix, atol=1e-5)


@pytest.mark.medium
def test_no_tempo_is_drawn_where_it_is_left_open_or_follows_from_something_else(model):
    open_song = model.generate(seed=3, beats="none", **QUICK)
    assert open_song.beats is None
    # A model that does not say its range of tempi is told nothing either.
    unknown = steered_model().generate(seed=3, **QUICK)
    assert unknown.beats is None
    assert all((unknown[stem] == open_song[stem]).all() for stem in STEMS)
    # Two beats at the lowest tempo do not fit.
    assert model.generate(seed=3, seconds=0.64, **QUICK).beats is None
    assert model.check(loop=True, seconds=1.28).plan.drawn_bpm is None
    assert model.check(mix=noise_song().mix).plan.drawn_bpm is None


@pytest.mark.medium
def test_song_of_a_drawn_tempo_is_made_again_from_its_song_json(model, tmp_path):
    for name, settings in (("drawn", {}), ("open", {"beats": "none"})):
        song = model.generate(seed=5, **settings, **QUICK)
        song.save(tmp_path / name, "float")
        again = model.remake(tmp_path / name)
        assert (again.mix == song.mix).all()
        assert again.info == load_song(tmp_path / name).info


def test_tempo_and_none_together_are_refused(model):
    with pytest.raises(InputError, match="bpm, beats"):
        model.check(bpm=100, beats="none")


def test_bars_without_a_tempo_are_refused(model):
    with pytest.raises(InputError, match="bars"):
        model.check(bars=2, beats="none")


@pytest.mark.medium
def test_beats_of_given_drums_are_detected_and_go_on_behind_them(model):
    drums = clicks(100, 6.0, first=0.3)
    wanted = regular_beats(100, 4, 9.0, first=0.3).beats
    plan = model.check(given={"drums": drums}, seconds=9.0).plan
    np.testing.assert_allclose(plan.beats.beats, wanted, atol=0.03)
    assert set(plan.told.signals) == {"click"}
    assert model.check(given={"drums": drums}, seconds=9.0, beats="none").plan.beats is None


@pytest.mark.medium
def test_beats_of_a_song_are_detected_and_go_on_in_its_extension(model):
    wave = clicks(100, 6.0, first=0.3)
    song = Song({stem: wave for stem in STEMS}, RATE)
    plan = model.check(original=song, extend=4.0).plan
    np.testing.assert_allclose(plan.beats.beats, regular_beats(100, 4, 10.0, first=0.3).beats, atol=0.03)
    # A song that knows its beats keeps them.
    known = Song({stem: wave for stem in STEMS}, RATE, beats=regular_beats(90, 3, 6.0))
    assert model.check(original=known, extend=4.0).plan.beats.bpm == pytest.approx(90)


@pytest.mark.medium
def test_song_with_detected_beats_is_made_again_from_its_song_json(model, tmp_path):
    song = Song({stem: clicks(100, 6.0) for stem in STEMS}, RATE)
    song.save(tmp_path / "original", "float")
    longer = model.generate(seed=1, original=tmp_path / "original", extend=1.0, **QUICK)
    longer.save(tmp_path / "longer", "float")
    again = model.remake(tmp_path / "longer")
    assert (again.mix == longer.mix).all()
    assert again.info == load_song(tmp_path / "longer").info


@pytest.mark.medium
def test_nothing_is_detected_in_a_constant_tone():
    tone = np.sin(np.arange(5 * RATE) * 0.3).astype(np.float32)
    assert detected_beats([tone], RATE, BOUNDS) is None


@pytest.mark.parametrize(
    ("beats", "steady"),
    [
        ([0.0, 0.5, 1.0, 1.5], True),
        ([0.0, 0.55, 1.0, 1.5], True),
        ([0.0, 0.5, 1.0], False),
        ([0.0, 0.5, 1.5, 2.0], False),
        ([], False),
    ],
)
def test_beats_are_steady_where_four_or_more_keep_one_tempo(beats, steady):
    assert is_steady(np.array(beats)) is steady


def test_beats_of_twice_the_tempo_are_halved_from_the_first_downbeat_on():
    found = octave_within(Beats(np.arange(0.25, 5.0, 0.25), [0.5, 1.5, 2.5]), (70, 160))
    np.testing.assert_allclose(found.beats, np.arange(0.5, 5.0, 0.5))
    np.testing.assert_allclose(found.downbeats, [0.5, 1.5, 2.5])


def test_beats_of_half_the_tempo_are_doubled():
    found = octave_within(Beats([0.0, 1.0, 2.0, 3.0], [0.0]), (70, 160))
    np.testing.assert_allclose(found.beats, np.arange(0, 3.1, 0.5))


def test_beats_without_an_octave_in_the_range_are_not_told():
    assert octave_within(Beats([0.0, 1.0, 2.0, 3.0]), (100, 110)) is None


def test_detected_beats_go_on_along_their_line_and_not_by_their_last_rounded_interval():
    times = np.round(np.arange(0.2, 6.0, 60 / 97), 2)
    longer = continued_beats(Beats(times), 12.0)
    np.testing.assert_allclose(longer.beats[len(times) :], np.arange(0.2, 12.0, 60 / 97)[len(times) :], atol=0.012)


@pytest.mark.parametrize("first", [0, 1, 5])
def test_detected_beats_that_begin_late_go_back_to_the_beginning(first):
    every = regular_beats(97, 3, 12.0, first=0.2)
    noticed = np.round(every.beats[first:], 2)
    found = preceded_beats(Beats(noticed, noticed[np.isin(every.beats[first:], every.downbeats)]))
    np.testing.assert_allclose(found.beats, every.beats, atol=0.012)
    np.testing.assert_allclose(found.downbeats, every.downbeats, atol=0.012)


@pytest.mark.medium
def test_stem_that_enters_late_is_given_a_click_from_the_beginning_on(model):
    drums = clicks(100, 9.0, first=3.3)
    plan = model.check(given={"drums": drums}).plan
    np.testing.assert_allclose(plan.beats.beats, regular_beats(100, 4, 9.0, first=0.3).beats, atol=0.03)


@pytest.mark.medium
def test_song_that_is_extended_may_be_slower_than_its_own_length(model):
    song = noise_song(0.9)
    plan = model.check(original=song, extend=8.0, bpm=60).plan
    np.testing.assert_allclose(plan.beats.beats, np.arange(9))


@pytest.mark.medium
def test_beats_of_an_original_are_not_told_where_none_are_wanted(model, tmp_path):
    song = noise_song(1.28, beats=regular_beats(180, 3, 1.28))
    change = {"original": song.save(tmp_path / "song"), "redo": ["piano"], "bars": 1}
    assert set(model.check(**change).plan.told.signals) == {"click"}
    plan = model.check(**change, beats="none").plan
    assert plan.told.signals == {}
    np.testing.assert_allclose(plan.beats.beats, song.beats.beats)
    for name, asked in (("told", {}), ("free", {"beats": "none"})):
        made = model.generate(seed=1, **change, **asked, **QUICK)
        made.save(tmp_path / name)
        assert (model.remake(tmp_path / name)["piano"] == made["piano"]).all()


def test_signals_are_there_throughout_as_in_training_also_where_a_song_ends_within_a_frame(model):
    """Training tells a click or a mix in all frames or in none; beats that end early are told as far as they go."""
    plan = model.check(bpm=120, seconds=1.0).plan
    told = plan.told.signals["click"]
    # One second of this model is 25 frames, and one more for its grid.
    assert (len(told.presence) - 1) * plan.grid.frame >= plan.num_samples
    assert told.presence.all()
    mix = model.check(mix=np.zeros(RATE, np.float32) + 0.1).plan.told.signals["mix"]
    assert mix.presence.all()
    # Silence is encoded, which is not a latent of zeros.
    assert mix.audio.latents(0, len(mix.presence))[0, :, -1].abs().max() > 0
    early = model.check(beats=Beats(np.array([0.1, 0.5, 0.9]), np.array([0.1])), seconds=4.0).plan.told.signals["click"]
    assert not early.presence.all()
