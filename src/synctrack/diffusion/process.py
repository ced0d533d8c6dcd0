"""Gaussian diffusion: noise schedule, forward process, loss and DDIM sampler.

Knows nothing of tracks, mels or training loops: x is any tensor whose first axis is the batch. Sources: DDPM
(Ho et al., 2020), DDIM (Song et al., 2021), v-prediction (Salimans & Ho, 2022); spec section 5 for the constants.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class DiffusionConfig:
    """The noise schedule, whose betas rise from start to end, linearly in their square roots; what the U-Net says."""

    timesteps: int = 1000
    linear_start: float = 0.0015
    linear_end: float = 0.0195
    prediction: str = "epsilon"
    """`epsilon`, the noise (as published), or `v`, the velocity (Salimans & Ho, 2022, section 4)."""

    def __post_init__(self) -> None:
        if self.prediction not in ("epsilon", "v"):
            raise ValueError(f"diffusion.prediction: {self.prediction!r} is none of epsilon, v")


@dataclass(frozen=True)
class DDIMStep:
    """One step of the sampler: from noise level alpha_cumprod at time t to alpha_cumprod_prev."""

    t: int
    alpha_cumprod: float
    alpha_cumprod_prev: float
    sigma: float


class Diffusion(nn.Module):
    """The schedule and what is computed from it.

    Buffers `betas` and `alphas_cumprod`, both (timesteps,), are float32 and not part of the state: they follow
    from the configuration.
    """

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        self.timesteps, self.prediction = config.timesteps, config.prediction
        betas = np.linspace(config.linear_start**0.5, config.linear_end**0.5, config.timesteps) ** 2
        for name, values in (("betas", betas), ("alphas_cumprod", np.cumprod(1 - betas))):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def q_sample(self, x_0: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Diffuse clean `x_0` to time steps `t` (b,) with standard normal `noise` of its shape (DDPM, eq. 4)."""
        alphas_cumprod = self.alphas_cumprod[t].reshape(-1, *[1] * (x_0.dim() - 1))
        return alphas_cumprod.sqrt() * x_0 + (1 - alphas_cumprod).sqrt() * noise

    def target(self, x_0: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """What the U-Net is to say of `q_sample(x_0, t, noise)`: `noise`, or the velocity towards it, of its shape."""
        # The velocity is the derivative by the angle whose cosine is the square root of alphas_cumprod.
        return noise if self.prediction == "epsilon" else self.q_sample(noise, t, -x_0)

    @staticmethod
    def loss(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean squared error of each item, (b,) (DDPM, eq. 14)."""
        return (predicted.float() - target).square().flatten(1).mean(dim=1)

    def ddim_schedule(self, steps: int, eta: float) -> list[DDIMStep]:
        """The sampler's steps in the order of execution, noisiest first (DDIM, eq. 12 and 16).

        Time steps are spread evenly from 1 (leading spacing, offset 1). The step below the first keeps
        `alphas_cumprod[0]`, not 1, as in the published sampler.

        Raises:
            ValueError: `steps` is not between 1 and the number of training time steps, or `eta` is negative.
        """
        if not 1 <= steps <= self.timesteps:
            raise ValueError(f"steps: {steps} is not between 1 and {self.timesteps}")
        if eta < 0:
            raise ValueError(f"eta: {eta} is negative")
        times = np.minimum(np.arange(steps) * self.timesteps // steps + 1, self.timesteps - 1)
        alphas_cumprod = self.alphas_cumprod.double().cpu().numpy()
        alpha, previous = alphas_cumprod[times], alphas_cumprod[np.r_[0, times[:-1]]]
        sigma = eta * np.sqrt((1 - previous) / (1 - alpha) * (1 - alpha / previous))
        rows = zip(times.tolist(), alpha.tolist(), previous.tolist(), sigma.tolist(), strict=True)
        return [DDIMStep(*row) for row in rows][::-1]

    def ddim_sample(
        self,
        predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        x: torch.Tensor,
        draw_noise: Callable[[], torch.Tensor],
        schedule: Iterable[DDIMStep],
    ) -> torch.Tensor:
        """Denoise `x` (b, ...) from the first step of `schedule` to the last.

        Args:
            predict: (x, t (b,)) -> noise in x, or velocity, see `target`: the U-Net.
            x: standard normal noise, the start.
            draw_noise: gives fresh standard normal noise of x's shape; called once a step where eta > 0.
            schedule: from `ddim_schedule`; an iterable, so that it can be a progress bar.
        """
        for step in schedule:
            predicted = predict(x, torch.full((len(x),), step.t, device=x.device)).float()
            signal, spread = step.alpha_cumprod**0.5, (1 - step.alpha_cumprod) ** 0.5
            if self.prediction == "epsilon":
                noise, x_0 = predicted, (x - spread * predicted) / signal
            else:
                noise, x_0 = spread * x + signal * predicted, signal * x - spread * predicted
            x = step.alpha_cumprod_prev**0.5 * x_0 + (1 - step.alpha_cumprod_prev - step.sigma**2) ** 0.5 * noise
            if step.sigma > 0:
                x = x + step.sigma * draw_noise()
        return x
