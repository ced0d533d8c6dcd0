"""Validation losses by task, summed over batches and devices."""

from collections import defaultdict
from collections.abc import Callable

import torch


class TaskLosses:
    """Collects the losses of items by task; an item that does not count in a task, as one without beats in `click`,
    is left out of it."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], list[torch.Tensor]] = defaultdict(list)

    def add(self, name: str, losses: dict[str, tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Add a batch.

        Args:
            name: of the value, such as `val/loss`.
            losses: task -> losses (b,) and which items count, bool (b,).
        """
        for task, (loss, counts) in losses.items():
            counted = torch.where(counts, loss, 0.0).sum().double()
            self._sums[name, task].append(torch.stack([counted, counts.sum().double()]))

    def means(self, reduce: Callable[..., torch.Tensor]) -> dict[str, torch.Tensor]:
        """`<name>` (mean over the tasks) and `<name>_<task>`, of all devices; tasks without an item are left out.

        Args:
            reduce: sums a tensor over the devices; takes `reduce_op`.
        """
        by_name: dict[str, dict[str, torch.Tensor]] = defaultdict(dict)
        for (name, task), sums in self._sums.items():
            total, count = reduce(torch.stack(sums).sum(dim=0), reduce_op="sum")
            if count > 0:
                by_name[name][task] = (total / count).float()
        means = {}
        for name, tasks in by_name.items():
            means[name] = torch.stack(list(tasks.values())).mean()
            means |= {f"{name}_{task}": loss for task, loss in tasks.items()}
        return means
