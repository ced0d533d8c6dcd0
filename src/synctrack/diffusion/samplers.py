"""Samplers: from noise to a clean sample in few calls of a denoiser.

Each sampler is a function of a denoiser, the start noise, the steps, a noise source and eta; `SAMPLERS` lists them by
name. To add one, write one function and one row of the table.

- `ddim`: Song et al., "Denoising diffusion implicit models", 2021, eq. 12 and 16.
- `dpmpp_2m`: Lu et al., "DPM-Solver++", 2022, algorithm 2 (second-order multistep, midpoint form).
- `dpmpp_2m_sde`: the same paper, appendix on SDE-DPM-Solver++(2M): fresh noise at each step.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

SPACINGS = ("leading", "trailing")
FINALS = ("first", "one")


@dataclass(frozen=True)
class Step:
    """One step of a sampler: from the noise level of time step `t` to the next, lower one.

    Attributes:
        t: time step that the denoiser is asked at.
        alpha_cumprod: of the noise level at `t`.
        next_alpha_cumprod: of the level where the step ends; 1 is clean.
    """

    t: int
    alpha_cumprod: float
    next_alpha_cumprod: float


Denoiser = Callable[[torch.Tensor, Step], tuple[torch.Tensor, torch.Tensor]]
"""(x, step) -> the clean estimate x_0 and the noise in x, both of x's shape."""
NoiseSource = Callable[[], torch.Tensor]
"""() -> fresh standard normal noise of x's shape."""
Renewal = Callable[[torch.Tensor, Step], torch.Tensor]
"""(x, step) -> x of the same noise level, from which the step is taken instead."""


def unchanged(x: torch.Tensor, step: Step) -> torch.Tensor:
    """The `Renewal` that keeps x."""
    return x


class Sampler(Protocol):
    """(denoise, x, steps, draw_noise, eta) -> the sample, of x's shape; `renew` is called before each step."""

    def __call__(
        self,
        denoise: Denoiser,
        x: torch.Tensor,
        steps: Iterable[Step],
        draw_noise: NoiseSource,
        eta: float,
        renew: Renewal = unchanged,
    ) -> torch.Tensor: ...


