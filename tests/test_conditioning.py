"""Claims about what the U-Net is told: zero at the start, absent parts, order of the channels, known parts, batches."""

import dataclasses

import numpy as np
import pytest
import torch

from helpers.small_model import STEMS, awaken, small_config
from synctrack.diffusion.process import Diffusion, DiffusionConfig
from synctrack.diffusion.samplers import Sampling
from synctrack.models.conditioning import ConditioningConfig, Conditions
from synctrack.models.denoising import Original
from synctrack.models.latent_diffusion import LatentDiffusion
from synctrack.seeding import item_generator

TOLD = ConditioningConfig(context=True, signals=["click", "mix"])
SAMPLING = Sampling("dpmpp_2m_sde", 3, spacing="trailing", final="one")


def conditioned(config=TOLD, condition_weights: bool = True, stems=STEMS) -> LatentDiffusion:
    """A small model with random weights in all layers, those for conditions included where asked for."""
    torch.manual_seed(0)
    model = LatentDiffusion(dataclasses.replace(small_config(), conditioning=config), stems)
    layer = model.unet.conv_condition
    awaken(model)
    if layer is not None and not condition_weights:
        torch.nn.init.zeros_(layer.weight)
    model.scale_factor.fill_(1.0)
    return model.eval()


def generators(*items: int) -> list[torch.Generator]:
    return [item_generator(7, item) for item in items]


def latents(model: LatentDiffusion, items: int, frames: int | None = None, seed: int = 3) -> torch.Tensor:
    c, t, f = model.config.latent_shape
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((items, len(model.stems), c, frames or t, f), generator=generator)


