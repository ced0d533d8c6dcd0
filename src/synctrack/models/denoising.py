"""The denoiser that samplers call: the U-Net's prediction under conditions, with what is known set to the truth."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import nn

from synctrack.diffusion.process import Diffusion
from synctrack.diffusion.samplers import Step, ddim_step
from synctrack.models.conditioning import Conditions


@dataclass(frozen=True)
class Original:
    """What a variation stays near.

    Attributes:
        latent: scaled clean latents (b, s, c, t, f).
        strength: (s,), the share of the process that each stem goes through: 0 keeps it, 1 makes it anew.
    """

    latent: torch.Tensor
    strength: torch.Tensor

    def replace_held(self, x_0: torch.Tensor, time: float) -> torch.Tensor:
        """A clean estimate with the original in the stems that are not free yet at `time`, 1 (noise) to 0 (clean)."""
        held = rearrange(self.strength < time, "s -> 1 s 1 1 1")
        return torch.where(held, self.latent, x_0)


@dataclass(frozen=True)
class Denoiser:
    """(x, step) -> the clean estimate x_0 and the noise in x, both (b, s, c, t, f).

    Attributes:
        unet: predicts; its weights may be the EMA's.
        diffusion: knows what a prediction means.
        condition: `Conditions.channels`, what the U-Net reads at every step; None where it is told nothing.
        conditions: what is known; known parts of x_0 are the truth in any case.
        guidance: scale of classifier-free guidance (Ho & Salimans, 2022, eq. 6); 1 is without.
        original: of a variation.
        resampling: how many times each step is taken and diffused back before it is taken for good, so that known and
            unknown parts agree (RePaint, Lugmayr et al., 2022, section 4.2); for models that have not learnt context.
        draw_noise: fresh noise of x's shape, for `renew`.
    """

    unet: nn.Module
    diffusion: Diffusion
    condition: torch.Tensor | None = None
    conditions: Conditions | None = None
    guidance: float = 1.0
    original: Original | None = None
    resampling: int = 0
    draw_noise: Callable[[], torch.Tensor] | None = None

    def __call__(self, x: torch.Tensor, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
        t = torch.full((len(x),), step.t, device=x.device)
        x_0, noise = self.diffusion.clean(self._predict(x, t).float(), x, step.alpha_cumprod)
        replaced = x_0
        if self.conditions is not None:
            replaced = self.conditions.replace_known(replaced)
        if self.original is not None:
            replaced = self.original.replace_held(replaced, (step.t + 1) / self.diffusion.timesteps)
        if replaced is x_0:
            return x_0, noise
        return replaced, (x - step.alpha_cumprod**0.5 * replaced) / (1 - step.alpha_cumprod) ** 0.5

    def renew(self, x: torch.Tensor, step: Step) -> torch.Tensor:
        """x after `resampling` rounds of the step and its noise added again; the step to clean is taken once."""
        kept = step.alpha_cumprod / step.next_alpha_cumprod
        for _ in range(self.resampling if step.next_alpha_cumprod < 1 else 0):
            below = ddim_step(*self(x, step), step, self.draw_noise, eta=1.0)
            x = kept**0.5 * below + (1 - kept) ** 0.5 * self.draw_noise()
        return x

    def _predict(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        if self.condition is None:
            return self.unet(x, t)
        told = self.unet(x, t, self.condition)
        if self.guidance == 1:
            return told
        untold = self.unet(x, t)
        return untold + self.guidance * (told - untold)
