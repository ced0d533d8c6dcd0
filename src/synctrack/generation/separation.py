"""Separation: a mixture shared out among its stems by soft masks that the generated stems give.

Wiener's filter: a stem's share of each bin of the mixture's spectrum is its power over that of all stems. The shares
add up to 1, so that the separated stems keep the mixture's phase and sum to it.
"""

import numpy as np
import torch

from synctrack.audio.files import new_waveforms

WINDOW_SECONDS = 0.064
BLOCK_WINDOWS = 512
FLOOR = 1e-8


def soft_masks(generated: np.ndarray, mixture: np.ndarray, sample_rate: int) -> np.ndarray:
    """Stems (s, n) of a mixture (n,) that sum to it, from generated stems (s, n).

    The work goes block by block, so that its memory does not grow with the length.

    Args:
        generated: what the model made of the mixture.
        mixture: what is shared out.
        sample_rate: Hz.
    """
    size = 2 ** round(np.log2(WINDOW_SECONDS * sample_rate))
    block, context = BLOCK_WINDOWS * size // 4, size
    result = new_waveforms(generated.shape)
    for begin in range(0, len(mixture), block):
        first, last = max(0, begin - context), min(len(mixture), begin + block + context)
        part = _masked(generated[:, first:last], mixture[first:last], size)
        end = min(begin + block, len(mixture))
        result[:, begin:end] = part[:, begin - first : end - first]
    return result


def _masked(generated: np.ndarray, mixture: np.ndarray, size: int) -> np.ndarray:
    window = torch.hann_window(size)

    def spectrum(waveform: np.ndarray) -> torch.Tensor:
        rows = torch.from_numpy(np.ascontiguousarray(waveform, np.float32))
        return torch.stft(rows, size, size // 4, window=window, pad_mode="constant", return_complex=True)

    power = spectrum(generated).abs().square() + FLOOR
    share = power / power.sum(dim=0, keepdim=True)
    separated = torch.istft(share * spectrum(mixture), size, size // 4, window=window, length=len(mixture))
    return separated.numpy()
