"""`LatentDiffusion`: randomness per item, encoding and decoding, overfitting, EMA, refused settings."""

import pytest
import torch

from helpers.small_model import SMALL_AUDIO, STEMS, small_config
from synctrack.audio.mel import AudioFormat
from synctrack.diffusion.samplers import Sampling
from synctrack.errors import InputError
from synctrack.models.latent_diffusion import LatentDiffusion, ModelConfig, VocoderConfig
from synctrack.models.unet import UNetConfig
from synctrack.models.vae import VAE, VAEConfig
from synctrack.models.vocoder import HiFiGANConfig
from synctrack.seeding import item_generator, normal_per_item
from synctrack.training.ema import EMA


def generators(*indices: int) -> list[torch.Generator]:
    return [item_generator(0, index) for index in indices]


def test_clip_does_not_depend_on_its_batch(small_model):
    together = small_model.generate(generators(0, 1, 2), Sampling(steps=5, eta=1.0))
    for row, index in ((0, 0), (2, 2)):
        alone = small_model.generate(generators(index), Sampling(steps=5, eta=1.0))
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-4, rtol=1e-4)
    turned = small_model.generate(generators(2, 0), Sampling(steps=5, eta=1.0))
    torch.testing.assert_close(turned[0], together[2], atol=1e-4, rtol=1e-4)


def test_clips_of_different_seeds_differ(small_model):
    first, second = small_model.generate(generators(0, 1), Sampling(steps=5, eta=0.0))
    assert (first - second).abs().mean() > 0.1


def test_eta_zero_draws_only_the_first_noise(small_model):
    drawn = generators(0)
    small_model.generate(drawn, Sampling(steps=5, eta=0.0))
    once = generators(0)
    normal_per_item(once, (len(STEMS), *small_model.config.latent_shape))
    assert torch.equal(drawn[0].get_state(), once[0].get_state())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_generation_stops_at_the_first_prediction_that_is_not_finite(small_model, value):
    small_model.unet.register_forward_hook(lambda module, inputs, output: torch.full_like(output, value))
    asked = []

    def count(steps):
        for step in steps:
            asked.append(step)
            yield step

    with pytest.raises(InputError, match=r"the U-Net's prediction at time step \d+ is not finite"):
        small_model.generate([torch.Generator()], Sampling(steps=4), progress=count)
    assert len(asked) == 1


@pytest.mark.medium
@pytest.mark.parametrize(("part", "named"), [("vae", "the VAE's mel"), ("vocoder", "the vocoder's waveform")])
def test_decoding_to_values_that_are_not_finite_is_refused(small_model, monkeypatch, part, named):
    module, method = (small_model.vae, "decode") if part == "vae" else (small_model.vocoder, "forward")
    right = getattr(module, method)
    monkeypatch.setattr(module, method, lambda *inputs: right(*inputs) * float("nan"))
    with pytest.raises(InputError, match=f"{named} is not finite"):
        small_model.decode(torch.zeros(1, 4, *small_model.config.latent_shape))


def test_loss_of_an_item_does_not_depend_on_its_batch(small_model):
    latent = torch.randn(3, len(STEMS), *small_model.config.latent_shape)
    with torch.no_grad():
        together = small_model.loss(latent, generators(0, 1, 2))
        alone = small_model.loss(latent[1:2], generators(1))
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)


def test_encoding_draws_from_the_posterior(small_model):
    waveform = 0.1 * torch.randn(1, len(STEMS), SMALL_AUDIO.segment_samples)
    posterior = small_model.vae.encode(small_model.mel(waveform))
    noise = normal_per_item(generators(3), posterior.mean.shape[1:])
    expected = posterior.mean + (0.5 * posterior.logvar).exp() * noise
    small_model.scale_factor.fill_(0.3)
    torch.testing.assert_close(small_model.encode(waveform, generators(3)), 0.3 * expected)


