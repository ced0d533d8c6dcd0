"""Steering with a small model: what was given comes out as it went in, and songs depend on nothing else."""

import dataclasses
import json

import numpy as np
import pytest
import soundfile

from helpers.small_model import SMALL_AUDIO
from helpers.steered import (
    ALL,
    NOTHING,
    QUICK,
    RATE,
    STEMS,
    noise_song,
    save_steered,
    steered_config,
    steered_model,
)
from synctrack import SyncTrack, load_song
from synctrack.audio.beat_files import regular_beats
from synctrack.errors import InputError
from synctrack.models.conditioning import ConditioningConfig

pytestmark = pytest.mark.medium

FADE = round(0.02 * RATE)


@pytest.fixture(scope="module")
def model() -> SyncTrack:
    return steered_model()


@pytest.fixture(scope="module")
def plain() -> SyncTrack:
    """A model that can be told nothing: what is known is kept by replacement."""
    return steered_model(NOTHING)


@pytest.fixture(scope="module")
def song():
    return noise_song(2.56, beats=regular_beats(180, 3, 2.56))


def drums_file(folder, waveform, rate=RATE, subtype="PCM_16"):
    soundfile.write(folder / "drums.wav", waveform, rate, subtype=subtype)
    return folder / "drums.wav"


def modes(song, folder):
    """Name of a mode -> settings."""
    part = {"original": song, "redo": ["piano"], "bars": "1-1"}
    return {
        "nothing": {},
        "tempo": {"bpm": 120, "bars": 1, "meter": 3},
        "given": {"given": {"drums": drums_file(folder, song["drums"][:9000])}},
        "another take": part,
        "extension": {"original": song, "extend": 0.9},
        "variation": {"original": song, "strength": {"drums": 0.6, "piano": 0.9}},
        "loop": {"bpm": 150, "bars": 1, "loop": True},
        "long": {"seconds": 2.56},
        "best of": {"best_of": 2},
        "separation": {"mix": song.mix},
    }


NAMES = ["nothing", "tempo", "given", "another take", "extension", "variation", "loop", "long", "best of", "separation"]


@pytest.mark.parametrize("name", NAMES)
def test_song_does_not_depend_on_those_beside_it(model, song, tmp_path, name):
    settings = modes(song, tmp_path)[name] | QUICK
    (alone,) = model.stream([(5, 2)], **settings)
    keys = [(5, 1), (9, 0), (5, 2)]
    beside = list(model.stream(keys, batch_size=1, **settings))[2]
    together = list(model.stream(keys, batch_size=3, **settings))[2]
    for stem in STEMS:
        np.testing.assert_array_equal(beside[stem], alone[stem])
        # A batch of another size rounds otherwise.
        np.testing.assert_allclose(together[stem], alone[stem], atol=2e-3)


@pytest.mark.parametrize("kind", ["model", "plain"])
@pytest.mark.parametrize("num_samples", [10240, 9000, 25000])
def test_given_stem_comes_out_bit_equal_and_decides_the_length(request, kind, tmp_path, num_samples):
    model = request.getfixturevalue(kind)
    drums = noise_song(4.0)["drums"][:num_samples]
    path = drums_file(tmp_path, drums)
    made = model.generate(given={"drums": path}, **QUICK)
    assert made.num_samples == num_samples
    saved = load_song(made.save(tmp_path / "song"))
    assert (made["drums"] == drums).all()
    assert (saved["drums"] == drums).all()
    stored, _ = soundfile.read(tmp_path / "song" / "drums.wav", dtype="int16")
    assert (stored == soundfile.read(path, dtype="int16")[0]).all()
    assert saved.info["steering"]["given"]["drums"]["sha256"]
    assert np.abs(soundfile.read(tmp_path / "song" / "mix.wav")[0]).max() <= 10 ** (-1 / 20) + 1e-4


def test_given_stem_changes_the_others(model, song):
    one, other = (model.generate(given={"drums": s["drums"][:10240]}, **QUICK) for s in (song, noise_song(seed=8)))
    assert np.abs(one["bass"] - other["bass"]).max() > 1e-6


def test_given_audio_of_any_rate_and_channels_is_used(model, tmp_path):
    stereo = np.random.default_rng(0).normal(0, 0.1, (48000, 2))
    path = drums_file(tmp_path, stereo, 48000)
    from_file = model.generate(given={"drums": path}, **QUICK)
    assert from_file.num_samples == RATE
    whole, _ = soundfile.read(path, dtype="float32")
    from_array = model.generate(given={"drums": (whole.T, 48000)}, **QUICK)
    np.testing.assert_allclose(from_array["drums"], from_file["drums"], atol=1e-5)


