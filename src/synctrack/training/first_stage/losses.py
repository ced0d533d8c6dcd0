"""What discriminators teach: adversarial losses, distance of features, and how much of it a VAE should hear."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from synctrack.training.first_stage.discriminators import Features

MOST = 1e4
LEAST_GRADIENT = 1e-4


def hinge_discriminator(real: list[Features], fake: list[Features]) -> torch.Tensor:
    """Loss of judges of real and made items: half of max(0, 1 - real) + max(0, 1 + made), averaged."""
    pairs = [F.relu(1 - r[-1]).mean() + F.relu(1 + f[-1]).mean() for r, f in zip(real, fake, strict=True)]
    return 0.5 * torch.stack(pairs).sum()


def hinge_generator(fake: list[Features]) -> torch.Tensor:
    """Loss of who made the items: low where the judges take them for real."""
    return -torch.stack([features[-1].mean() for features in fake]).sum()


def least_squares_discriminator(real: list[Features], fake: list[Features]) -> torch.Tensor:
    """Loss of judges that should say 1 to real items and 0 to made ones (Kong et al., 2020, eq. 1)."""
    pairs = [((1 - r[-1]) ** 2).mean() + (f[-1] ** 2).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(pairs).sum()


def least_squares_generator(fake: list[Features]) -> torch.Tensor:
    """Loss of who made the items: the judges should say 1 (Kong et al., 2020, eq. 2)."""
    return torch.stack([((1 - features[-1]) ** 2).mean() for features in fake]).sum()


def feature_distance(real: list[Features], fake: list[Features]) -> torch.Tensor:
    """L1 distance of the judges' layers, the verdict as well, each averaged (Kong et al., 2020, eq. 4)."""
    pairs = [pair for r, f in zip(real, fake, strict=True) for pair in zip(r, f, strict=True)]
    return torch.stack([(f - r.detach()).abs().mean(dtype=torch.float32) for r, f in pairs]).sum()


def adaptive_weight(reconstruction: torch.Tensor, adversarial: torch.Tensor, last_layer: nn.Parameter) -> torch.Tensor:
    """How the two losses' gradients compare in size at the last layer (Esser et al., 2021, eq. 7), without gradient.

    Multiplied with it, the adversarial loss pulls as hard as the reconstruction does.
    """
    size = [
        torch.autograd.grad(loss, last_layer, retain_graph=True)[0].norm() for loss in (reconstruction, adversarial)
    ]
    return (size[0] / (size[1] + LEAST_GRADIENT)).clamp(0.0, MOST).detach()


@contextmanager
def frozen(judges: nn.Module) -> Iterator[None]:
    """Judge without learning: what is computed inside sends gradients through the judges, none to them."""
    judges.requires_grad_(False)
    try:
        yield
    finally:
        judges.requires_grad_(True)
