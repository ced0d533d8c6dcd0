"""The audio that a model sees, and its log-mel: waveform (..., n) → (..., frames, n_mels)."""

from dataclasses import dataclass

import librosa
import numpy as np
import torch
from torch import nn

LOG_FLOOR = 1e-5


@dataclass(frozen=True)
class AudioFormat:
    """The audio a model sees; also a node of the typed config. One segment is `frames` mel frames long."""

    sample_rate: int = 16000  # Hz
    n_fft: int = 1024  # samples in a window of the Fourier transform
    hop_length: int = 160  # samples from one mel frame to the next
    n_mels: int = 64
    f_min: float = 0.0  # Hz
    f_max: float = 8000.0  # Hz
    frames: int = 1024

    @property
    def segment_samples(self) -> int:
        return self.frames * self.hop_length

    @property
    def segment_seconds(self) -> float:
        return self.segment_samples / self.sample_rate

    def mel_bands(self) -> np.ndarray:
        """Weight of each frequency in each Slaney mel band: (n_mels, n_fft / 2 + 1)."""
        size = {"sr": self.sample_rate, "n_fft": self.n_fft, "n_mels": self.n_mels}
        return librosa.filters.mel(**size, fmin=self.f_min, fmax=self.f_max)


class LogMel(nn.Module):
    """Waveform (..., n) → natural log of mel magnitudes (..., n // hop_length, n_mels).

    As the published VAE expects it: reflect padding of half a window, periodic Hann window, Slaney mel bands.
    Always float32, also under autocast. Needs n > n_fft / 2.
    """

    def __init__(self, audio: AudioFormat):
        super().__init__()
        self.audio = audio
        self.register_buffer("bands", torch.from_numpy(audio.mel_bands()), persistent=False)
        self.register_buffer("window", torch.hann_window(audio.n_fft), persistent=False)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        audio = self.audio
        *batch, samples = waveform.shape
        rows = waveform.float().reshape(-1, samples)
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(rows, audio.n_fft, audio.hop_length, window=self.window, return_complex=True)
            mel = (self.bands @ spectrum.abs()).clamp(min=LOG_FLOOR).log()
        mel = mel[..., : samples // audio.hop_length]
        return mel.transpose(-1, -2).reshape(*batch, -1, audio.n_mels)
