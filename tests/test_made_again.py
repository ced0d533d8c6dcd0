"""Songs made again, loops that are changed or exported, and given audio of another scale."""

import json
import shutil

import numpy as np
import pytest
import soundfile
import torch

from helpers.steered import QUICK, RATE, STEMS, noise_song, save_steered, steered_model
from synctrack import Song, SyncTrack, load_song
from synctrack.audio.beat_files import regular_beats
from synctrack.errors import InputError
from synctrack.generation import production
from synctrack.generation.ranking import Timing

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def model():
    return steered_model(trained_bpm=(200, 300))


@pytest.fixture(scope="module")
def loop(model):
    return model.generate(seed=1, bpm=180, bars=1, meter=3, loop=True, **QUICK)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    """A song's folder."""
    return model.generate(seconds=0.64, **QUICK).save(tmp_path_factory.mktemp("saved") / "song")


def test_song_of_whole_bars_is_made_again_in_its_own_length(model, tmp_path):
    made = model.generate(seed=4, seconds=1.28, **QUICK)
    saved = load_song(made.save(tmp_path / "song", "wav24", daw=True))
    assert saved.num_samples < made.num_samples
    again = model.remake(tmp_path / "song")
    assert again.num_samples == made.num_samples
    again.save(tmp_path / "again", "wav24", daw=True)
    for path in (tmp_path / "song").iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_song_of_another_precision_is_refused(tmp_path):
    network = steered_model()
    network.generate(seconds=0.64, **QUICK).save(tmp_path / "song")
    facts = json.loads((tmp_path / "song" / "song.json").read_text())
    (tmp_path / "song" / "song.json").write_text(json.dumps(facts | {"precision": "bfloat16"}))
    with pytest.raises(InputError, match="was made in bfloat16, not float32; load the model with precision bfloat16"):
        network.remake(tmp_path / "song")


def seam(song, stem):
    """The step from the last sample to the first, in units of the steps inside."""
    wave = song[stem]
    return abs(wave[0] - wave[-1]) / np.percentile(np.abs(np.diff(wave)), 99)


def test_stems_of_a_loop_played_again_are_a_loop(model, loop):
    made = [model.generate(seed=seed, original=loop, redo=["bass"], **QUICK) for seed in range(3)]
    for song in made:
        assert song.loops
        assert all((song[stem] == loop[stem]).all() for stem in STEMS if stem != "bass")
        assert song.num_samples == loop.num_samples
    # The same as a loop to given stems, at the level of the first one.
    level = loop.info["gain"]
    given = {stem: loop[stem] for stem in STEMS if stem != "bass"}
    same = model.generate(seed=0, given=given, beats=loop.beats, seconds=loop.seconds, loop=True, level=level, **QUICK)
    np.testing.assert_array_equal(same["bass"], made[0]["bass"])
    assert np.mean([seam(song, "bass") for song in made]) < 2


def test_changed_end_of_a_loop_is_said_and_a_part_inside_leaves_it(model, loop, caplog):
    inside = model.generate(original=loop, span="0.3-0.7", **QUICK)
    assert inside.loops
    assert "the original is a loop" not in caplog.text
    end = model.generate(original=loop, span=f"0.5-{loop.seconds}", **QUICK)
    assert not end.loops
    assert "the original is a loop; what changes at its end" in caplog.text


def test_changed_loop_is_made_again(tmp_path):
    path = save_steered(tmp_path / "model.safetensors")
    model = SyncTrack.from_pretrained(path, device="cpu")
    model.generate(bpm=180, bars=1, meter=3, loop=True, **QUICK).save(tmp_path / "loop")
    model.generate(seed=2, original=tmp_path / "loop", redo=["bass"], **QUICK).save(tmp_path / "song")
    model.remake(tmp_path / "song").save(tmp_path / "again")
    for file in (tmp_path / "song").iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name


def test_loop_at_another_rate_goes_round(loop, tmp_path):
    loop.save(tmp_path, "float", sample_rate=48000)
    again = load_song(tmp_path)
    assert again.num_samples == loop.num_samples * 6
    for stem in STEMS:
        # Once more around, and only then at the other rate: the inside is the same from end to end.
        round_and_round = np.tile(loop[stem] * (again.info["gain"] / loop.info["gain"]), 3)
        spectrum = np.fft.rfft(round_and_round.astype(float))
        expected = np.fft.irfft(spectrum, len(round_and_round) * 6) * 6
        middle = expected[again.num_samples : 2 * again.num_samples]
        np.testing.assert_allclose(again[stem], middle, atol=2e-3)


def test_given_floats_beyond_full_scale_are_kept_and_said_where_they_clip(model, tmp_path, caplog):
    drums = noise_song(1.28, level=0.5)["drums"] * 2
    assert np.abs(drums).max() > 1.2
    soundfile.write(tmp_path / "drums.wav", drums, RATE, "FLOAT")
    made = model.generate(given={"drums": tmp_path / "drums.wav"}, beats="none", **QUICK)
    made.save(tmp_path / "float", "float")
    assert "is clipped" not in caplog.text
    assert (soundfile.read(tmp_path / "float" / "drums.wav", dtype="float32")[0] == drums).all()
    made.save(tmp_path / "wav", "wav16")
    assert "drums.wav: exceeds full scale and is clipped; format float keeps it" in caplog.text


