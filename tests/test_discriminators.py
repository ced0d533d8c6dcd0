"""Discriminators and their losses against the published architectures and values computed by hand."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from helpers.commands import ROOT
from helpers.small_model import SMALL_KEYS
from synctrack.config import load_config
from synctrack.training.first_stage.discriminators import PatchDiscriminator, WaveDiscriminator
from synctrack.training.first_stage.losses import (
    adaptive_weight,
    feature_distance,
    frozen,
    hinge_discriminator,
    hinge_generator,
    least_squares_discriminator,
    least_squares_generator,
)
from synctrack.training.first_stage.module import FirstStageModule
from synctrack.training.first_stage.vae_module import VAEModule

PERIODS = (2, 3, 5, 7, 11)
# Kong et al. (2020), appendix, and their code: (in, out, kernel size, groups) of each convolution.
PUBLISHED_PERIOD = [(1, 32, 5, 1), (32, 128, 5, 1), (128, 512, 5, 1), (512, 1024, 5, 1), (1024, 1024, 5, 1)]
PUBLISHED_PERIOD += [(1024, 1, 3, 1)]
PUBLISHED_SCALE = [(1, 128, 15, 1), (128, 128, 41, 4), (128, 256, 41, 16), (256, 512, 41, 16), (512, 1024, 41, 16)]
PUBLISHED_SCALE += [(1024, 1024, 41, 16), (1024, 1024, 5, 1), (1024, 1, 3, 1)]

REAL = [[torch.tensor([1.0, 3.0]), torch.tensor([2.0, 0.5])], [torch.tensor([4.0]), torch.tensor([-1.0])]]
FAKE = [[torch.tensor([2.0, 7.0]), torch.tensor([-2.0, 0.25])], [torch.tensor([1.0]), torch.tensor([0.0])]]
"""Two discriminators of one layer and a logits each."""


def parameters(convolutions: list[tuple[int, int, int, int]], weight_norm: bool = True) -> int:
    """How many parameters convolutions with bias have, and with weight norm's size of each output."""
    return sum(o * (i // g * k + 1 + weight_norm) for i, o, k, g in convolutions)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def leaves(module: nn.Module, wave: torch.Tensor) -> torch.Tensor:
    """All features of all discriminators as one vector."""
    return torch.cat([feature.flatten() for features in module(wave) for feature in features])


def largest_gain(weight: torch.Tensor) -> float:
    """The largest singular value of a convolution's weight with one row for each output."""
    rows = weight.detach().flatten(1).double()
    return torch.linalg.eigvalsh(rows @ rows.T)[-1].sqrt().item()


def small_waves() -> WaveDiscriminator:
    torch.manual_seed(0)
    return WaveDiscriminator(periods=(2, 3), scales=2, channels=4)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        # 0.5 (mean(0, 0.5) + mean(0, 1.25)) + 0.5 (2 + 1)
        (hinge_discriminator, 0.4375 + 1.5),
        # mean(1, 0.25) + mean(4, 0.0625) + 4 + 0
        (least_squares_discriminator, 0.625 + 2.03125 + 4),
        # mean(1, 4) + mean(4, 0.25) + 3 + 1
        (feature_distance, 2.5 + 2.125 + 3 + 1),
    ],
)
def test_losses_of_pairs_equal_values_by_hand(loss, expected):
    assert loss(REAL, FAKE).item() == pytest.approx(expected)


def test_generator_losses_equal_values_by_hand():
    assert hinge_generator(FAKE).item() == pytest.approx(0.875 - 0)
    assert least_squares_generator(FAKE).item() == pytest.approx((9 + 0.5625) / 2 + 1)