def test_given_audio_of_another_length_is_cut_or_padded_and_said(model, song, caplog):
    cut = model.generate(given={"drums": song["drums"]}, seconds=1.0, **QUICK)
    assert (cut["drums"] == song["drums"][:RATE]).all()
    assert "given drums: is longer than the song; its last 1.56 s are cut" in caplog.text
    padded = model.generate(given={"drums": song["drums"][:4000]}, seconds=1.0, **QUICK)
    assert (padded["drums"][:4000] == song["drums"][:4000]).all()
    assert not padded["drums"][4000:].any()
    assert "given drums: is shorter than the song; 0.5 s of silence follow it" in caplog.text


@pytest.mark.parametrize("kind", ["model", "plain"])
def test_another_take_leaves_the_rest_bit_equal_outside_the_crossfade(request, kind, song):
    made = request.getfixturevalue(kind).generate(original=song, redo="piano", span=(0.8, 1.6), **QUICK)
    for stem in ("bass", "drums", "guitar"):
        assert (made[stem] == song[stem]).all()
    start, stop = round(0.8 * RATE), round(1.6 * RATE)
    piano, old = made["piano"], song["piano"]
    assert (piano[: start - FADE] == old[: start - FADE]).all()
    assert (piano[stop:] == old[stop:]).all()
    assert (piano[start : stop - FADE] != old[start : stop - FADE]).mean() > 0.99
    assert made.beats is song.beats


def test_bars_of_another_take_are_those_of_the_songs_beats(model, song):
    made = model.generate(original=song, bars="2-2", **QUICK)
    (changed,) = {tuple(np.flatnonzero(made[stem] != song[stem])[[0, -1]]) for stem in STEMS}
    assert RATE - FADE <= changed[0] <= RATE
    assert 2 * RATE - 3 <= changed[1] < 2 * RATE


def test_takes_of_other_seeds_differ(model, song):
    one, other = model.generate(seed=[1, 2], original=song, redo="piano", span="0.8-1.6", **QUICK)
    assert np.abs(one["piano"] - other["piano"]).max() > 1e-4


def test_extension_keeps_the_song_and_goes_on_with_its_beats(model, song):
    made = model.generate(original=song, extend=1.5, **QUICK)
    assert made.num_samples == song.num_samples + round(1.5 * RATE)
    for stem in STEMS:
        assert (made[stem][: song.num_samples - FADE] == song[stem][:-FADE]).all()
        assert made[stem][song.num_samples :].std() > 1e-4
    np.testing.assert_allclose(made.beats.beats, regular_beats(180, 3, 2.56 + 1.5).beats, atol=1e-9)


def test_variation_keeps_stems_of_strength_0_and_stays_nearer_when_weaker(model, song):
    settings = {"original": song, "steps": 10}
    weak, strong = (model.generate(strength={"piano": s}, **settings) for s in (0.2, 1.0))
    for stem in ("bass", "drums", "guitar"):
        assert (weak[stem] == song[stem]).all()
    decoded = model.model.decode(model.model.encode_posterior(model_input(song)).mean * model.model.scale_factor)[
        0, STEMS.index("piano")
    ].numpy()
    assert np.abs(weak["piano"] - decoded).mean() < np.abs(strong["piano"] - decoded).mean()


def model_input(song):
    import torch

    return torch.from_numpy(np.stack([song[stem] for stem in STEMS]))[None]


def test_song_that_was_made_quieter_is_told_at_its_own_level(model, song):
    """Half as loud with a gain of a half is the same music: the new part is half as loud, too."""
    quiet = dataclasses.replace(song, waveforms={s: w / 2 for s, w in song.waveforms.items()}, info={"gain": 0.5})
    settings = {"redo": "piano", "span": "0.8-1.6"} | QUICK
    one, half = (model.generate(original=original, **settings) for original in (song, quiet))
    np.testing.assert_allclose(half["piano"], one["piano"] / 2, atol=1e-6)


def test_tempo_and_guidance_change_what_is_generated(model):
    slow = model.generate(bpm=100, **QUICK)
    assert slow.beats.bpm == pytest.approx(100)
    assert np.abs(slow["bass"] - model.generate(bpm=140, **QUICK)["bass"]).max() > 1e-5
    assert np.abs(slow["bass"] - model.generate(bpm=100, guidance=3.0, **QUICK)["bass"]).max() > 1e-5


@pytest.mark.parametrize("meter", [3, 4])
def test_bars_give_the_exact_number_of_samples(model, meter):
    made = model.generate(bpm=133, bars=2, meter=meter, **QUICK)
    assert made.num_samples == round(2 * meter * 60 / 133 * RATE)
    assert len(made.beats.downbeats) == 2


