"""Schedule, sampler, forward process and EMA: against the published ones, diffusers and their closed forms."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from torch import nn

from helpers.filler import noise as named_noise
from helpers.golden import TINY, Golden, fill_by_name, tensor_noise
from synctrack.checkpoint.published import PUBLISHED_UNET, unet_map
from synctrack.diffusion.process import Diffusion, DiffusionConfig
from synctrack.diffusion.samplers import ddim, ddim_sigma, sampling_steps
from synctrack.models.unet import UNet
from synctrack.training.ema import EMA

SHAPE = (1, 4, 8, 256, 16)


def sample_by_ddim(diffusion, predict, x, draw_noise, steps, eta):
    """DDIM with a predictor (x, t (b,)) -> noise or velocity."""

    def denoise(x, step):
        return diffusion.clean(predict(x, torch.full((len(x),), step.t)), x, step.alpha_cumprod)

    return ddim(denoise, x, sampling_steps(diffusion.alphas_cumprod, steps), draw_noise, eta)


@pytest.fixture(scope="module")
def diffusion() -> Diffusion:
    return Diffusion(DiffusionConfig())


def test_noise_schedule_equals_golden(diffusion):
    golden = Golden("schedule")
    assert golden.error("betas", diffusion.betas) < 1e-8
    assert golden.error("alphas_cumprod", diffusion.alphas_cumprod) == 0


@pytest.mark.parametrize("steps", [5, 20, 200])
@pytest.mark.parametrize("eta", [0, 1])
def test_ddim_schedule_equals_golden(diffusion, steps, eta):
    golden = Golden("schedule")
    schedule = sampling_steps(diffusion.alphas_cumprod, steps)[::-1]
    name = f"S{steps}_eta{eta}"
    assert golden.error(f"ddim_timesteps_{name}", [step.t for step in schedule]) == 0
    assert golden.error(f"ddim_alphas_{name}", [step.alpha_cumprod for step in schedule]) == 0
    assert golden.error(f"ddim_alphas_prev_{name}", [step.next_alpha_cumprod for step in schedule]) < 1e-12
    assert golden.error(f"ddim_sigmas_{name}", [ddim_sigma(step, eta) for step in schedule]) < 1e-7


@pytest.mark.medium
@pytest.mark.parametrize("eta", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_ddim_trajectory_of_the_small_unet_equals_golden(diffusion, eta):
    unet = UNet(TINY, 4, 8)
    noises = iter([tensor_noise(f"ddim.noise.{i}", SHAPE) for i in range(5)])
    visited = []

    def predict_noise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        visited.append(x)
        return unet(x, t)

    with torch.inference_mode():
        fill_by_name(unet, unet_map(unet), PUBLISHED_UNET)
        final = sample_by_ddim(diffusion, predict_noise, tensor_noise("ddim.xT", SHAPE), lambda: next(noises), 5, eta)
    golden = Golden("ddim_tiny")
    states = {f"x{i}_eta{eta}": x for i, x in enumerate([*visited[1:], final])} | {f"final_eta{eta}": final}
    errors = {name: golden.error(name, x) for name, x in states.items()}
    assert max(errors.values()) < 3e-4, errors


@pytest.mark.parametrize("steps", [1, 10, 50, 200, 500])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("prediction", "theirs"), [("epsilon", "epsilon"), ("v", "v_prediction")])
def test_ddim_equals_diffusers(prediction, theirs, steps, eta):
    """With a made-up predictor that depends on x and t, and the same noises."""
    diffusion = Diffusion(DiffusionConfig(prediction=prediction))
    reference = DDIMScheduler(
        1000,
        0.0015,
        0.0195,
        "scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=theirs,
    )
    reference.set_timesteps(steps)
    # Diffusers multiplies its table up in float32; here the sampler alone is compared.
    reference.alphas_cumprod = diffusion.alphas_cumprod.double()
    reference.final_alpha_cumprod = reference.alphas_cumprod[0]
    generator = torch.Generator().manual_seed(steps)
    start = torch.randn(2, 3, 8, generator=generator, dtype=torch.float64)
    noises = torch.randn(steps, 2, 3, 8, generator=generator, dtype=torch.float64)

    def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return (0.8 * x + torch.sin(x + t[:, None, None] / 100)).float()

    expected = start
    for t, noise in zip(reference.timesteps, noises, strict=True):
        predicted = predict(expected, t.expand(2))
        expected = reference.step(predicted, t, expected, eta=eta, variance_noise=noise).prev_sample
    remaining = iter(noises)
    ours = sample_by_ddim(diffusion, predict, start, lambda: next(remaining), steps, eta)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-6)


def test_schedule_equals_diffusers(diffusion):
    reference = DDIMScheduler(1000, 0.0015, 0.0195, "scaled_linear")
    torch.testing.assert_close(diffusion.betas, reference.betas, rtol=1e-5, atol=0)
    torch.testing.assert_close(diffusion.alphas_cumprod, reference.alphas_cumprod, rtol=2e-5, atol=0)


def test_forward_process_equals_closed_form(diffusion):
    t = np.array([0, 1, 250, 500, 999])
    clean, noise = named_noise("q.x", (5, 2, 3, 4)), named_noise("q.noise", (5, 2, 3, 4))
    betas = np.linspace(0.0015**0.5, 0.0195**0.5, 1000) ** 2
    kept = np.array([np.prod(1 - betas[: step + 1]) for step in t]).reshape(-1, 1, 1, 1)
    expected = np.sqrt(kept) * clean + np.sqrt(1 - kept) * noise
    ours = diffusion.q_sample(torch.from_numpy(clean), torch.from_numpy(t), torch.from_numpy(noise))
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-6)


def test_forward_process_uses_the_published_coefficients(diffusion):
    golden = Golden("schedule")
    t, one, nothing = torch.arange(1000), torch.ones(1000, 1), torch.zeros(1000, 1)
    assert golden.error("sqrt_alphas_cumprod", diffusion.q_sample(one, t, nothing)) < 1e-7
    assert golden.error("sqrt_one_minus_alphas_cumprod", diffusion.q_sample(nothing, t, one)) < 1e-6


def test_training_target_is_the_noise_or_the_velocity():
    """The noise, or the velocity as diffusers has it."""
    t = torch.tensor([0, 250, 999])
    clean, noise = torch.from_numpy(named_noise("v.x", (3, 4, 5))), torch.from_numpy(named_noise("v.noise", (3, 4, 5)))
    reference = DDIMScheduler(1000, 0.0015, 0.0195, "scaled_linear")
    assert torch.equal(Diffusion(DiffusionConfig()).target(clean, t, noise), noise)
    velocity = Diffusion(DiffusionConfig(prediction="v")).target(clean, t, noise)
    torch.testing.assert_close(velocity, reference.get_velocity(clean, noise, t), rtol=0, atol=1e-5)


def test_another_prediction_is_refused():
    with pytest.raises(ValueError, match=r"diffusion\.prediction: 'x_0' must be one of epsilon, v"):
        DiffusionConfig(prediction="x_0")


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_perfect_prediction_removes_all_noise(prediction):
    diffusion = Diffusion(DiffusionConfig(prediction=prediction))
    clean = torch.from_numpy(named_noise("v.x", (2, 4, 5)))

    def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        alphas_cumprod = diffusion.alphas_cumprod[t].reshape(-1, 1, 1)
        noise = (x - alphas_cumprod.sqrt() * clean) / (1 - alphas_cumprod).sqrt()
        return diffusion.target(clean, t, noise)

    start, generator = torch.from_numpy(named_noise("v.start", (2, 4, 5))), torch.Generator().manual_seed(0)
    made = sample_by_ddim(diffusion, predict, start, lambda: torch.randn(2, 4, 5, generator=generator), 50, 1.0)
    # The sampler ends at the first noise level of training, not at zero noise (as published).
    kept = diffusion.alphas_cumprod[0].sqrt()
    assert (made - kept * clean).std() < 1.5 * (1 - kept**2).sqrt()


def test_loss_is_the_mean_of_squares_of_each_item():
    predicted, noise = named_noise("loss.p", (3, 4, 8, 16, 2)), named_noise("loss.n", (3, 4, 8, 16, 2))
    diffusion, t = Diffusion(DiffusionConfig()), torch.tensor([0, 500, 999])
    ours = diffusion.loss(torch.from_numpy(predicted), torch.from_numpy(noise), t)
    expected = ((predicted.astype(np.float64) - noise) ** 2).reshape(3, -1).mean(axis=1)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("start", [0, 200_000])
def test_ema_weights_equal_plain_numpy(start):
    """From zero, during the warm-up of the decay, and late, where the decay is at its bound."""
    module = nn.Linear(5, 7)
    ema = EMA(module, decay=0.9999)
    ema.num_updates.fill_(start)
    expected = [parameter.detach().numpy().copy() for parameter in module.parameters()]
    for i in range(40):
        weights = [named_noise(f"ema.{i}.{j}", value.shape) for j, value in enumerate(expected)]
        for parameter, values in zip(module.parameters(), weights, strict=True):
            parameter.data = torch.from_numpy(values)
        ema.update(module)
        n = start + i + 1
        decay = min(np.float32(0.9999), np.float32(1 + n) / np.float32(10 + n))
        pairs = zip(expected, weights, strict=True)
        expected = [value - (np.float32(1) - decay) * (value - weight) for value, weight in pairs]
    assert ema.num_updates.item() == start + 40
    for ours, value in zip(ema.module.parameters(), expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), value, rtol=1e-5, atol=1e-6)