def test_detected_beats_end_with_the_song_and_rank_candidates(model, tmp_path, monkeypatch):
    beats, given = regular_beats(240, 4, 2.5), noise_song(2.56)["drums"]
    monkeypatch.setattr("synctrack.generation.drafts.detected_beats", lambda *arguments: beats)
    song = model.generate(given={"drums": given}, seconds=1.28, **QUICK)
    assert song.beats.beats[-1] < 1.28
    assert song.info["steering"]["detected_beats"]["beats"] == song.beats.beats.tolist()
    asked = []

    def rank(waveforms, rate, wanted):
        asked.append(wanted)
        return Timing(cbs=0.5, cbd=0.1, tempo=None)

    monkeypatch.setattr(production, "keeps_time", rank)
    soundfile.write(tmp_path / "drums.wav", given, RATE)
    model.generate(given={"drums": tmp_path / "drums.wav"}, seconds=1.28, best_of=2, **QUICK).save(tmp_path / "song")
    model.remake(tmp_path / "song")
    assert len(asked) == 4
    assert len({tuple(wanted.beats) for wanted in asked}) == 1


def test_numbers_of_numpy_are_as_good_as_pythons(model, tmp_path):
    asked = {"bpm": np.float32(180), "meter": np.int64(3), "bars": np.int64(1), "steps": np.int64(2)}
    made = model.generate(seed=np.int64(3), **asked)
    plain = model.generate(seed=3, bpm=180, meter=3, bars=1, steps=2)
    assert (made["bass"] == plain["bass"]).all()
    assert made.save(tmp_path).joinpath("song.json").is_file()
    with pytest.raises(InputError, match=r"seed: 3\.0 is not a whole number"):
        model.generate(seed=3.0)
    with pytest.raises(InputError, match="batch_size: 0 is not between 1 and"):
        model.generate(batch_size=0)


def test_seeds_in_an_array_are_as_good_as_pythons_and_others_are_refused(model, tmp_path):
    made = model.generate(seed=np.arange(2), seconds=0.64, **QUICK)
    assert [song.info["seed"] for song in made] == [0, 1]
    assert load_song(made[1].save(tmp_path)).info["seed"] == 1
    for seed in (2**70, [0, 1.5], "12", [None], -1):
        with pytest.raises(InputError, match="seed: "):
            model.generate(seed=seed, seconds=0.64, **QUICK)
    with pytest.raises(InputError, match=r"seed: 1\.5 is not a whole number"):
        model.separate(noise_song().mix, seed=1.5)


def test_seed_of_the_original_is_warned_of(model, caplog):
    song = model.generate(seed=3, seconds=1.28, **QUICK)
    model.generate(seed=4, original=song, redo="piano", **QUICK)
    assert "is that of the original" not in caplog.text
    model.generate(seed=3, original=song, redo="piano", **QUICK)
    assert "seed: is that of the original" in caplog.text


def test_variation_of_all_stems_is_held_below_full_scale_as_a_new_song_is(model):
    quiet = noise_song(1.28)
    loud = Song({stem: 0.9 * wave / np.abs(wave).max() for stem, wave in quiet.waveforms.items()}, RATE, {"gain": 0.5})
    made = model.generate(seed=1, original=loud, strength=0.5, **QUICK)
    assert "mix_gain" not in made.info
    assert np.abs(made.mix).max() <= 10 ** (-1 / 20) + 1e-4
    assert all(np.abs(made[stem]).max() <= 10 ** (-1 / 20) + 1e-4 for stem in STEMS)


@pytest.mark.parametrize(
    "damage",
    [
        {"steering": {"kazoo": 1}},
        {"steering": "loud"},
        {"steering": {"bpm": 120, "beats": 5}},
        {"steering": {"beats": {"beats": [1.0], "downbeats": []}}},
        {"steering": {"given": {"drums": {"path": 5}}}},
        {"sampling": {"sampler": "ddim", "steps": "x", "eta": 1}},
        {"sampling": 7},
        {"model": "x"},
        {"model": None},
    ],
)
def test_damaged_song_json_is_one_line(model, saved, tmp_path, damage):
    shutil.copytree(saved, tmp_path / "song")
    path = tmp_path / "song" / "song.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(InputError):
        model.remake(tmp_path / "song")


@pytest.mark.parametrize("strength", [0.05, 0.35, 0.45, 0.65, 0.7, 0.9, 0.95, 1.0])
def test_strengths_lose_no_step_to_rounding(model, strength):
    sampling = production.make_sampling("dpmpp_2m_sde", 20, None, 1000)
    assert len(model.model.steps(sampling, torch.full((4,), strength))) == round(20 * strength)


def test_what_is_known_is_encoded_in_float32_beside_a_network_of_fewer_bits(model):
    from synctrack.generation.encoding import encode_mel

    mel = torch.randn(1, 64, model.model.config.audio.n_mels, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain = encode_mel(model.model, mel)
        with torch.autocast("cpu", torch.bfloat16):
            beside = encode_mel(model.model, mel)
    assert beside.dtype == torch.float32
    assert torch.equal(beside, plain)
