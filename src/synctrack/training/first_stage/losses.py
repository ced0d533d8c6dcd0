"""Adversarial losses, feature matching, and the adaptive weight of the adversarial loss of a VAE."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from synctrack.training.first_stage.discriminators import Features

MOST = 1e4
LEAST_GRADIENT = 1e-4


def hinge_discriminator(real: list[Features], fake: list[Features]) -> torch.Tensor:
    """Hinge loss of the discriminators: half the mean of max(0, 1 - real) + max(0, 1 + fake), summed over them."""
    pairs = [F.relu(1 - r[-1]).mean() + F.relu(1 + f[-1]).mean() for r, f in zip(real, fake, strict=True)]
    return 0.5 * torch.stack(pairs).sum()


def hinge_generator(fake: list[Features]) -> torch.Tensor:
    """Hinge loss of the generator: minus the mean logits of generated items, summed over the discriminators."""
    return -torch.stack([features[-1].mean() for features in fake]).sum()


def least_squares_discriminator(real: list[Features], fake: list[Features]) -> torch.Tensor:
    """Discriminator loss with target 1 for real and 0 for generated items (Kong et al., 2020, eq. 1)."""
    pairs = [((1 - r[-1]) ** 2).mean() + (f[-1] ** 2).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(pairs).sum()


def least_squares_generator(fake: list[Features]) -> torch.Tensor:
    """Generator loss with target 1 for generated items (Kong et al., 2020, eq. 2)."""
    return torch.stack([((1 - features[-1]) ** 2).mean() for features in fake]).sum()


def feature_distance(real: list[Features], fake: list[Features]) -> torch.Tensor:
    """Mean L1 distance of each layer's outputs, logits included, summed over layers (Kong et al., 2020, eq. 4)."""
    pairs = [pair for r, f in zip(real, fake, strict=True) for pair in zip(r, f, strict=True)]
    return torch.stack([(f - r.detach()).abs().mean(dtype=torch.float32) for r, f in pairs]).sum()


def adaptive_weight(reconstruction: torch.Tensor, adversarial: torch.Tensor, last_layer: nn.Parameter) -> torch.Tensor:
    """Ratio of the gradient norms of the two losses at the last layer (Esser et al., 2021, eq. 7), detached.

    Multiplied by it, the adversarial loss has a gradient of the same norm there as the reconstruction loss.
    """
    size = [
        torch.autograd.grad(loss, last_layer, retain_graph=True)[0].norm() for loss in (reconstruction, adversarial)
    ]
    return (size[0] / (size[1] + LEAST_GRADIENT)).clamp(0.0, MOST).detach()


@contextmanager
def frozen(discriminators: nn.Module) -> Iterator[None]:
    """Freeze the discriminators: gradients flow through them, but not into their weights."""
    discriminators.requires_grad_(False)
    try:
        yield
    finally:
        discriminators.requires_grad_(True)
