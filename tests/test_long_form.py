"""Long songs, loops and decoding in chunks."""

import dataclasses

import numpy as np
import pytest
import torch

from helpers.steered import (
    ALL,
    FRAME,
    NOTHING,
    QUICK,
    RATE,
    STEMS,
    WINDOW,
    noise_song,
    steered_config,
    steered_model,
    steered_network,
)
from synctrack.diffusion.samplers import Sampling
from synctrack.generation import rendering
from synctrack.generation.decoding import decode, decode_loop, in_chunks
from synctrack.models.conditioning import ConditioningConfig, Conditions
from synctrack.models.denoising import Original
from synctrack.models.layers import circular_time

pytestmark = pytest.mark.medium

SAMPLING = Sampling("dpmpp_2m_sde", 3, spacing="trailing", final="one")


@pytest.fixture(scope="module")
def network():
    return steered_network()


def random_latents(network, frames):
    c, _, f = network.config.latent_shape
    return torch.randn((len(STEMS), c, frames, f), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("total", "chunk", "edge", "ramp"), [(100, 32, 2, 4), (33, 32, 2, 4), (64, 20, 3, 5)])
def test_chunks_of_a_local_operation_equal_the_whole(total, chunk, edge, ramp):
    """A convolution that reaches two steps to each side, then a doubling of the length."""
    x = torch.randn((3, total), generator=torch.Generator().manual_seed(0))
    kernel = torch.tensor([[[0.1, -0.5, 1.0, 0.3, 0.2]]])

    def operation(part):
        return torch.nn.functional.conv1d(part[:, None], kernel, padding=2)[:, 0].repeat_interleave(2, dim=1)

    blocks = list(in_chunks(operation, x, 1, chunk, edge, ramp, 2))
    assert len(blocks) > 1
    torch.testing.assert_close(torch.cat(blocks, dim=1), operation(x), atol=1e-6, rtol=0)


@torch.no_grad()
def test_decoding_in_chunks_is_near_the_whole_and_nowhere_further_at_the_seams(network):
    """The VAE's normalisation over time differs from chunk to chunk: see the module's text."""
    latent = random_latents(network, 4 * WINDOW)
    whole, chunks = decode(network, latent, 4 * WINDOW), decode(network, latent, WINDOW)
    assert chunks.shape == whole.shape == (len(STEMS), 4 * WINDOW * FRAME)
    # Of each latent frame; chunks put end to end without overlap are off by 0.2 to 0.4 around each seam.
    errors = np.sqrt(((chunks - whole) ** 2).mean(axis=0).reshape(-1, FRAME).mean(axis=1)) / whole.std()
    assert errors.max() < 0.1
    assert errors.max() < 2 * np.median(errors)


@torch.no_grad()
def test_vocoder_in_chunks_equals_the_whole(network, monkeypatch):
    """With a VAE that is local, chunks equal the whole to rounding."""
    monkeypatch.setattr(network.vae, "decode", lambda z: z.mean(dim=2).repeat_interleave(2, 2).repeat_interleave(2, 3))
    latent = random_latents(network, 12 * WINDOW)
    whole, chunks = decode(network, latent, 12 * WINDOW), decode(network, latent, 2 * WINDOW)
    np.testing.assert_allclose(chunks, whole, atol=1e-5)


def test_circular_network_gives_the_shifted_song_for_shifted_noise_and_conditions(network, monkeypatch):
    """No place of a loop is its edge: shifting all by the U-Net's downsampling shifts the result, to 1e-4."""
    frames, shift = 24, 8
    c, _, f = network.config.latent_shape
    generator = torch.Generator().manual_seed(5)
    noise = [torch.randn((1, len(STEMS), c, frames, f), generator=generator) for _ in range(4)]
    known = torch.randn((1, len(STEMS), c, frames, f), generator=generator)
    mask = torch.zeros(1, len(STEMS), frames)
    mask[:, 1, 3:17] = 1
    signals, presence = {"click": known[:, 0]}, {"click": torch.ones(1, frames)}

    def song(by: int) -> torch.Tensor:
        rolled = iter([part.roll(by, 3) for part in noise])
        monkeypatch.setattr("synctrack.models.latent_diffusion.normal_per_item", lambda *_: next(rolled))
        conditions = Conditions(known.roll(by, 3), mask.roll(by, 2), {"click": signals["click"].roll(by, 2)}, presence)
        return network.generate(
            [torch.Generator()], SAMPLING, num_frames=2 * frames, conditions=conditions, circular=True
        )

    here, there = song(0), song(shift)
    assert (there - here.roll(shift, 3)).abs().max() < 1e-4 * here.abs().max()
    assert (here - here.roll(shift, 3)).abs().max() > 0.1


