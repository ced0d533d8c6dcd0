"""The device of the tests in this folder: a CUDA GPU, or what SYNCTRACK_TEST_DEVICE names, such as cpu."""

import os
from collections.abc import Iterator

import pytest
import torch

from synctrack.devices import exact_float32

NO_GPU = "no CUDA GPU on this machine; SYNCTRACK_TEST_DEVICE=cpu runs the same tests on the CPU"


def chosen_device() -> torch.device:
    return torch.device(os.environ.get("SYNCTRACK_TEST_DEVICE", "cuda"))


def pytest_runtest_setup() -> None:
    # From here, not from a fixture, so that pytest reports all tests in one line.
    if chosen_device().type == "cuda" and not torch.cuda.is_available():
        pytest.skip(NO_GPU)


@pytest.fixture(scope="session")
def device() -> torch.device:
    return chosen_device()


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Float32 without TF32, and kernels that give equal bits in equal runs where there are such."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    with exact_float32():
        yield
    torch.backends.cudnn.deterministic = before


@pytest.fixture
def on_device(device) -> list[str]:
    """Keys that put a command on the device, to follow those of the small model."""
    return [f"trainer.accelerator={device.type}", "trainer.devices=1"]
