"""Validation losses by task and noise level against sums by hand, on one device and over two."""

import pytest
import torch

from synctrack.training.task_losses import TaskLosses

CPU = torch.device("cpu")
ALL = torch.tensor([True, True])


def means(*losses: TaskLosses) -> dict[str, float]:
    """The means over devices, each of which has collected some losses."""
    totals = {}
    for name in ("_by_task", "_by_level"):
        totals[id(getattr(losses[0], name))] = sum(getattr(one, name) for one in losses)
    found = losses[0].means(lambda tensor, reduce_op: totals[id(tensor)])
    return {name: float(value) for name, value in found.items()}


def test_items_that_do_not_count_are_left_out_of_their_task():
    losses = TaskLosses(("val", "other"), ("click", "mix"), 1000, CPU)
    t = torch.tensor([10, 990])
    losses.add("val", "click", torch.tensor([1.0, 5.0]), torch.tensor([True, False]), t)
    losses.add("val", "mix", torch.tensor([2.0, 4.0]), ALL, t)
    losses.add("val", "click", torch.tensor([3.0]), torch.tensor([True]), t[:1])
    losses.add("val", "mix", torch.tensor([6.0]), torch.tensor([True]), t[:1])
    losses.add("other", "click", torch.tensor([float("nan")]), torch.tensor([False]), t[:1])
    by_level = {"val_noise_1": 3.0, "val_noise_4": 4.0}
    assert means(losses) == {"val_click": 2.0, "val_mix": 4.0, "val": 3.0} | by_level


def test_levels_are_equal_parts_of_the_time_steps():
    losses = TaskLosses(("val",), ("nothing",), 8, CPU)
    loss = torch.arange(8.0)
    losses.add("val", "nothing", loss, torch.ones(8, dtype=torch.bool), torch.arange(8))
    levels = {f"val_noise_{level}": 2 * level - 1.5 for level in (1, 2, 3, 4)}
    assert means(losses) == {"val": 3.5} | levels


def test_devices_with_different_numbers_of_items_give_the_mean_of_all_items():
    """Also where one has none: a mean of the devices' means would be another number, and a missing one would hang."""
    devices = [TaskLosses(("val",), ("nothing",), 1000, CPU) for _ in range(3)]
    devices[0].add("val", "nothing", torch.tensor([1.0, 2.0]), ALL, torch.tensor([0, 500]))
    devices[1].add("val", "nothing", torch.tensor([6.0]), ALL[:1], torch.tensor([0]))
    assert means(*devices) == pytest.approx({"val": 3.0, "val_noise_1": 3.5, "val_noise_3": 2.0})
