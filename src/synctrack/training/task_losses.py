"""Validation losses by task and by noise level, summed over batches and devices."""

from collections.abc import Callable, Sequence

import torch

LEVELS = 4
"""Equal parts of the diffusion's time steps, from the least to the most noise."""


class TaskLosses:
    """Collects the losses of items by task and by the part of the time steps in which theirs lie.

    An item that does not count in a task, as one without beats in `click`, is left out of it. The sums of all devices
    are added up once, so that the means are those of one device, whatever number of items each had.

    Args:
        names: of the values, such as `val/loss`.
        tasks: of the model.
        timesteps: of the diffusion.
        device: where the losses are.
    """

    def __init__(self, names: Sequence[str], tasks: Sequence[str], timesteps: int, device: torch.device) -> None:
        self.names, self.tasks, self.timesteps = tuple(names), tuple(tasks), timesteps
        # Apple's GPUs know no float64.
        self._dtype = torch.float if device.type == "mps" else torch.double
        self._by_task = torch.zeros(len(names), len(tasks), 2, dtype=self._dtype, device=device)
        self._by_level = torch.zeros(len(names), LEVELS, 2, dtype=self._dtype, device=device)

    def add(self, name: str, task: str, loss: torch.Tensor, counts: torch.Tensor, t: torch.Tensor) -> None:
        """Add a batch.

        Args:
            name: of the value.
            task: of the model.
            loss: of each item (b,).
            counts: which items count, bool (b,).
            t: time step of each item (b,).
        """
        row = self.names.index(name)
        counted = torch.stack([torch.where(counts, loss, 0.0), counts], dim=1).to(self._dtype)
        self._by_task[row, self.tasks.index(task)] += counted.sum(dim=0)
        self._by_level[row].index_add_(0, t * LEVELS // self.timesteps, counted)

    def means(self, reduce: Callable[..., torch.Tensor]) -> dict[str, torch.Tensor]:
        """`<name>` (mean over the tasks), `<name>_<task>` where there are several, and `<name>_noise_<1 to 4>`.

        Tasks and levels without an item on any device are left out.

        Args:
            reduce: sums a tensor over the devices; takes `reduce_op`.
        """
        by_task, by_level = reduce(self._by_task, reduce_op="sum"), reduce(self._by_level, reduce_op="sum")
        means = {}
        for name, task_sums, level_sums in zip(self.names, by_task, by_level, strict=True):
            losses = dict(zip(self.tasks, task_sums, strict=True))
            losses = {task: (total / count).float() for task, (total, count) in losses.items() if count > 0}
            if losses:
                means[name] = torch.stack(list(losses.values())).mean()
            if len(self.tasks) > 1:
                means |= {f"{name}_{task}": loss for task, loss in losses.items()}
            for level, (total, count) in enumerate(level_sums, start=1):
                if count > 0:
                    means[f"{name}_noise_{level}"] = (total / count).float()
        return means
