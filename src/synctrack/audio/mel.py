"""The audio format of a model, and its log-mel spectrogram: waveform (..., n) → (..., num_frames, n_mels)."""

from dataclasses import dataclass

import librosa
import numpy as np
import torch
from torch import nn

from synctrack.bounds import check_number, check_whole

LOG_FLOOR = 1e-5


@dataclass(frozen=True)
class AudioFormat:
    """Sample rate, mel spectrogram and segment length of a model; also a node of the typed configuration."""

    sample_rate: int = 16000  # Hz
    n_fft: int = 1024  # samples in a window of the Fourier transform
    hop_length: int = 160  # samples from one mel frame to the next
    n_mels: int = 64
    f_min: float = 0.0  # Hz
    f_max: float = 8000.0  # Hz
    frames: int = 1024  # mel frames of a segment

    def __post_init__(self) -> None:
        check_whole("audio.sample_rate", self.sample_rate, 1000, 768_000)
        check_whole("audio.n_fft", self.n_fft, 16, 65536)
        check_whole("audio.hop_length", self.hop_length, 1, self.n_fft)
        check_whole("audio.n_mels", self.n_mels, 1, self.n_fft // 2 + 1)
        check_number("audio.f_min", self.f_min, 0, self.sample_rate / 2)
        check_number("audio.f_max", self.f_max, 0, self.sample_rate / 2)
        if self.f_max <= self.f_min:
            raise ValueError(f"audio.f_max: {self.f_max} is not above f_min, {self.f_min}")
        check_whole("audio.frames", self.frames, 1, 1_000_000)
        if self.segment_samples <= self.n_fft // 2:
            raise ValueError(f"audio.frames: {self.frames} are not longer than half a window (n_fft / 2)")

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

    As in the published VAE: reflect padding of half a window, periodic Hann window, Slaney mel bands. Always computed
    in float32, also under autocast. Requires n > n_fft / 2.
    """

    def __init__(self, audio: AudioFormat):
        super().__init__()
        self.audio = audio
        self.register_buffer("bands", torch.from_numpy(audio.mel_bands()), persistent=False)
        self.register_buffer("window", torch.hann_window(audio.n_fft), persistent=False)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        audio = self.audio
        *batch, num_samples = waveform.shape
        rows = waveform.float().reshape(-1, num_samples)
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(rows, audio.n_fft, audio.hop_length, window=self.window, return_complex=True)
            mel = (self.bands @ spectrum.abs()).clamp(min=LOG_FLOOR).log()
        mel = mel[..., : num_samples // audio.hop_length]
        return mel.transpose(-1, -2).reshape(*batch, -1, audio.n_mels)
