"""The conditions of a training or validation batch: what is given, drawn per item, as tensors for the U-Net."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from synctrack import seeding
from synctrack.config import GivenConfig
from synctrack.devices import copied_to
from synctrack.generation.grid import without_borders
from synctrack.models.conditioning import ConditioningConfig, Conditions
from synctrack.models.vae import Posterior
from synctrack.training.given import Given, draw_given, known_part

NOTHING = "nothing"
TASKS = (NOTHING, "stems", "span", "prefix", "click", "mix")
"""What validation gives, one after the other; a signal goes with nothing known of the stems."""
CONTEXT_TASKS = ("stems", "span", "prefix")


def tasks_of(conditioning: ConditioningConfig) -> list[str]:
    """The tasks that a model can be asked, in the order of `TASKS`."""
    possible = {NOTHING, *(CONTEXT_TASKS if conditioning.context else ()), *conditioning.signals}
    return [task for task in TASKS if task in possible]


def drawn_given(
    batch: dict[str, Any], shares: GivenConfig, margin: int, seed: int, num_stems: int, num_frames: int
) -> list[Given]:
    """What each item of a training batch is given, drawn by its own generator."""
    keys = zip(batch["epoch"].tolist(), batch["index"].tolist(), strict=True)
    generators = [np.random.default_rng(seeding.item_seed(seed, seeding.GIVEN, *key)) for key in keys]
    return [draw_given(rng, shares, margin, num_stems, num_frames) for rng in generators]


def given_for_task(
    task: str, batch: dict[str, Any], margin: int, seed: int, num_stems: int, num_frames: int
) -> list[Given]:
    """What each item of a validation batch is given in a task, the same every time."""
    context = task if task in CONTEXT_TASKS else NOTHING
    given = []
    for index in batch["index"].tolist():
        rng = np.random.default_rng(seeding.item_seed(seed, seeding.GIVEN, TASKS.index(task), index))
        mask = without_borders(known_part(context, rng, num_stems, num_frames), margin)
        given.append(Given(mask, click=task == "click", mix=task == "mix"))
    return given


def has_signal(batch: dict[str, Any], name: str, device: torch.device) -> torch.Tensor:
    """Whether each item (b,) has a signal at all: a song without beats has no click. True for what is no signal."""
    if name == "click":
        return batch["click_given"]
    return torch.ones(len(batch["index"]), dtype=torch.bool, device=device)


def signal_latents(
    batch: dict[str, Any],
    names: Sequence[str],
    generators: list[torch.Generator],
    encode: Callable[[torch.Tensor], Posterior],
) -> dict[str, torch.Tensor]:
    """Unscaled latents (b, c, t, f) of the signals, drawn from their posteriors, stored or encoded now.

    Args:
        batch: of a data set with these signals.
        names: of the signals.
        generators: one for each item, of a stream of their own.
        encode: waveform (b, 1, n) -> posterior.
    """
    latents = {}
    for name in names:
        if f"{name}_mean" in batch:
            mean, std = batch[f"{name}_mean"], batch[f"{name}_std"]
        else:
            rows = batch["waveform"].sum(dim=1) if name == "mix" else batch[name]
            posterior = encode(rows[:, None])
            mean, std = posterior.mean[:, 0], posterior.std[:, 0]
        latents[name] = seeding.draw_per_item(mean, std, generators)
    return latents


def conditions_of(
    given: list[Given],
    latent: torch.Tensor,
    conditioning: ConditioningConfig,
    signals: dict[str, torch.Tensor],
    batch: dict[str, Any],
) -> Conditions:
    """The conditions of a batch.

    Args:
        given: of each item.
        latent: scaled latents (b, s, c, t, f), of which the known parts are taken.
        conditioning: what the model can be told; the rest is left out.
        signals: scaled latents (b, c, t, f) by name.
        batch: the items, which say whether they have a click.
    """
    device, num_frames = latent.device, latent.shape[3]
    presence = {}
    for name in conditioning.signals:
        drawn = copied_to(torch.tensor([getattr(item, name) for item in given]), device)
        told = drawn & has_signal(batch, name, device)
        presence[name] = told[:, None].expand(-1, num_frames).float()
    kept = {name: signals[name] for name in conditioning.signals}
    if not conditioning.context:
        return Conditions(None, None, kept, presence)
    mask = copied_to(torch.from_numpy(np.stack([item.mask for item in given])), device)
    return Conditions(latent, mask.float(), kept, presence)
