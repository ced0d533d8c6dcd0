"""The published model's outputs, and our modules filled with the weights that gave them."""

import gzip
import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from helpers.filler import fill, noise
from synctrack.checkpoint.published import Entry
from synctrack.models.unet import UNetConfig

FIXTURES = Path(__file__).parents[1] / "fixtures"

TINY = UNetConfig(
    model_channels=32,
    channel_mult=[1, 2],
    attention_resolutions=[2],
    num_res_blocks=1,
    num_head_channels=16,
    time_attention_scope="bin",
)
"""The small U-Net of which most golden outputs are."""


class Golden:
    """The arrays of one golden file, each the values at every `stride`-th place of the whole."""

    def __init__(self, name: str) -> None:
        self.arrays = dict(np.load(FIXTURES / f"golden_{name}.npz"))
        self.stride = int(self.arrays.pop("stride"))

    def error(self, name: str, ours: torch.Tensor | np.ndarray) -> float:
        """Largest absolute difference of our whole tensor, in the golden's layout, from the golden `name`."""
        expected = self.arrays[name]
        kept = np.asarray(ours).reshape(-1)[:: self.stride]
        assert kept.shape == expected.shape
        return float(np.abs(kept.astype(np.float64) - expected).max())


def fixture_keys(what: str) -> list[list]:
    """One of the lists of published names: [name, shape] or [name, shape, dtype]."""
    return json.loads(gzip.decompress((FIXTURES / "published_keys.json.gz").read_bytes()))[what]


def published_keys(kind: str) -> list[tuple[str, tuple[int, ...], torch.dtype]]:
    """(name, shape, dtype) of every tensor in a published `synctrack`, `musicldm`, `vae` or `vocoder` file."""
    return [(name, tuple(shape), getattr(torch, dtype)) for name, shape, dtype in fixture_keys(kind)]


def fill_by_name(module: nn.Module, entries: list[Entry], prefix: str) -> nn.Module:
    """Give each tensor of `module` the weights that the filler has for its published names after `prefix`."""
    state = module.state_dict()
    for entry in entries:
        shapes = [tensor.shape for tensor in entry.to_published(state[entry.ours])]
        published = [torch.from_numpy(fill(n, s, prefix)) for n, s in zip(entry.published, shapes, strict=True)]
        state[entry.ours].copy_(entry.to_ours(published))
    return module.eval()


def tensor_noise(label: str, shape: tuple[int, ...], mean: float = 0.0, std: float = 1.0) -> torch.Tensor:
    """The golden input called `label`."""
    return torch.from_numpy(noise(label, shape, mean, std))