def test_feature_distance_has_gradients_for_generated_features_alone():
    real, fake = torch.ones(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    feature_distance([[real, real]], [[fake, fake]]).backward()
    assert real.grad is None
    torch.testing.assert_close(fake.grad, torch.full((3,), -2 / 3))


def test_adaptive_weight_is_the_ratio_of_gradient_norms():
    """Of outputs w h: the L1 distance to y has gradient mean(sign(w h - y) h), -mean(a w h) has -mean(a h)."""
    last, h = nn.Parameter(torch.tensor([2.0])), torch.tensor([1.0, -3.0, 0.5])
    target, slope = torch.tensor([1.0, 1.0, 5.0]), torch.tensor([0.1, 0.2, 0.3])
    distance, convincing = (last * h - target).abs().mean(), -(slope * last * h).mean()
    # Signs +, -, -: (1 + 3 - 0.5) / 3 against (0.1 - 0.6 + 0.15) / 3.
    weight = adaptive_weight(distance, convincing, last)
    assert weight.item() == pytest.approx((3.5 / 3) / (0.35 / 3 + 1e-4), rel=1e-5)
    assert not weight.requires_grad
    assert adaptive_weight(10 * distance, convincing, last).item() == pytest.approx(10 * weight.item())
    assert adaptive_weight(distance, 0 * convincing, last).item() == 1e4
    (distance + weight * convincing).backward()
    # Both gradients have the same sign here, and the same norm.
    assert last.grad.item() == pytest.approx(2 * 3.5 / 3, rel=2e-3)


def test_frozen_discriminators_pass_gradients_and_get_none():
    discriminators, wave = small_waves(), torch.randn(1, 1, 400, requires_grad=True)
    with frozen(discriminators):
        least_squares_generator(discriminators(wave)).backward()
    assert wave.grad.abs().max() > 0
    assert all(p.grad is None and p.requires_grad for p in discriminators.parameters())
    with pytest.raises(ZeroDivisionError), frozen(discriminators):
        _ = 1 / 0
    assert all(p.requires_grad for p in discriminators.parameters())


def test_inactive_discriminators_get_a_zero_gradient():
    discriminators = small_waves()
    loss = FirstStageModule.inactive_loss(SimpleNamespace(discriminator=discriminators))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad.count_nonzero() == 0 for p in discriminators.parameters())


def test_wave_discriminator_has_the_published_size():
    with torch.device("meta"):
        discriminators = WaveDiscriminator()
    assert count(discriminators.periods) == 5 * parameters(PUBLISHED_PERIOD) == 41_105_770
    # The first scale has the spectral norm, which has no parameters of its own.
    scales = 2 * parameters(PUBLISHED_SCALE) + parameters(PUBLISHED_SCALE, weight_norm=False)
    assert count(discriminators.scales) == scales == 29_618_821


def test_patch_discriminator_has_the_published_size():
    """The published one has no biases before its three batch norms: 2,763,585 parameters for one channel."""
    convolutions = [(1, 64, 16, 1), (64, 128, 16, 1), (128, 256, 16, 1), (256, 512, 16, 1), (512, 1, 16, 1)]
    norms, biases = 2 * (128 + 256 + 512), 128 + 256 + 512
    assert parameters(convolutions, weight_norm=False) - biases + norms == 2_763_585
    assert count(PatchDiscriminator()) == 2_763_585 + biases


@pytest.mark.parametrize("samples", [8192, 10_241])
def test_wave_features_have_the_published_lengths(samples):
    narrow = 4
    outputs = WaveDiscriminator(channels=narrow)(torch.zeros(2, 3, samples))
    assert len(outputs) == 8
    for period, features in zip(PERIODS, outputs, strict=False):
        rows = math.ceil(samples / period)
        lengths = [math.ceil(rows / 3**i) for i in (1, 2, 3, 4, 4, 4)]
        widths = [narrow * factor for factor in (1, 4, 16, 32, 32)] + [1]
        assert [f.shape for f in features] == [(6, w, n, period) for w, n in zip(widths, lengths, strict=True)]
    for features in outputs[5:]:
        lengths = [math.ceil(samples / factor) for factor in (1, 2, 4, 16, 64, 64, 64, 64)]
        widths = [narrow * factor for factor in (4, 4, 8, 16, 32, 32, 32)] + [1]
        assert [f.shape for f in features] == [(6, w, n) for w, n in zip(widths, lengths, strict=True)]
        samples = samples // 2 + 1


def test_period_discriminator_sees_every_period_th_sample():
    discriminators, wave = small_waves(), torch.randn(1, 1, 300, requires_grad=True)
    logits = discriminators(wave)[1][-1]
    logits[..., 1].sum().backward()
    used = wave.grad[0, 0].nonzero().flatten()
    assert set(used.tolist()) == set(range(1, 300, 3))


def test_next_scale_is_average_pooled_by_two():
    discriminators, wave = small_waves().eval(), torch.randn(1, 1, 300)
    padded = F.pad(wave, (2, 2))
    pooled = padded.unfold(-1, 4, 2).mean(-1)
    torch.testing.assert_close(discriminators(wave)[3][-1], discriminators.scales[1](pooled)[-1])