@torch.no_grad()
def test_loop_is_decoded_alike_wherever_it_begins(network):
    latent = random_latents(network, 24)
    num_samples = 24 * FRAME
    here = decode_loop(network, latent, num_samples)
    there = decode_loop(network, latent.roll(4, 2), num_samples)
    np.testing.assert_allclose(there, np.roll(here, 4 * FRAME, axis=1), atol=1e-4)


@pytest.mark.parametrize(("bpm", "bars", "meter"), [(125, 1, 3), (107, 2, 4), (136.5, 1, 4)])
def test_loop_has_the_exact_samples_of_its_bars_and_no_jump_at_its_seam(monkeypatch, bpm, bars, meter):
    """Half of each of these loops is a whole number of latent frames, of mel frames and of samples."""
    told = []
    monkeypatch.setattr(rendering, "decode_loop", lambda *given: told.append(given) or decode_loop(*given))
    song = steered_model().generate(bpm=bpm, bars=bars, meter=meter, loop=True, **QUICK)
    assert song.num_samples == round(bars * meter * 60 / bpm * RATE)
    assert len(song.beats.downbeats) == bars
    ((model, latent, num_samples),) = told
    with torch.no_grad():
        here, there = (
            decode_loop(model, latent, num_samples),
            decode_loop(model, latent.roll(latent.shape[2] // 2, 2), num_samples),
        )
    np.testing.assert_allclose(np.roll(there, num_samples // 2, axis=1), here, atol=1e-4 * np.abs(here).max())
    for wave, stem in zip(here, STEMS, strict=True):
        np.testing.assert_allclose(song[stem] * np.abs(wave).max(), wave * np.abs(song[stem]).max(), atol=1e-5)


def test_given_stem_of_a_loop_is_bit_equal_and_its_end_is_not_padded():
    drums = np.random.default_rng(0).normal(0, 0.1, 9999).astype(np.float32)
    song = steered_model().generate(given={"drums": drums}, loop=True, **QUICK)
    assert (song["drums"] == drums).all()
    assert song["bass"].shape == (9999,)


def test_long_song_is_deterministic_begins_like_the_short_one_and_says_what_it_is_told():
    model = steered_model()
    settings = {"bpm": 120, **QUICK}
    long, again = (model.generate(seconds=3.0, **settings) for _ in range(2))
    short = model.generate(seconds=WINDOW * FRAME / RATE, **settings)
    assert long.num_samples == 3 * RATE
    for stem in STEMS:
        assert (long[stem] == again[stem]).all()
        # Up to where the second window generates; what chunks differ by is 0.05 of the level.
        one, other = (song[stem][: 28 * FRAME] / song[stem][: 28 * FRAME].std() for song in (long, short))
        assert np.sqrt(((one - other) ** 2).mean()) < 0.1
    plan = model.check(seconds=3.0, **settings).plan
    assert plan.starts == (0, 16, 32, 44)
    assert plan.length == WINDOW


def test_windows_continue_each_other_by_what_is_known(monkeypatch):
    """Each window after the first is told the second half of the one before, but for its last frames."""
    model, told = steered_model(), []
    original = model.model.generate

    def generate(*arguments, conditions, **options):
        result = original(*arguments, conditions=conditions, **options)
        told.append((conditions, result))
        return result

    monkeypatch.setattr(model.model, "generate", generate)
    model.generate(seconds=2.56, **QUICK)
    (first, before), (second, after), *_ = told
    assert first is None
    half = WINDOW // 2
    expected = torch.zeros(WINDOW)
    expected[: half - 2] = 1
    torch.testing.assert_close(second.mask[0], expected.expand(len(STEMS), -1))
    assert (after[..., : half - 2, :] == before[..., half : WINDOW - 2, :]).all()


def test_long_song_goes_in_one_pass_without_context_unless_asked(caplog):
    model = steered_model(NOTHING)
    assert model.check(seconds=2.56).plan.in_one
    assert "what it generates may drift" in caplog.text
    assert not model.check(seconds=2.56, long="windows").plan.in_one
    assert steered_model().check(seconds=2.56, long="whole").plan.in_one


def test_long_loop_closes_over_its_beginning():
    model = steered_model()
    plan = model.check(bpm=120, bars=2, loop=True).plan
    assert plan.starts[-1] + plan.length == plan.frames + WINDOW // 2
    assert model.generate(bpm=120, bars=2, loop=True, **QUICK).num_samples == 4 * RATE


@pytest.mark.parametrize("seconds", [12.8, 12.9])
def test_change_of_a_long_song_generates_only_around_it(seconds):
    """Whether or not the song's length is one of the model's grid, beyond which nothing is heard."""
    song, model = noise_song(seconds), steered_model()
    plan = model.check(original=song, redo="piano", span="6.0-6.3").plan
    assert plan.in_one
    made = model.generate(original=song, redo="piano", span="6.0-6.3", **QUICK)
    changed = np.flatnonzero(made["piano"] != song["piano"])
    assert round(5.98 * RATE) <= changed[0] <= 6.0 * RATE
    assert changed[-1] < 6.3 * RATE


@pytest.mark.parametrize("margin", [0, 2, 5])
def test_as_many_frames_at_borders_count_as_unknown_as_in_training(margin):
    song = noise_song(2.56)
    part = {"original": song, "redo": ["piano"], "span": (1.0, 1.6)}
    told = steered_model(dataclasses.replace(ALL, margin=margin)).check(**part).plan.told
    assert told.mask[[0, 1, 2]].all()
    unknown = np.flatnonzero(~told.mask[3])
    exact = np.flatnonzero(~steered_model(dataclasses.replace(ALL, margin=0)).check(**part).plan.told.mask[3])
    assert (unknown == np.arange(exact[0] - margin, exact[-1] + margin + 1)).all()


def test_zero_initialised_condition_channels_change_no_bit():
    plain, told = steered_network(NOTHING), steered_network(ALL)
    told.load_state_dict(plain.state_dict(), strict=False)
    torch.nn.init.zeros_(told.unet.conv_condition.weight)
    c, t, f = plain.config.latent_shape
    known = torch.randn((1, len(STEMS), c, t, f), generator=torch.Generator().manual_seed(0))
    signals = {"click": known[:, 0], "mix": known[:, 1]}
    presence = dict.fromkeys(signals, torch.ones(1, t))
    conditions = Conditions(None, None, signals, presence)
    one, other = (
        network.generate([torch.Generator().manual_seed(1)], SAMPLING, conditions=conditions)
        for network in (plain, told)
    )
    assert (one == other).all()


@pytest.mark.parametrize("able", [ALL, NOTHING, ConditioningConfig(context=True)])
def test_known_latent_comes_out_as_given(able):
    network = steered_network(able)
    c, t, f = network.config.latent_shape
    known = torch.randn((1, len(STEMS), c, t, f), generator=torch.Generator().manual_seed(0))
    mask = torch.rand((1, len(STEMS), t), generator=torch.Generator().manual_seed(1)).round()
    for sampler in ("ddim", "dpmpp_2m", "dpmpp_2m_sde"):
        sampling = dataclasses.replace(SAMPLING, sampler=sampler)
        result = network.generate([torch.Generator().manual_seed(1)], sampling, conditions=Conditions(known, mask))
        given = mask[:, :, None, :, None].expand_as(known) > 0
        torch.testing.assert_close(result[given], known[given], atol=1e-6, rtol=0)
        assert (result[~given] - known[~given]).abs().max() > 0.1


def test_variation_of_strength_1_is_a_song_of_its_own_and_of_0_the_original():
    network = steered_network()
    c, t, f = network.config.latent_shape
    latent = torch.randn((1, len(STEMS), c, t, f), generator=torch.Generator().manual_seed(0))
    strength = torch.tensor([0.0, 0.5, 1.0, 1.0])
    result = network.generate([torch.Generator().manual_seed(1)], SAMPLING, original=Original(latent, strength))
    assert (result[:, 0] == latent[:, 0]).all()
    assert (result[:, 2] - latent[:, 2]).abs().mean() > 0.1


def test_circular_time_ends_with_its_block(network):
    with circular_time(network.unet):
        assert network.unet.conv_in.circular
    assert not network.unet.conv_in.circular


def test_small_config_is_what_the_numbers_here_say():
    config = steered_config()
    assert config.audio.hop_length * config.vae.downsampling == FRAME
    assert config.audio.frames // config.vae.downsampling == WINDOW
