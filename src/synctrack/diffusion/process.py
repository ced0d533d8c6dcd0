"""The diffusion process: noise schedule, forward process, training target, loss and the clean estimate.

Knows nothing of stems, mels or training loops: x is any tensor whose first axis is the batch. Sources: DDPM
(Ho et al., 2020), v-prediction (Salimans & Ho, 2022); the constants are MusicLDM's.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from synctrack.bounds import check_choice, check_number, check_whole

PREDICTIONS = ("epsilon", "v")


@dataclass(frozen=True)
class DiffusionConfig:
    """The noise schedule, whose betas rise from start to end, linearly in their square roots; the prediction type."""

    timesteps: int = 1000
    linear_start: float = 0.0015
    linear_end: float = 0.0195
    prediction: str = "epsilon"
    """`epsilon`, the noise (as published), or `v`, the velocity (Salimans & Ho, 2022, section 4)."""
    min_snr_gamma: float | None = None
    """Limit of the signal-to-noise ratio in the loss (Hang et al., 2023, eq. 7); None weights all time steps alike."""

    def __post_init__(self) -> None:
        check_choice("diffusion.prediction", self.prediction, PREDICTIONS)
        check_whole("diffusion.timesteps", self.timesteps, 1, 100_000)
        check_number("diffusion.linear_start", self.linear_start, 1e-8, 0.999)
        check_number("diffusion.linear_end", self.linear_end, 1e-8, 0.999)
        if self.linear_start > self.linear_end:
            raise ValueError(f"diffusion.linear_start: {self.linear_start} is above linear_end, {self.linear_end}")
        if np.float32(np.prod(1 - self.betas())) <= 0:
            raise ValueError(
                f"diffusion.linear_end: {self.linear_end} leaves nothing of the signal after {self.timesteps} time "
                "steps; lower it"
            )
        check_number("diffusion.min_snr_gamma", self.min_snr_gamma, 1e-3, 1e6, optional=True)

    def betas(self) -> np.ndarray:
        """The variance that each time step adds, (timesteps,)."""
        return np.linspace(self.linear_start**0.5, self.linear_end**0.5, self.timesteps) ** 2


class Diffusion(nn.Module):
    """The noise schedule, and the forward process, training target and loss that it defines.

    The buffers `betas` and `alphas_cumprod`, both (timesteps,) float32, are not part of the state dict: they are
    computed from the configuration.
    """

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        self.timesteps, self.prediction = config.timesteps, config.prediction
        self.min_snr_gamma = config.min_snr_gamma
        betas = config.betas()
        for name, values in (("betas", betas), ("alphas_cumprod", np.cumprod(1 - betas))):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def q_sample(self, x_0: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Diffuse clean `x_0` to time steps `t` (b,) with standard normal `noise` of its shape (DDPM, eq. 4)."""
        alphas_cumprod = self.alphas_cumprod[t].reshape(-1, *[1] * (x_0.dim() - 1))
        return alphas_cumprod.sqrt() * x_0 + (1 - alphas_cumprod).sqrt() * noise

    def target(self, x_0: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """The training target for `q_sample(x_0, t, noise)`: `noise`, or the velocity, of its shape."""
        # The velocity is the derivative with respect to the angle whose cosine is alpha_t = sqrt(alphas_cumprod).
        return noise if self.prediction == "epsilon" else self.q_sample(noise, t, -x_0)

    def loss(
        self, predicted: torch.Tensor, target: torch.Tensor, t: torch.Tensor, counted: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Mean squared error of each item, (b,) (DDPM, eq. 14), weighted by `loss_weight`.

        Args:
            predicted: the U-Net's output (b, ...).
            target: of its shape.
            t: time steps (b,).
            counted: 1 where an element counts, 0 elsewhere, broadcastable to the target's shape; all by default. An
                item of which nothing counts has no loss.
        """
        error = (predicted.float() - target).square()
        if counted is None:
            mean = error.flatten(1).mean(dim=1)
        else:
            counted = counted.to(error.dtype).expand_as(error)
            mean = (error * counted).flatten(1).sum(dim=1) / counted.flatten(1).sum(dim=1).clamp(min=1)
        return mean if self.min_snr_gamma is None else mean * self.loss_weight(t)

    def loss_weight(self, t: torch.Tensor) -> torch.Tensor:
        """Min-SNR weights (b,) of time steps (b,): min(SNR, gamma), relative to the prediction's own weight.

        The squared error of the noise is SNR times that of x_0, that of the velocity SNR + 1 times (Hang et al.,
        2023, section 3.4).
        """
        snr = self.alphas_cumprod[t] / (1 - self.alphas_cumprod[t])
        return snr.clamp(max=self.min_snr_gamma) / (snr if self.prediction == "epsilon" else snr + 1)

    def clean(
        self, predicted: torch.Tensor, x: torch.Tensor, alpha_cumprod: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The clean estimate x_0 and the noise that a prediction implies, both of x's shape.

        Samplers depend on the prediction type through this method only.

        Args:
            predicted: the U-Net's output for `x`.
            x: the noisy input (b, ...).
            alpha_cumprod: of the noise level of `x`.
        """
        alpha, sigma = alpha_cumprod**0.5, (1 - alpha_cumprod) ** 0.5
        if self.prediction == "epsilon":
            return (x - sigma * predicted) / alpha, predicted
        return alpha * x - sigma * predicted, sigma * x + alpha * predicted