def told(model: LatentDiffusion, items: int, seed: int = 3) -> Conditions:
    """Conditions of all kinds, different for each item."""
    known = latents(model, items, seed=seed)
    b, s, _, t, _ = known.shape
    mask = torch.zeros(b, s, t)
    for item in range(items):
        mask[item, item % s, :] = 1
        mask[item, :, : t // (4 + item)] = 1
    signals = {name: known[:, i] for i, name in enumerate(TOLD.signals)}
    presence = {"click": torch.ones(b, t), "mix": (torch.arange(b) % 2).float()[:, None].expand(b, t)}
    return Conditions(known, mask, signals, presence)


def slice_of(conditions: Conditions, item: int) -> Conditions:
    part = slice(item, item + 1)
    return Conditions(
        conditions.known[part],
        conditions.mask[part],
        {name: signal[part] for name, signal in conditions.signals.items()},
        {name: given[part] for name, given in conditions.presence.items()},
    )


def test_weights_for_conditions_start_at_zero_and_change_no_bit():
    torch.manual_seed(0)
    fresh = LatentDiffusion(dataclasses.replace(small_config(), conditioning=TOLD), STEMS)
    assert not fresh.unet.conv_condition.weight.any()
    plain, widened = conditioned(ConditioningConfig()), conditioned(condition_weights=False)
    missing = widened.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing == ["unet.conv_condition.weight"]
    x, t = latents(plain, 2), torch.tensor([10, 900])
    condition = told(widened, 2).channels(TOLD, x)
    assert torch.equal(widened.unet(x, t, condition), plain.unet(x, t))


def test_nothing_told_equals_all_zero_channels():
    model = conditioned()
    x, t = latents(model, 1), torch.tensor([500])
    channels = Conditions().channels(TOLD, x)
    assert channels.shape[2] == 3 * (x.shape[2] + 1)
    assert not channels.any()
    assert torch.equal(model.unet(x, t), model.unet(x, t, channels))


def test_every_part_that_is_told_changes_the_prediction():
    model = conditioned()
    x, t, all_told = latents(model, 1, seed=9), torch.tensor([500]), told(model, 2)
    all_told = slice_of(all_told, 1)
    untold = model.unet(x, t)
    given = torch.ones(1, x.shape[3])
    parts = {
        "context": Conditions(all_told.known, all_told.mask),
        "click": Conditions(signals={"click": all_told.signals["click"]}, presence={"click": given}),
        "mix": Conditions(signals={"mix": all_told.signals["mix"]}, presence={"mix": given}),
    }
    predictions = [model.unet(x, t, part.channels(TOLD, x)) for part in parts.values()]
    for i, prediction in enumerate(predictions):
        assert (prediction - untold).abs().max() > 1e-3
        for other in predictions[:i]:
            assert (prediction - other).abs().max() > 1e-3


def test_what_the_mask_hides_does_not_reach_the_network():
    model = conditioned()
    conditions = told(model, 2)
    hidden = conditions.mask[:, :, None, :, None] == 0
    other = dataclasses.replace(conditions, known=torch.where(hidden, 99.0, conditions.known))
    x = latents(model, 2)
    assert torch.equal(conditions.channels(TOLD, x), other.channels(TOLD, x))
    absent = conditions.signals["mix"].clone()
    absent[0] = 99.0
    other = dataclasses.replace(conditions, signals=conditions.signals | {"mix": absent})
    assert torch.equal(conditions.channels(TOLD, x), other.channels(TOLD, x))


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m", "dpmpp_2m_sde"])
@pytest.mark.parametrize("config", [TOLD, ConditioningConfig()], ids=["context", "replacement"])
def test_known_latents_come_out_as_given(sampler, config):
    model = conditioned(config)
    conditions = told(model, 2)
    sampling = Sampling(sampler, 3, spacing="trailing", final="one")
    sample = model.generate(generators(0, 1), sampling, conditions=conditions)
    known = conditions.mask[:, :, None, :, None].expand_as(sample) > 0
    torch.testing.assert_close(sample[known], conditions.known[known], rtol=0, atol=1e-5)
    assert (sample[~known] - conditions.known[~known]).abs().mean() > 0.1


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_steered_clip_does_not_depend_on_its_batch(guidance):
    model = conditioned()
    conditions = told(model, 3)
    together = model.generate(generators(0, 1, 2), SAMPLING, conditions=conditions, guidance=guidance)
    for item in range(3):
        alone = model.generate(generators(item), SAMPLING, conditions=slice_of(conditions, item), guidance=guidance)
        # Rounding depends on the batch; an untrained network enlarges it in its first step from pure noise.
        torch.testing.assert_close(together[item], alone[0], rtol=0, atol=1e-4 * float(together.abs().max()))


def test_guidance_extrapolates_from_the_untold_prediction():
    model = conditioned()
    conditions = Conditions(signals={"click": latents(model, 1)[:, 0]}, presence={"click": torch.ones(1, 32)})
    one_step = Sampling("ddim", 1, 0.0, "trailing", "one")
    samples = {g: model.generate(generators(0), one_step, conditions=conditions, guidance=g) for g in (0.0, 1.0, 3.0)}
    untold = model.generate(generators(0), one_step)
    torch.testing.assert_close(samples[0.0], untold, rtol=0, atol=1e-4)
    torch.testing.assert_close(samples[3.0], untold + 3 * (samples[1.0] - untold), rtol=1e-4, atol=1e-3)


def test_a_circle_in_time_is_equivariant_to_shifts():
    model = conditioned()
    shift = 2 * 2 ** (len(model.config.unet.channel_mult) - 1)
    x, t = latents(model, 1), torch.tensor([400])
    conditions = told(model, 1)
    channels = conditions.channels(TOLD, x)
    from synctrack.models.layers import circular_time

    straight = model.unet(x, t, channels)
    with circular_time(model.unet):
        circle = model.unet(x, t, channels)
        shifted = model.unet(x.roll(shift, 3), t, channels.roll(shift, 3))
    torch.testing.assert_close(shifted, circle.roll(shift, 3), rtol=0, atol=1e-4)
    assert (circle - straight).abs().max() > 1e-3
    assert torch.equal(model.unet(x, t, channels), straight)


def test_a_variation_of_no_strength_is_the_original_and_of_full_strength_a_new_clip():
    model = conditioned()
    original = latents(model, 1)
    kept = model.generate(generators(0), SAMPLING, original=Original(original, torch.zeros(4)))
    assert torch.equal(kept, original)
    anew = model.generate(generators(0), SAMPLING, original=Original(original, torch.ones(4)))
    level = model.diffusion.alphas_cumprod[-1].item()
    assert level < 0.01  # so little of the original is in the noise that it starts from
    assert (anew - original).abs().mean() > 0.5


def test_each_stem_of_a_variation_keeps_its_own_strength():
    model = conditioned()
    original = latents(model, 1)
    mixed = model.generate(generators(0), SAMPLING, original=Original(original, torch.tensor([0.0, 0.0, 1.0, 0.0])))
    torch.testing.assert_close(mixed[:, [0, 1, 3]], original[:, [0, 1, 3]], rtol=0, atol=1e-5)
    assert (mixed[:, 2] - original[:, 2]).abs().mean() > 0.3


def test_loss_counts_only_what_is_not_known():
    model = conditioned()
    latent, conditions = latents(model, 2), told(model, 2)
    conditions = dataclasses.replace(conditions, known=latent)
    loss = model.loss(latent, generators(0, 1), conditions=conditions)
    drawn = generators(0, 1)
    t = torch.cat([torch.randint(1000, (1,), generator=generator) for generator in drawn])
    noise = torch.stack([torch.randn(latent.shape[1:], generator=g) for g in drawn])
    noisy = model.diffusion.q_sample(latent, t, noise)
    error = (model.unet(noisy, t, conditions.channels(TOLD, noisy)) - model.diffusion.target(latent, t, noise)) ** 2
    for item in range(2):
        unknown = conditions.mask[item][:, None, :, None].expand_as(error[item]) == 0
        torch.testing.assert_close(loss[item], error[item][unknown].mean())


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_min_snr_weights_equal_the_closed_form(prediction):
    diffusion = Diffusion(DiffusionConfig(prediction=prediction, min_snr_gamma=5.0))
    t = torch.arange(1000)
    alphas = diffusion.alphas_cumprod.double().numpy()
    snr = alphas / (1 - alphas)
    expected = np.minimum(snr, 5.0) / (snr if prediction == "epsilon" else snr + 1)
    np.testing.assert_allclose(diffusion.loss_weight(t).numpy(), expected, rtol=1e-4)
    predicted, target = torch.zeros(3, 4), torch.ones(3, 4)
    weights = diffusion.loss(predicted, target, torch.tensor([0, 500, 999]))
    np.testing.assert_allclose(weights.numpy(), expected[[0, 500, 999]], rtol=1e-4)


@pytest.mark.parametrize("gamma", [0.0, -1.0, float("nan"), float("inf")])
def test_a_min_snr_gamma_out_of_bounds_is_refused(gamma):
    with pytest.raises(ValueError, match=r"diffusion\.min_snr_gamma"):
        DiffusionConfig(min_snr_gamma=gamma)


@pytest.mark.parametrize("signals", [["drum"], ["click", "click"]])
def test_unknown_and_doubled_signals_are_refused(signals):
    with pytest.raises(ValueError, match=r"conditioning\.signals: .*(click, mix|twice)"):
        ConditioningConfig(signals=signals)


def test_conditions_of_different_shapes_are_refused():
    known = torch.zeros(1, 4, 4, 32, 16)
    with pytest.raises(ValueError, match="mask"):
        Conditions(known, torch.zeros(1, 4, 31))
    with pytest.raises(ValueError, match="go together"):
        Conditions(known)
    with pytest.raises(ValueError, match="presence"):
        Conditions(signals={"click": known[:, 0]})
