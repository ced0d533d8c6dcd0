"""The samplers against diffusers' schedulers under the same noise, at the edges, and a new one from outside."""

import math

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

from synctrack.diffusion.process import Diffusion, DiffusionConfig
from synctrack.diffusion.samplers import SAMPLERS, Sampling, Step, sampling_steps
from synctrack.models.denoising import Denoiser
from synctrack.seeding import item_generator

PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction"}
SCHEDULE = (1000, 0.0015, 0.0195, "scaled_linear")


def predict(x: torch.Tensor, t: int) -> torch.Tensor:
    """A made-up predictor that depends on x and t."""
    return 0.8 * x + torch.sin(x + t / 100)


def sample(diffusion: Diffusion, name: str, steps: list[Step], start: torch.Tensor, noises: torch.Tensor, eta=1.0):
    """Our sampler, with the noises in order."""

    def denoise(x: torch.Tensor, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
        return diffusion.clean(predict(x, step.t), x, step.alpha_cumprod)

    remaining = iter(noises)
    return SAMPLERS[name](denoise, start, steps, lambda: next(remaining), eta)


def draw(steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(steps)
    noises = torch.randn(steps + 1, 2, 3, 8, generator=generator, dtype=torch.float64)
    return noises[0], noises[1:]


@pytest.mark.parametrize("final", ["first", "one"])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("steps", [5, 8, 20, 50])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("name", ["dpmpp_2m", "dpmpp_2m_sde"])
def test_dpmpp_equals_diffusers_under_the_same_noise(name, prediction, steps, spacing, final):
    diffusion = Diffusion(DiffusionConfig(prediction=prediction))
    reference = DPMSolverMultistepScheduler(
        *SCHEDULE,
        algorithm_type="sde-dpmsolver++" if name.endswith("sde") else "dpmsolver++",
        prediction_type=PREDICTIONS[prediction],
        timestep_spacing=spacing,
        steps_offset=1,
        final_sigmas_type="sigma_min" if final == "first" else "zero",
        lower_order_final=False,
    )
    reference.set_timesteps(steps)
    ours = sampling_steps(diffusion.alphas_cumprod, steps, spacing, final)
    # Diffusers rounds its leading time steps differently; the update rule is compared at our time steps.
    alphas = [step.alpha_cumprod for step in ours] + [ours[-1].next_alpha_cumprod]
    reference.timesteps = torch.tensor([step.t for step in ours])
    reference.sigmas = torch.tensor([math.sqrt((1 - a) / a) for a in alphas], dtype=torch.float64)
    start, noises = draw(steps)
    expected = start
    for t, noise in zip(reference.timesteps, noises, strict=True):
        expected = reference.step(predict(expected, int(t)), t, expected, variance_noise=noise).prev_sample
        expected = expected.double()
    torch.testing.assert_close(sample(diffusion, name, ours, start, noises), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("steps", [5, 10, 20, 50, 200])
def test_trailing_time_steps_equal_diffusers(steps):
    reference = DPMSolverMultistepScheduler(*SCHEDULE, timestep_spacing="trailing", final_sigmas_type="zero")
    reference.set_timesteps(steps)
    diffusion = Diffusion(DiffusionConfig())
    ours = sampling_steps(diffusion.alphas_cumprod, steps, "trailing", "one")
    assert [step.t for step in ours] == reference.timesteps.tolist()
    assert ours[0].t == 999
    assert ours[-1].next_alpha_cumprod == 1


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("steps", [10, 20])
def test_ddim_with_trailing_spacing_and_a_clean_end_equals_diffusers(steps, eta):
    diffusion = Diffusion(DiffusionConfig())
    reference = DDIMScheduler(*SCHEDULE, clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing")
    reference.set_timesteps(steps)
    reference.alphas_cumprod = diffusion.alphas_cumprod.double()
    start, noises = draw(steps)
    expected = start
    for t, noise in zip(reference.timesteps, noises, strict=True):
        predicted = predict(expected, int(t))
        expected = reference.step(predicted, t, expected, eta=eta, variance_noise=noise).prev_sample
    ours = sampling_steps(diffusion.alphas_cumprod, steps, "trailing", "one")
    torch.testing.assert_close(sample(diffusion, "ddim", ours, start, noises, eta), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_ends_at_the_clean_sample_of_a_perfect_denoiser(name):
    clean = torch.linspace(-2, 2, 48).reshape(2, 3, 8).double()
    diffusion = Diffusion(DiffusionConfig())

    def denoise(x: torch.Tensor, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
        return clean, (x - step.alpha_cumprod**0.5 * clean) / (1 - step.alpha_cumprod) ** 0.5

    start, noises = draw(20)
    steps, remaining = sampling_steps(diffusion.alphas_cumprod, 20, "trailing", "one"), iter(noises)
    torch.testing.assert_close(SAMPLERS[name](denoise, start, steps, lambda: next(remaining), 1.0), clean)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("steps", [1, 999, 1000])
def test_every_sampler_is_finite_at_the_extreme_numbers_of_steps(name, spacing, steps):
    diffusion = Diffusion(DiffusionConfig(prediction="v"))
    start, noises = draw(steps)
    schedule = sampling_steps(diffusion.alphas_cumprod, steps, spacing, "one")
    assert len(schedule) == steps
    assert sample(diffusion, name, schedule, start, noises).isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "euler"}, "sampler: 'euler' must be one of ddim, dpmpp_2m, dpmpp_2m_sde"),
        ({"spacing": "linear"}, "spacing: 'linear' must be one of leading, trailing"),
        ({"final": "zero"}, "final: 'zero' must be one of first, one"),
        ({"steps": 0}, "steps: 0 is not 1 or more"),
        ({"eta": 1.5}, r"eta: 1.5 is not between 0 and 1"),
        ({"eta": float("nan")}, "eta: nan is not between 0 and 1"),
    ],
)
def test_sampling_settings_out_of_bounds_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**settings)


def test_more_steps_than_training_time_steps_are_refused():
    with pytest.raises(ValueError, match="steps: 1001 is not between 1 and 1000"):
        sampling_steps(Diffusion(DiffusionConfig()).alphas_cumprod, 1001)


@pytest.mark.parametrize("name", SAMPLERS)
def test_resampling_keeps_the_distribution(name):
    """Of standard normal data, to whose exact denoiser a U-Net that predicts no velocity amounts."""
    diffusion, generator = Diffusion(DiffusionConfig(prediction="v")), torch.Generator().manual_seed(0)

    def draw_noise() -> torch.Tensor:
        return torch.randn(20_000, 1, 1, 1, 1, generator=generator)

    def spread(resampling: int) -> float:
        steps = sampling_steps(diffusion.alphas_cumprod, 50, "trailing", "one")
        denoiser = Denoiser(lambda x, t: torch.zeros_like(x), diffusion, resampling=resampling, draw_noise=draw_noise)
        return float(SAMPLERS[name](denoiser, draw_noise(), steps, draw_noise, 1.0, denoiser.renew).std())

    once, more = spread(0), spread(3)
    assert once == pytest.approx(1, abs=0.08)
    assert more == pytest.approx(once, abs=0.08)


def test_new_sampler_needs_one_function_and_one_row(small_model, monkeypatch):
    def one_jump(denoise, x, steps, draw_noise, eta):
        x_0, _ = denoise(x, next(iter(steps)))
        return x_0

    monkeypatch.setitem(SAMPLERS, "one_jump", one_jump)
    latent = small_model.generate([item_generator(0)], Sampling("one_jump", steps=3))
    assert latent.shape == (1, 4, *small_model.config.latent_shape)
    assert not torch.equal(latent, small_model.generate([item_generator(0)], Sampling(steps=3)))
