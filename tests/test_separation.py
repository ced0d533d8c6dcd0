"""Separation: masks that share a mixture out, and the two methods of a model that takes a mix."""

import numpy as np
import pytest
import torch

from helpers.small_model import SMALL_AUDIO
from helpers.steered import QUICK, RATE, STEMS, noise_song, steered_model
from synctrack.audio.files import write_audio
from synctrack.audio.mel import LogMel
from synctrack.errors import InputError
from synctrack.generation import separation
from synctrack.generation.production import Production
from synctrack.generation.request import Request
from synctrack.generation.separation import soft_masks
from synctrack.generation.song import load_song

AUDIO = SMALL_AUDIO


def tones(num_samples: int = 40_000) -> np.ndarray:
    """Three stems in bands of their own, each with its own rhythm."""
    t = np.arange(num_samples) / RATE
    stems = [np.sin(2 * np.pi * hz * t) * (np.sin(2 * np.pi * beat * t) > 0) for hz, beat in ((200, 2), (900, 3))]
    stems.append(0.3 * np.random.default_rng(0).normal(size=num_samples) * (t % 0.5 < 0.1))
    return np.array(stems, np.float32)


def mels(stems: np.ndarray) -> np.ndarray:
    return LogMel(AUDIO)(torch.from_numpy(stems)).numpy()


def si_sdr(estimate: np.ndarray, truth: np.ndarray) -> float:
    """Scale-invariant SDR in dB (Le Roux et al., 2019, eq. 3)."""
    target = truth * (estimate @ truth) / (truth @ truth)
    return 10 * np.log10((target @ target) / ((estimate - target) @ (estimate - target)))


@pytest.mark.parametrize("num_samples", [1, 100, 513, 39_999, 40_000])
def test_separated_stems_sum_to_the_mixture_whatever_the_mels(num_samples):
    stems = tones()
    mixture = stems.sum(axis=0)[:num_samples]
    silent, wild = np.full((3, 250, 32), -11.5), np.random.default_rng(1).normal(0, 40, (3, 200, 32))
    for mel in (mels(stems), silent, wild):
        separated = soft_masks(mel.astype(np.float32), mixture, AUDIO)
        np.testing.assert_allclose(separated.sum(axis=0), mixture, atol=1e-4)


def test_masks_of_the_true_mels_separate():
    stems = tones()
    mixture = stems.sum(axis=0)
    for estimate, truth in zip(soft_masks(mels(stems), mixture, AUDIO), stems, strict=True):
        assert si_sdr(estimate, truth) > si_sdr(mixture, truth) + 10


def test_masks_in_blocks_equal_the_whole(monkeypatch):
    stems = tones()
    whole = soft_masks(mels(stems), stems.sum(axis=0), AUDIO)
    monkeypatch.setattr(separation, "BLOCK_FRAMES", 37)
    np.testing.assert_allclose(soft_masks(mels(stems), stems.sum(axis=0), AUDIO), whole, atol=1e-5)


@pytest.mark.medium
@pytest.mark.parametrize("seconds", [0.5, 1.28, 3.1])
def test_model_separates_a_mix_of_any_length_into_stems_that_sum_to_it(tmp_path, seconds):
    mix = noise_song(seconds).mix
    model = steered_model()
    song = model.separate(mix, **QUICK)
    assert song.stems == STEMS
    np.testing.assert_allclose(np.sum([song[stem] for stem in STEMS], axis=0), mix, atol=1e-4)
    generated = model.separate(mix, method="generated", **QUICK)
    assert generated.num_samples == len(mix)
    assert np.abs(generated["bass"] - song["bass"]).max() > 1e-3


@pytest.mark.medium
@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_draws_are_averaged(monkeypatch, batch_size):
    mix, drawn = noise_song(1.28).mix, []
    rendered = Production._waveforms

    def remembered(production, keys, count):
        for waveforms in rendered(production, keys, count):
            drawn.append(waveforms.copy())
            yield waveforms

    monkeypatch.setattr(Production, "_waveforms", remembered)
    songs = list(
        steered_model().stream([(0, 0), (5, 0)], mix=mix, method="masks", draws=4, batch_size=batch_size, **QUICK)
    )
    assert len(drawn) == 8
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3
    for song, draws in zip(songs, (drawn[:4], drawn[4:]), strict=True):
        expected = np.mean(draws, axis=0)
        np.testing.assert_allclose([song[stem] for stem in STEMS], expected * song.info["gain"], atol=1e-6)
    monkeypatch.undo()
    alone = steered_model().separate(mix, draws=1, **QUICK)
    np.testing.assert_allclose([alone[stem] for stem in STEMS], drawn[0] * alone.info["gain"], atol=1e-5)


@pytest.mark.medium
def test_separated_song_is_made_again_to_the_last_bit_in_any_batch(tmp_path):
    write_audio(tmp_path / "mix.wav", noise_song(0.64).mix, RATE, "FLOAT")
    model = steered_model()
    for batch_size in (1, 2, 3):
        song = model.separate(tmp_path / "mix.wav", batch_size=batch_size, best_of=1)
        assert song.info["steering"]["draws"] == 4
        assert song.info["sampling"]["steps"] == 5
        folder = song.save(tmp_path / f"batch_{batch_size}")
        again = model.remake(folder)
        assert again.info == load_song(folder).info
        for stem in STEMS:
            assert np.array_equal(again[stem], song[stem])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"draws": 2}, "draws: averages the masks that share out a mix"),
        ({"draws": 2, "original": "song", "redo": ["piano"]}, "draws: averages the masks"),
        ({"draws": 2, "mix": np.zeros(9), "method": "generated"}, "draws: averages the masks"),
        ({"draws": 0, "mix": np.zeros(9)}, "draws: 0 is not a whole number from 1 to 256"),
        ({"draws": 1.5, "mix": np.zeros(9)}, "draws: 1.5 is not a whole number"),
    ],
)
def test_draws_that_mean_nothing_are_refused(asked, message):
    with pytest.raises(InputError, match=message):
        Request(**asked)
