"""Random numbers per item, so that no result depends on batch size, order or number of devices."""

from typing import Any

import numpy as np
import torch

# Separate streams of random numbers for one item.
TRAIN, VALIDATION_LATENT, VALIDATION_LOSS, VALIDATION_CLIP, GENERATION, GIVEN, SIGNAL, TEMPO = range(8)


def item_seed(*key: int) -> int:
    """A 63-bit seed from non-negative integers, such as (seed, epoch, index); similar keys give unrelated seeds."""
    # The length is included, so that a key and the same key followed by a zero differ.
    return int(np.random.SeedSequence([len(key), *key]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def item_generator(*key: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator that starts from `item_seed(*key)`."""
    return torch.Generator(device).manual_seed(item_seed(*key))


def batch_generators(batch: dict[str, Any], seed: int, stream: int, device: torch.device) -> list[torch.Generator]:
    """One generator for each item of a data loader's batch, whose `epoch` and `index` tell the items apart."""
    keys = zip(batch["epoch"].tolist(), batch["index"].tolist(), strict=True)
    return [item_generator(seed, stream, *key, device=device) for key in keys]


def draw_per_item(mean: torch.Tensor, std: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
    """Sample normal distributions: values (b, ...), float32; row i is drawn from generator i alone."""
    return (mean + std * normal_per_item(generators, mean.shape[1:]).to(mean.device)).float()


def normal_per_item(generators: list[torch.Generator], shape: tuple[int, ...]) -> torch.Tensor:
    """Standard normal noise (b, *shape) on the generators' device: row i comes from generator i alone.

    A generator holds one seed, so that each row is one kernel, which writes to its place in the result.
    """
    noise = torch.empty(len(generators), *shape, device=generators[0].device)
    for row, generator in zip(noise, generators, strict=True):
        row.normal_(generator=generator)
    return noise


def whole_per_item(generators: list[torch.Generator], count: int) -> torch.Tensor:
    """Whole numbers (b,) from 0 up to, but not, `count`, on the generators' device: one from each generator."""
    numbers = torch.empty(len(generators), dtype=torch.long, device=generators[0].device)
    for number, generator in zip(numbers, generators, strict=True):
        number.random_(count, generator=generator)
    return numbers