def test_scale_factor_brings_latents_to_unit_variance(small_model):
    latents = 7.0 * torch.randn(4, 4, *small_model.config.latent_shape) + 1.0
    small_model.set_scale_factor(latents)
    assert (small_model.scale_factor * latents).std().item() == pytest.approx(1.0, rel=1e-5)


def test_decoded_clips_have_the_segment_length(small_model):
    latent = torch.randn(2, len(STEMS), *small_model.config.latent_shape)
    assert small_model.decode(latent).shape == (2, len(STEMS), SMALL_AUDIO.segment_samples)


def test_first_stage_and_vocoder_are_frozen(small_model):
    trainable = {name.split(".")[0] for name, p in small_model.named_parameters() if p.requires_grad}
    assert trainable == {"unet"}


@pytest.mark.medium
def test_one_batch_can_be_overfitted(small_model):
    torch.manual_seed(0)
    latent = torch.randn(1, len(STEMS), 4, 8, 8)
    optimizer = torch.optim.AdamW(small_model.unet.parameters(), lr=3e-3)

    def loss_at_fixed_noise() -> torch.Tensor:
        return small_model.loss(latent, generators(0)).mean()

    first = loss_at_fixed_noise().item()
    for _ in range(80):
        optimizer.zero_grad()
        loss_at_fixed_noise().backward()
        optimizer.step()
    assert loss_at_fixed_noise().item() < 0.2 * first


@pytest.mark.parametrize("stems", [("bass", "drums"), (*STEMS, "strings", "lead")])
def test_other_numbers_of_stems_train_and_generate(stems):
    model = LatentDiffusion(small_config(), stems)
    waveform = 0.1 * torch.randn(1, len(stems), SMALL_AUDIO.segment_samples)
    model.set_scale_factor(model.encode_posterior(waveform).mean)
    latent = model.encode(waveform, generators(0))
    model.loss(latent, generators(0)).mean().backward()
    assert model.decode(model.generate(generators(0), Sampling(steps=2))).shape == waveform.shape


def test_posterior_kl_equals_closed_form():
    """KL(N(m, s^2) || N(0, 1)) against torch.distributions."""
    vae = VAE(VAEConfig(channels=32, channel_mult=[1, 1], num_res_blocks=1, latent_channels=4))
    with torch.no_grad():
        posterior = vae.encode(torch.randn(2, 1, 32, 16))
    normal = torch.distributions.Normal
    kl = torch.distributions.kl_divergence(normal(posterior.mean, posterior.std), normal(0.0, 1.0))
    torch.testing.assert_close(posterior.kl(), kl.sum(dim=(1, 2, 3, 4)))


def test_ema_weights_follow_changing_weights():
    layer = torch.nn.Linear(2, 1, bias=False)
    ema, expected = EMA(layer, decay=0.9), layer.weight.detach().clone()
    for n in range(1, 20):
        layer.weight.data += 1.0
        ema.update(layer)
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * layer.weight.detach()
    torch.testing.assert_close(ema.module.weight, expected)
    assert not ema.module.weight.requires_grad


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unet": UNetConfig(channel_mult=[1] * 6)}, "audio.n_mels: 64 is not a multiple of 128"),
        ({"audio": AudioFormat(hop_length=200)}, "upsample_rates: multiply to 160, not hop_length 200"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig(**settings)


def test_a_model_without_hifigan_takes_any_hop():
    assert ModelConfig(audio=AudioFormat(hop_length=200), vocoder=VocoderConfig("griffin_lim")).audio.hop_length == 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"upsample_rates": [8, 20]}, r"sizes: \[16, 16, 8, 4, 4\] do not cover the rates \[8, 20\]"),
        ({"upsample_kernel_sizes": [16, 16, 8, 4, 1]}, "upsample_kernel_sizes"),
        ({"upsample_initial_channel": 16}, "upsample_initial_channel: cannot be halved 5 times"),
    ],
)
def test_vocoder_sizes_that_cannot_be_built_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        HiFiGANConfig(**settings)