def test_beats_of_a_file_are_told_and_kept(model, tmp_path):
    path = tmp_path / "beats.json"
    path.write_text(json.dumps({"beats": [0.1, 0.5, 0.9, 1.3, 1.7], "downbeats": [0.1, 1.3]}))
    made = model.generate(beats=path, bars=1, **QUICK)
    assert made.num_samples == round(1.3 * RATE)
    saved = load_song(made.save(tmp_path / "song"))
    np.testing.assert_allclose(saved.beats.beats, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(saved.beats.downbeats, [0.1])


def test_resampling_changes_replacement(plain, song):
    settings = {"original": song, "redo": "piano", "span": "0.8-1.6"} | QUICK
    once, more = plain.generate(**settings), plain.generate(resampling=2, **settings)
    assert np.abs(once["piano"] - more["piano"]).max() > 1e-4
    assert (more["bass"] == song["bass"]).all()


def test_replacement_is_said_once(plain, song, caplog):
    plain.generate(original=song, redo="piano", clips=2, **QUICK)
    assert caplog.text.count("was not trained with context") == 1


def test_best_of_keeps_the_candidate_that_ranks_highest(model):
    from synctrack.generation.ranking import Timing

    made = model.generate(best_of=3, **QUICK)
    ranks = [Timing(**values).rank for values in made.info["candidates"]]
    assert len(ranks) == 3
    assert made.info["candidate"] == int(np.argmax(ranks))
    first = model.generate(**QUICK)
    if made.info["candidate"] == 0:
        assert (made["bass"] == first["bass"]).all()


@pytest.mark.parametrize("name", NAMES)
def test_song_is_made_again_from_its_song_json_alone(tmp_path, song, name):
    path = save_steered(tmp_path / "model.safetensors")
    original = dataclasses.replace(song, info={"gain": 1.0}).save(tmp_path / "original")
    (tmp_path / "mix").mkdir()
    soundfile.write(tmp_path / "mix" / "mix.wav", song.mix, RATE, subtype="FLOAT")
    settings = modes(song, tmp_path)[name] | QUICK
    settings |= {"original": original} if "original" in settings else {}
    settings |= {"mix": tmp_path / "mix" / "mix.wav"} if "mix" in settings else {}
    first = list(SyncTrack.from_pretrained(path, device="cpu").stream([(3, 0), (3, 1)], batch_size=2, **settings))[1]
    first.save(tmp_path / "first")
    facts = json.loads((tmp_path / "first" / "song.json").read_text())
    again = SyncTrack.from_pretrained(facts["model"]["name"], device="cpu").remake(tmp_path / "first")
    again.save(tmp_path / "again")
    names = sorted(file.name for file in (tmp_path / "first").iterdir())
    assert len(names) == 6
    for file in names:
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "first" / file).read_bytes(), file


def test_song_whose_given_file_changed_is_not_made_again(model, tmp_path, song):
    path = drums_file(tmp_path, song["drums"][:9000])
    model.generate(given={"drums": path}, **QUICK).save(tmp_path / "song")
    drums_file(tmp_path, song["bass"][:9000])
    with pytest.raises(InputError, match="which has changed since"):
        model.remake(tmp_path / "song")
    path.unlink()
    with pytest.raises(InputError, match="which is gone"):
        model.remake(tmp_path / "song")


@pytest.mark.parametrize("stems", [("a", "b"), ("a", "b", "c", "d", "e", "f")])
def test_any_number_of_stems_can_be_steered(stems):
    model = steered_model(ALL, stems)
    drums = noise_song()["drums"][:9000]
    made = model.generate(given={"b": drums}, bpm=120, **QUICK)
    assert made.stems == stems
    assert (made["b"] == drums).all()
    assert model.separate(made.mix, **QUICK).stems == stems


def test_model_of_44_khz_can_be_steered():
    audio = dataclasses.replace(SMALL_AUDIO, sample_rate=44100, n_fft=2048, hop_length=160, n_mels=64, f_max=22050.0)
    model = steered_model(config=dataclasses.replace(steered_config(), audio=audio))
    drums = np.random.default_rng(0).normal(0, 0.1, 44100).astype(np.float32)
    made = model.generate(given={"drums": drums}, bpm=140, seconds=1.0, **QUICK)
    assert (made["drums"] == drums).all()
    again = model.generate(original=made, redo="bass", span="0.3-0.6", **QUICK)
    assert (again["piano"] == made["piano"]).all()
    assert model.generate(bpm=141, bars=1, loop=True, **QUICK).num_samples == round(4 * 60 / 141 * 44100)


def test_signal_that_a_model_lacks_is_not_told(song):
    """A song's own beats are told where the model takes a click, and left out where it does not."""
    model = steered_model(ConditioningConfig(context=True))
    made = model.generate(original=song, redo="piano", bars="1-1", **QUICK)
    assert (made["bass"] == song["bass"]).all()
