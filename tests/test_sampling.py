"""The order of training data is a function of the seed and of the batches before, for any number of devices."""

import itertools

import pytest

from synctrack.data.sampling import TrainBatches


def batches(count, items=10, batch_size=2, seed=0, before=0, **devices):
    """The next `count` batches, an iteration at a time as the training loop asks for them."""
    seen = []
    sampler = TrainBatches(items, batch_size, seed, lambda: before + len(seen), **devices)
    while len(seen) < count:
        seen += list(itertools.islice(iter(sampler), min(len(sampler), count - len(seen))))
    return seen


def test_each_epoch_is_another_permutation():
    epochs = batches(10)
    first, second = ([item for batch in part for item in batch] for part in (epochs[:5], epochs[5:]))
    assert sorted(first) == [(0, i) for i in range(10)]
    assert sorted(second) == [(1, i) for i in range(10)]
    assert [i for _, i in first] != [i for _, i in second]


@pytest.mark.parametrize("before", [1, 4, 5, 7, 12])
def test_resumed_order_is_the_rest_of_the_uninterrupted_one(before):
    assert batches(20)[before:] == batches(20 - before, before=before)


def test_shortened_epoch_resumes_where_it_stopped():
    """As with trainer.limit_train_batches: iterations of two batches give the same stream."""
    seen = []
    sampler = TrainBatches(10, 2, 0, lambda: len(seen))
    for _ in range(6):
        seen += list(itertools.islice(iter(sampler), 2))
    assert seen == batches(12)


def test_devices_share_the_global_batch():
    one = batches(9, batch_size=4)
    ranks = [batches(9, batch_size=2, rank=rank, world_size=2) for rank in range(2)]
    for whole, first, second in zip(one, *ranks, strict=True):
        assert sorted(whole) == sorted(first + second)


def test_seed_decides_the_order():
    assert batches(5) == batches(5)
    assert batches(5) != batches(5, seed=1)


def test_epochs_are_whole_steps_of_accumulated_batches():
    """Ten batches and three to a step: nine an epoch, and the tenth is left out of it."""
    sampler = TrainBatches(20, 2, 0, lambda: 9, accumulated=3)
    assert len(sampler) == 9
    assert [batch[0][0] for batch in sampler] == [1] * 9
    with pytest.raises(ValueError, match="5 segments do not fill 3 batches of 2 on each of 1 devices"):
        TrainBatches(5, 2, 0, lambda: 0, accumulated=3)


def test_too_few_items_are_refused():
    with pytest.raises(ValueError, match="3 segments do not fill a batch of 2 on each of 2 devices"):
        TrainBatches(3, 2, 0, lambda: 0, world_size=2)