@dataclass(frozen=True)
class Sampling:
    """How to sample.

    Attributes:
        sampler: a name in `SAMPLERS`.
        steps: number of steps, each one call of the denoiser.
        eta: of `ddim` alone: 0 is deterministic after the first noise, 1 as noisy as DDPM.
        spacing: `leading` (as published: the first time step is 1, the last below the noisiest) or `trailing` (from
            the noisiest time step down; right for few steps).
        final: `first` (end at the first noise level of the schedule, as published) or `one` (end at alpha 1, clean).

    Raises:
        ValueError: one of them is unknown or out of its bounds; the message begins with its name.
    """

    sampler: str = "ddim"
    steps: int = 200
    eta: float = 1.0
    spacing: str = "leading"
    final: str = "first"

    def __post_init__(self) -> None:
        for name, known in (("sampler", SAMPLERS), ("spacing", SPACINGS), ("final", FINALS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: {getattr(self, name)!r} must be one of {', '.join(known)}")
        if self.steps < 1:
            raise ValueError(f"steps: {self.steps} is not 1 or more")
        # Above 1, the variance left for the direction would be negative.
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta: {self.eta} is not between 0 and 1")


def sampling_steps(
    alphas_cumprod: torch.Tensor, steps: int, spacing: str = "leading", final: str = "first"
) -> list[Step]:
    """The steps of a sampler in the order of execution, noisiest first.

    Args:
        alphas_cumprod: (timesteps,) of the training schedule.
        steps: how many.
        spacing, final: see `Sampling`.

    Raises:
        ValueError: `steps` is not between 1 and the number of training time steps.
    """
    timesteps = len(alphas_cumprod)
    if not 1 <= steps <= timesteps:
        raise ValueError(f"steps: {steps} is not between 1 and {timesteps}")
    if spacing == "leading":
        times = np.minimum(np.arange(steps) * timesteps // steps + 1, timesteps - 1)[::-1]
    else:
        times = np.round(timesteps - np.arange(steps) * timesteps / steps).astype(int) - 1
    # On the CPU first: Apple's GPUs know no float64.
    alphas = alphas_cumprod.cpu().double().numpy()
    levels = [*alphas[times].tolist(), float(alphas[0]) if final == "first" else 1.0]
    return [Step(int(t), level, below) for t, level, below in zip(times, levels, levels[1:], strict=False)]


def ddim(
    denoise: Denoiser,
    x: torch.Tensor,
    steps: Iterable[Step],
    draw_noise: NoiseSource,
    eta: float,
    renew: Renewal = unchanged,
) -> torch.Tensor:
    """DDIM (Song et al., 2021, eq. 12); `eta` scales its noise."""
    for step in steps:
        x = renew(x, step)
        x_0, noise = denoise(x, step)
        x = ddim_step(x_0, noise, step, draw_noise, eta)
    return x


def ddim_step(x_0: torch.Tensor, noise: torch.Tensor, step: Step, draw_noise: NoiseSource, eta: float) -> torch.Tensor:
    """One step of DDIM, from the clean estimate and the noise that a `Denoiser` gave."""
    below, sigma = step.next_alpha_cumprod, ddim_sigma(step, eta)
    x = below**0.5 * x_0 + (1 - below - sigma**2) ** 0.5 * noise
    return x + sigma * draw_noise() if sigma > 0 else x


def ddim_sigma(step: Step, eta: float) -> float:
    """Standard deviation of the noise that DDIM adds in a step (Song et al., 2021, eq. 16)."""
    alpha, below = step.alpha_cumprod, step.next_alpha_cumprod
    return eta * math.sqrt((1 - below) / (1 - alpha) * (1 - alpha / below))


def dpmpp_2m(
    denoise: Denoiser,
    x: torch.Tensor,
    steps: Iterable[Step],
    draw_noise: NoiseSource,
    eta: float,
    renew: Renewal = unchanged,
) -> torch.Tensor:
    """DPM-Solver++(2M): deterministic after the first noise; `eta` has no effect."""
    previous: tuple[torch.Tensor, float] | None = None
    for step in steps:
        x = renew(x, step)
        x_0, _ = denoise(x, step)
        h = _log_snr(step.next_alpha_cumprod) - _log_snr(step.alpha_cumprod)
        estimate = _extrapolated(x_0, previous, h)
        decay = (1 - step.next_alpha_cumprod) ** 0.5 / (1 - step.alpha_cumprod) ** 0.5
        x = decay * x - step.next_alpha_cumprod**0.5 * math.expm1(-h) * estimate
        previous = x_0, h
    return x


def dpmpp_2m_sde(
    denoise: Denoiser,
    x: torch.Tensor,
    steps: Iterable[Step],
    draw_noise: NoiseSource,
    eta: float,
    renew: Renewal = unchanged,
) -> torch.Tensor:
    """SDE-DPM-Solver++(2M): fresh noise at each step; `eta` has no effect."""
    previous: tuple[torch.Tensor, float] | None = None
    for step in steps:
        x = renew(x, step)
        x_0, _ = denoise(x, step)
        h = _log_snr(step.next_alpha_cumprod) - _log_snr(step.alpha_cumprod)
        estimate = _extrapolated(x_0, previous, h)
        sigma = (1 - step.next_alpha_cumprod) ** 0.5
        decay = sigma / (1 - step.alpha_cumprod) ** 0.5 * math.exp(-h)
        renewed = -math.expm1(-2 * h)
        x = decay * x + step.next_alpha_cumprod**0.5 * renewed * estimate
        if sigma > 0:
            x = x + sigma * renewed**0.5 * draw_noise()
        previous = x_0, h
    return x


SAMPLERS: dict[str, Sampler] = {"ddim": ddim, "dpmpp_2m": dpmpp_2m, "dpmpp_2m_sde": dpmpp_2m_sde}
"""All samplers by name."""


def _log_snr(alpha_cumprod: float) -> float:
    """lambda = ln(alpha_t / sigma_t); infinite where sigma_t is 0."""
    return math.inf if alpha_cumprod >= 1 else 0.5 * math.log(alpha_cumprod / (1 - alpha_cumprod))


def _extrapolated(x_0: torch.Tensor, previous: tuple[torch.Tensor, float] | None, h: float) -> torch.Tensor:
    """The clean estimate in the middle of a step of length `h`, from this one and the previous step's.

    The first step, the step to the clean sample and a step that follows one of length 0 are of first order.
    """
    if previous is None or math.isinf(h) or previous[1] == 0:
        return x_0
    before, h_before = previous
    return x_0 + 0.5 * h / h_before * (x_0 - before)
