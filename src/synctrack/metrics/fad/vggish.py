"""VGGish embeddings, as the published evaluation computes them: without PCA, quantisation and the last ReLU.

Source: S. Hershey et al., "CNN architectures for large-scale audio classification", ICASSP 2017; log-mel and network
as in the torch port, whose state dict is read strictly by its keys.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from synctrack.errors import InputError

RATE = 16000
WINDOW, HOP, FFT = 400, 160, 512
BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0
PATCH = 96
SHORTEST = 2 * RATE  # samples that files are padded to
CHANNELS = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool")
BATCH = 64


@cache
def _mel_bands() -> np.ndarray:
    """(FFT / 2 + 1, BANDS) triangular weights that are linear in mel; the lowest bin has none."""

    def mel(frequency: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log(1.0 + frequency / 700.0)

    edges = np.linspace(mel(np.array(LOWEST)), mel(np.array(HIGHEST)), BANDS + 2)
    bins = mel(np.linspace(0.0, RATE / 2, FFT // 2 + 1))[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0.0, np.minimum(rising, falling))
    weights[0] = 0.0
    return weights


def log_mel_patches(samples: np.ndarray) -> np.ndarray:
    """(patches, PATCH, BANDS) log-mel of samples (n,) at RATE; the end that fills no patch is left out."""
    samples = np.asarray(samples, np.float64)
    samples = samples - samples.mean() if len(samples) else samples
    samples = np.pad(samples, (0, max(0, SHORTEST - len(samples))))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP] * hann
    mel = np.log(np.abs(np.fft.rfft(frames, FFT)) @ _mel_bands() + 0.01)
    count = len(mel) // PATCH
    return mel[: count * PATCH].reshape(count, PATCH, BANDS)


class VGGish(nn.Module):
    """Patches (b, PATCH, BANDS) → embeddings (b, 128)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for item in CHANNELS:
            if item == "pool":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, item, 3, padding=1), nn.ReLU()]
                channels = item
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(512 * 6 * 4, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 128)
        )

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        maps = self.features(patches[:, None])
        return self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))


def load_vggish(path: str | Path) -> VGGish:
    """The network with the weights of a file of the torch port.

    Raises:
        InputError: the file cannot be read, or its keys or shapes are not VGGish's.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, LookupError, ImportError) as error:
        raise InputError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error
    except Exception as error:  # pickle raises its own kinds
        raise InputError(f"{path}: is not a file of weights") from error
    with torch.device("meta"):
        model = VGGish()
    ours = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    theirs = (
        {key: tuple(getattr(value, "shape", ())) for key, value in state.items()} if isinstance(state, dict) else {}
    )
    wrong = [key for key in ours | theirs if ours.get(key) != theirs.get(key)]
    if wrong:
        raise InputError(f"{path}: is not VGGish ({len(wrong)} keys differ, such as {wrong[0]})")
    model.load_state_dict(state, assign=True)
    return model.float().eval()


def vggish_embeddings(model: VGGish, samples: np.ndarray) -> np.ndarray:
    """(patches, 128) embeddings of samples (n,) at RATE, first channel."""
    patches = torch.from_numpy(log_mel_patches(samples)).float()
    with torch.inference_mode():
        return torch.cat([model(batch) for batch in patches.split(BATCH)]).numpy()
