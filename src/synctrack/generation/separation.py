"""Separation: a mixture shared out among its stems by soft masks that the generated mels give.

Wiener's filter: a stem's share of each bin of the mixture's spectrum is its power over that of all stems. The shares
add up to 1, so that the separated stems keep the mixture's phase and sum to it. Of several draws the masks, and so the
separated stems, are averaged: the mean of a stem over all that the model holds possible has the least squared error.

The powers are those of the generated mels, whose shares in the bands are spread over the bins. Powers of the vocoder's
waveforms have finer bins, but harmonics a little beside those of the mixture: with the demo's VAE and vocoder, and the
true stems' latents, masks from mels gain 8.0 to 12.3 dB SI-SDR over the mixture, those from waveforms 6.5 to 10.6.
"""

import numpy as np
import torch

from synctrack.audio.files import new_waveforms
from synctrack.audio.mel import AudioFormat

BLOCK_FRAMES = 4096


def soft_masks(mel: np.ndarray, mixture: np.ndarray, audio: AudioFormat) -> np.ndarray:
    """Stems (s, n) of a mixture (n,) that sum to it.

    The work goes block by block, so that its memory does not grow with the length.

    Args:
        mel: log-mels (s, m, f) of the stems as the model generates them; frames missing at the end are the last one.
        mixture: what is shared out.
        audio: of the mels.
    """
    hop, result = audio.hop_length, new_waveforms((len(mel), len(mixture)))
    spread, context = _spread(audio), -(-audio.n_fft // audio.hop_length)
    for begin in range(0, len(mixture), BLOCK_FRAMES * hop):
        end = min(begin + BLOCK_FRAMES * hop, len(mixture))
        first = max(0, begin - context * hop)
        last = min(len(mixture), end + context * hop)
        frames = np.minimum(first // hop + np.arange((last - first) // hop + 1), mel.shape[1] - 1)
        part = _masked(mel[:, frames], mixture[first:last], spread, audio)
        result[:, begin:end] = part[:, begin - first : end - first]
    return result


def _masked(mel: np.ndarray, mixture: np.ndarray, spread: np.ndarray, audio: AudioFormat) -> np.ndarray:
    power = 2 * mel.astype(np.float64)
    share = np.exp(power - power.max(axis=0))
    share = torch.from_numpy((share / share.sum(axis=0)) @ spread).transpose(1, 2)
    window = torch.hann_window(audio.n_fft)
    rows = torch.from_numpy(np.ascontiguousarray(mixture, np.float32))
    spectrum = torch.stft(rows, audio.n_fft, audio.hop_length, window=window, pad_mode="constant", return_complex=True)
    masked = share.to(torch.float32) * spectrum
    return torch.istft(masked, audio.n_fft, audio.hop_length, window=window, length=len(mixture)).numpy()


def _spread(audio: AudioFormat) -> np.ndarray:
    """(f, bins): how the bands' shares make up a bin's; each column sums to 1. Bins of no band take the nearest's."""
    bands = audio.mel_bands().astype(np.float64)
    covered = np.flatnonzero(bands.sum(axis=0) > 0)
    nearest = covered[np.abs(np.arange(bands.shape[1])[:, None] - covered).argmin(axis=1)]
    bands = bands[:, nearest]
    return bands / bands.sum(axis=0)
