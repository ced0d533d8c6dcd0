"""What holds for a device and its kernels, as far as it shows without one."""

import pytest
import torch

from synctrack.devices import exact_float32, use_tf32


def rounds() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def test_float32_is_exact_within_the_context_and_as_before_after_it_and_after_errors():
    before = rounds()
    try:
        use_tf32(True)
        with exact_float32():
            assert rounds() == (False, False)
        assert rounds() == (True, True)
        with pytest.raises(ValueError, match="within"), exact_float32():
            raise ValueError("within")
        assert rounds() == (True, True)
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
