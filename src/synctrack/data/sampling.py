"""The items of each batch on each device: a pure function of the seed and the number of previous batches."""

from collections.abc import Callable, Iterator

import numpy as np
from torch.utils.data import Sampler

from synctrack.seeding import item_seed


class TrainBatches(Sampler[list[tuple[int, int]]]):
    """Shuffled batches of (epoch, index); each iteration yields one epoch's number of batches from the current one on.

    The global batch k is the same for any number of devices: each takes every `world_size`-th item of it. Items that
    do not fill a global batch, or a step, at the end of an epoch are left out of that epoch.

    Args:
        items: number of items in the data set.
        batch_size: items of one device's batch.
        seed: seed of the order.
        batches_before: returns how many batches training has had; called when an iteration starts.
        rank: which device this is.
        world_size: number of devices.
        accumulated: batches whose gradients make one optimiser step; an epoch is whole steps, as Lightning would
            otherwise end it with a step of fewer batches.

    Raises:
        ValueError: there are fewer items than one step needs.
    """

    def __init__(
        self,
        items: int,
        batch_size: int,
        seed: int,
        batches_before: Callable[[], int],
        rank: int = 0,
        world_size: int = 1,
        accumulated: int = 1,
    ) -> None:
        self.items, self.seed, self.batches_before = items, seed, batches_before
        self.rank, self.world_size, self.accumulated = rank, world_size, accumulated
        self.global_batch_size = batch_size * world_size
        if not len(self):
            steps = f"{accumulated} batches" if accumulated > 1 else "a batch"
            raise ValueError(f"{items} segments do not fill {steps} of {batch_size} on each of {world_size} devices")

    def __len__(self) -> int:
        return self.items // (self.global_batch_size * self.accumulated) * self.accumulated

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        first, order_of = self.batches_before(), None
        for k in range(first, first + len(self)):
            epoch, batch = divmod(k, len(self))
            if epoch != order_of:
                order, order_of = np.random.default_rng(item_seed(self.seed, epoch)).permutation(self.items), epoch
            start = batch * self.global_batch_size
            mine = order[start + self.rank : start + self.global_batch_size : self.world_size]
            yield [(epoch, int(index)) for index in mine]
