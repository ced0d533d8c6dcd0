"""Log-mel -> waveform: HiFi-GAN (trained), or Griffin-Lim (needs no weights)."""

import math
from dataclasses import dataclass, field

import librosa
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from synctrack.audio.mel import AudioFormat
from synctrack.bounds import check_whole, check_wholes

LEAKY_SLOPE = 0.1


@dataclass(frozen=True)
class HiFiGANConfig:
    """Size of the HiFi-GAN generator; the defaults are the published 16 kHz vocoder (55 M parameters).

    With `istft_hop` its last convolution outputs a spectrogram instead of samples, which an inverse short-time Fourier
    transform of that hop turns into samples (iSTFTNet, Kaneko et al., 2022): fewer operations and parameters.
    """

    upsample_rates: list[int] = field(default_factory=lambda: [5, 4, 2, 2, 2])
    upsample_kernel_sizes: list[int] = field(default_factory=lambda: [16, 16, 8, 4, 4])
    upsample_initial_channel: int = 1024
    resblock_kernel_sizes: list[int] = field(default_factory=lambda: [3, 7, 11])
    resblock_dilations: list[int] = field(default_factory=lambda: [1, 3, 5])
    istft_hop: int | None = None

    @property
    def hop_length(self) -> int:
        """Samples per mel frame."""
        return math.prod(self.upsample_rates) * (self.istft_hop or 1)

    def __post_init__(self) -> None:
        for name, highest in (
            ("upsample_rates", 1024),
            ("upsample_kernel_sizes", 4096),
            ("resblock_kernel_sizes", 255),
            ("resblock_dilations", 1024),
        ):
            check_wholes(f"vocoder.hifigan.{name}", getattr(self, name), 1, highest)
        check_whole("vocoder.hifigan.upsample_initial_channel", self.upsample_initial_channel, 1, 65536)
        check_whole("vocoder.hifigan.istft_hop", self.istft_hop, 1, 65536, optional=True)
        rates, sizes = self.upsample_rates, self.upsample_kernel_sizes
        if len(rates) != len(sizes) or any(size < rate for rate, size in zip(rates, sizes, strict=True)):
            raise ValueError(
                f"vocoder.hifigan.upsample_kernel_sizes: {sizes} do not cover the rates {rates} one by one"
            )
        if self.upsample_initial_channel < 2 ** len(rates):
            raise ValueError(f"vocoder.hifigan.upsample_initial_channel: cannot be halved {len(rates)} times")


class SpectrumToWave(nn.Module):
    """Log-magnitudes and phases (r, 2 · (n_fft / 2 + 1), m) -> waveform (r, 1, hop · m), with n_fft = 4 · hop."""

    def __init__(self, hop: int) -> None:
        super().__init__()
        self.hop, self.n_fft = hop, 4 * hop
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        log_magnitude, phase = x.float().chunk(2, dim=1)
        # No waveform within [-1, 1] has a larger magnitude; early in training the exponential would overflow.
        spectrum = torch.polar(log_magnitude.clamp(max=math.log(self.n_fft)).exp(), phase)
        # Repeat the last frame: n samples have one frame more than n / hop.
        spectrum = torch.cat([spectrum, spectrum[..., -1:]], dim=-1)
        return torch.istft(spectrum, self.n_fft, self.hop, window=self.window)[:, None]


class DilatedResBlock(nn.Module):
    """Pairs of convolutions, the first of each pair dilated, each pair with a residual (Kong et al., 2020)."""

    def __init__(self, channels: int, kernel_size: int, dilations: list[int]) -> None:
        super().__init__()
        self.dilated = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel_size, dilation=d, padding="same") for d in dilations
        )
        self.plain = nn.ModuleList(nn.Conv1d(channels, channels, kernel_size, padding="same") for _ in dilations)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            x = x + plain(F.leaky_relu(dilated(F.leaky_relu(x, LEAKY_SLOPE)), LEAKY_SLOPE))
        return x


class HiFiGAN(nn.Module):
    """The HiFi-GAN generator (Kong et al., 2020), its weight norm folded into the weights.

    `ModelConfig` checks that the product of the upsampling rates is the mel's hop.
    """

    def __init__(self, config: HiFiGANConfig, audio: AudioFormat) -> None:
        super().__init__()
        channels = config.upsample_initial_channel
        self.conv_pre = nn.Conv1d(audio.n_mels, channels, 7, padding=3)
        self.upsamplers, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel_size in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            padding = (kernel_size - rate) // 2
            self.upsamplers.append(nn.ConvTranspose1d(channels, channels // 2, kernel_size, rate, padding))
            channels //= 2
            blocks = [DilatedResBlock(channels, k, config.resblock_dilations) for k in config.resblock_kernel_sizes]
            self.resblocks.append(nn.ModuleList(blocks))
        hop = config.istft_hop
        self.conv_post = nn.Conv1d(channels, 4 * hop + 2 if hop else 1, 7, padding=3)
        self.to_wave = SpectrumToWave(hop) if hop else nn.Tanh()

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Log-mel (b, s, m, f) -> waveform in [-1, 1] (b, s, n), n = hop_length * m and possibly a few more."""
        x = self.conv_pre(rearrange(mel, "b s m f -> (b s) f m"))
        for upsample, resblocks in zip(self.upsamplers, self.resblocks, strict=True):
            x = upsample(F.leaky_relu(x, LEAKY_SLOPE))
            x = sum(block(x) for block in resblocks) / len(resblocks)
        # The default slope of 0.01 here, not 0.1, as in the published HiFi-GAN.
        waveform = self.to_wave(self.conv_post(F.leaky_relu(x)))
        return rearrange(waveform, "(b s) 1 n -> b s n", s=mel.shape[1])


class GriffinLim(nn.Module):
    """Phase by Griffin-Lim (librosa) from the mel's least-squares spectrum: needs no weights; modest quality."""

    def __init__(self, audio: AudioFormat, iterations: int = 32) -> None:
        super().__init__()
        self.audio = audio
        self.iterations = iterations

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Log-mel (b, s, m, f) -> waveform (b, s, hop_length * m)."""
        rows = rearrange(mel.float().cpu().numpy(), "b s m f -> (b s) f m")
        waveform = torch.from_numpy(np.stack([self._row(row) for row in rows])).to(mel.device)
        return rearrange(waveform, "(b s) n -> b s n", s=mel.shape[1])

    def _row(self, mel: np.ndarray) -> np.ndarray:
        audio = self.audio
        magnitude = np.maximum(np.linalg.pinv(audio.mel_bands()) @ np.exp(mel), 0.0)
        # Repeat the last frame: n samples have one frame more than n / hop_length.
        magnitude = np.pad(magnitude, ((0, 0), (0, 1)), mode="edge")
        return librosa.griffinlim(
            magnitude,
            n_iter=self.iterations,
            hop_length=audio.hop_length,
            n_fft=audio.n_fft,
            length=mel.shape[1] * audio.hop_length,
            random_state=0,
        ).astype(np.float32)
