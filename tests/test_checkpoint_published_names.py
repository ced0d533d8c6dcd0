"""The published names of every tensor, at full size and of the small model."""

import pytest
import torch

from helpers import published_files as small
from helpers.golden import fixture_keys, published_keys
from synctrack.checkpoint.files import PUBLISHED_CONFIG, CheckpointFile
from synctrack.checkpoint.matching import differences, entries_of, ignored_as, shapes_of
from synctrack.checkpoint.published import is_new_in_synctrack, new_modules, unet_map


@pytest.fixture(scope="module")
def full_modules():
    return shapes_of(PUBLISHED_CONFIG, 4)


@pytest.mark.parametrize(
    ("kind", "used", "ignored"),
    [("synctrack", 2393, 70), ("musicldm", 1776, 74), ("vae", 204, 250), ("vocoder", 291, 0)],
)
def test_every_published_tensor_is_used_or_on_the_list(full_modules, kind, used, ignored):
    """At full size, against the published names and shapes."""
    tensors = {name: torch.empty(shape, dtype=dtype, device="meta") for name, shape, dtype in published_keys(kind)}
    file = CheckpointFile("", kind, True, tensors, None, None)
    assert differences(file, full_modules) == {}
    assert len({name for entry in entries_of(file, full_modules) for name in entry.published}) == used
    assert sum(ignored_as(file, name) is not None for name in tensors) == ignored


def test_exactly_the_published_list_is_new_in_synctrack(full_modules):
    new = {n for entry in unet_map(full_modules.unet) if is_new_in_synctrack(entry.ours) for n in entry.published}
    assert new == {name for name, *_ in fixture_keys("new_in_synctrack")}
    summary = new_modules(full_modules.unet)
    assert summary.startswith("309 keys of the U-Net that MusicLDM does not have: prior (5), ")
    assert "up.8.attention.block.time (12)" in summary


def test_small_unet_has_the_published_names():
    unet = small.new_model()[0].unet
    shapes = {
        name: list(tensor.shape)
        for entry in unet_map(unet)
        for name, tensor in zip(entry.published, entry.to_published(unet.state_dict()[entry.ours]), strict=True)
    }
    assert shapes == dict(fixture_keys("unet_tiny"))