def test_only_the_first_scale_has_spectral_norm():
    discriminators = small_waves()
    for _ in range(20):
        discriminators.scales[0](torch.zeros(1, 1, 64))
    first, second = ([largest_gain(conv.weight) for conv in [*s.convs, s.verdict]] for s in discriminators.scales)
    assert first == pytest.approx(len(first) * [1.0], rel=0.03)
    assert max(abs(norm - 1) for norm in second) > 0.3


def test_weight_norms_are_computed_outside_autocast(monkeypatch):
    """On GPUs autocast would give the spectral norm vectors of different types."""
    seen, forward = [], parametrizations._SpectralNorm.forward

    def spied(norm: nn.Module, weight: torch.Tensor) -> torch.Tensor:
        seen.append(torch.is_autocast_enabled("cpu"))
        return forward(norm, weight)

    monkeypatch.setattr(parametrizations._SpectralNorm, "forward", spied)
    discriminators = small_waves()
    seen.clear()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = discriminators(torch.randn(1, 2, 400))
    # Once for each of the eight layers, however often it is used.
    assert seen == 8 * [False]
    assert {features[-1].dtype for features in outputs} == {torch.float32}
    assert {features[0].dtype for features in outputs} == {torch.bfloat16}


def test_logits_do_not_depend_on_other_items():
    torch.manual_seed(0)
    patches, waves = PatchDiscriminator(channels=16), small_waves().eval()
    for discriminators, items in ((patches, torch.randn(3, 2, 40, 32) - 5), (waves, 0.1 * torch.randn(3, 2, 400))):
        alone = leaves(discriminators, items[1:2, 1:])
        among = items.clone()
        among[0], among[2], among[1, 0] = 7 * among[0], 3.0, 0.0
        together = torch.cat(
            [
                (f[1:2, 1:] if discriminators is patches else f[3:4]).flatten()
                for features in discriminators(among)
                for f in features
            ]
        )
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_receptive_field_of_a_patch_is_seventy_frames_and_bins():
    discriminator = PatchDiscriminator(channels=16)
    # Normalisation makes each output depend on the whole image.
    discriminator.norms = nn.ModuleList(nn.Identity() for _ in discriminator.norms)
    mel = torch.randn(1, 1, 128, 136, requires_grad=True)
    [[*_, logits]] = discriminator(mel)
    assert logits.shape == (1, 1, 1, 128 // 8 - 2, 136 // 8 - 2)
    logits[0, 0, 0, 7, 7].backward()
    rows, columns = mel.grad[0, 0].nonzero(as_tuple=True)
    assert [rows.max() - rows.min() + 1, columns.max() - columns.min() + 1] == [70, 70]


def test_the_least_size_leaves_one_patch():
    least = PatchDiscriminator.least_size()
    [[*_, logits]] = PatchDiscriminator(channels=16)(torch.zeros(1, 1, least, least))
    assert logits.shape == (1, 1, 1, 1, 1)
    with pytest.raises(RuntimeError):
        PatchDiscriminator(channels=16)(torch.zeros(1, 1, least, least - 1))


@pytest.fixture
def module() -> VAEModule:
    keys = ["first_stage={discriminator_start: 3, patch_channels: 16, schedule: cosine}", "trainer.max_steps=10"]
    return VAEModule(load_config([ROOT / "config" / "vae_train.yaml"], [*SMALL_KEYS, *keys]))


def test_discriminator_gradients_are_clipped_separately(module):
    optimizer = module.configure_optimizers()["optimizer"]
    discriminators = list(module.discriminator.parameters())
    learnt = list(module.vae.parameters())
    assert [group["params"] for group in optimizer.param_groups] == [learnt, discriminators]
    for parameter in discriminators:
        parameter.grad = torch.full_like(parameter, 1e3)
    for parameter in learnt:
        parameter.grad = torch.full_like(parameter, 1e-9)
    module.configure_gradient_clipping(optimizer, None)
    assert discriminators[0].grad.max() == 1e3
    module.configure_gradient_clipping(optimizer, gradient_clip_val=1.0, gradient_clip_algorithm=None)
    assert nn.utils.get_total_norm([p.grad for p in discriminators]).item() == pytest.approx(1.0, rel=1e-3)
    assert all((p.grad == 1e-9).all() for p in learnt)


def test_cosine_schedule_is_zero_at_the_last_step(module):
    (rate, _) = module.configure_optimizers()["lr_scheduler"]["scheduler"].lr_lambdas
    assert [rate(step) for step in (0, 2, 5, 10, 11)] == pytest.approx(
        [1, (1 + math.cos(0.2 * math.pi)) / 2, 0.5, 0, 0]
    )
