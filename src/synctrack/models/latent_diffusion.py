"""SyncTrack whole: waveform -> mel -> latent -> U-Net -> latent -> mel -> waveform, to train and to evaluate."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from synctrack.audio.mel import AudioFormat, LogMel
from synctrack.diffusion.process import DDIMStep, Diffusion, DiffusionConfig
from synctrack.models.unet import UNet, UNetConfig
from synctrack.models.vae import VAE, VAEConfig
from synctrack.models.vocoder import GriffinLim, HiFiGAN, HiFiGANConfig
from synctrack.seeding import draw_per_item, normal_per_item

VOCODERS = ("hifigan", "griffin_lim")


@dataclass(frozen=True)
class VocoderConfig:
    """Which vocoder, and its size."""

    kind: str = "hifigan"
    """`hifigan` (trained weights) or `griffin_lim` (none needed)."""
    hifigan: HiFiGANConfig = field(default_factory=HiFiGANConfig)


@dataclass(frozen=True)
class ModelConfig:
    """Everything that decides what the weights mean; the defaults are the paper's model."""

    audio: AudioFormat = field(default_factory=AudioFormat)
    vae: VAEConfig = field(default_factory=VAEConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)

    def __post_init__(self) -> None:
        if self.vocoder.kind not in VOCODERS:
            raise ValueError(f"vocoder.kind: {self.vocoder.kind!r} is none of {', '.join(VOCODERS)}")
        hop, wanted = self.vocoder.hifigan.hop_length, self.audio.hop_length
        if self.vocoder.kind == "hifigan" and hop != wanted:
            raise ValueError(f"vocoder.hifigan.upsample_rates: multiply to {hop}, not hop_length {wanted}")
        shrink = self.vae.downsampling * 2 ** (len(self.unet.channel_mult) - 1)
        for name, size in (("frames", self.audio.frames), ("n_mels", self.audio.n_mels)):
            if size % shrink:
                raise ValueError(f"audio.{name}: {size} is no multiple of {shrink}, by which VAE and U-Net shrink it")

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(c, t, f) of one stem's latent."""
        down = self.vae.downsampling
        return self.vae.latent_channels, self.audio.frames // down, self.audio.n_mels // down


def build_vocoder(config: ModelConfig) -> HiFiGAN | GriffinLim:
    """The vocoder of a configuration; a HiFi-GAN has its first values."""
    own_weights = config.vocoder.kind == "hifigan"
    return HiFiGAN(config.vocoder.hifigan, config.audio) if own_weights else GriffinLim(config.audio)


class LatentDiffusion(nn.Module):
    """Latent diffusion over the stems of a song (paper, section 3).

    Everything random comes from the caller's generators, one for each item of the batch, so that an item's result
    depends neither on its neighbours nor on the batch size.

    Args:
        config: sizes and switches.
        stems: names of the stems, in order.

    Attributes:
        scale_factor: 0-d buffer that brings latents to unit variance; NaN until a checkpoint or
            `set_scale_factor` gives it.
    """

    def __init__(self, config: ModelConfig, stems: Sequence[str]) -> None:
        super().__init__()
        self.config = config
        self.stems = tuple(stems)
        self.mel = LogMel(config.audio)
        self.vae = VAE(config.vae)
        self.unet = UNet(config.unet, len(self.stems), config.vae.latent_channels)
        self.diffusion = Diffusion(config.diffusion)
        self.vocoder = build_vocoder(config)
        self.register_buffer("scale_factor", torch.tensor(float("nan")))
        for frozen in (self.vae, self.vocoder):
            frozen.requires_grad_(False)

    @torch.no_grad()
    def encode(self, waveform: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        """Waveform (b, s, n) -> latent (b, s, c, t, f), drawn from the VAE's posterior, not scaled."""
        posterior = self.vae.encode(self.mel(waveform))
        return draw_per_item(posterior.mean, posterior.std, generators)

    def set_scale_factor(self, latents: torch.Tensor) -> None:
        """Set `scale_factor` to one over the standard deviation of unscaled `latents` (Rombach et al., 2022)."""
        self.scale_factor.fill_(1.0 / latents.std())

    def loss(
        self, latent: torch.Tensor, generators: list[torch.Generator], unet: nn.Module | None = None
    ) -> torch.Tensor:
        """Loss of the prediction for each item (b,) at a time step and with noise drawn from its generator.

        Args:
            latent: unscaled latents (b, s, c, t, f).
            generators: one for each item.
            unet: another U-Net, such as the averaged one; this model's own by default.
        """
        steps = self.diffusion.timesteps
        t = torch.cat([torch.randint(steps, (1,), generator=g, device=g.device) for g in generators])
        noise = normal_per_item(generators, latent.shape[1:])
        t, noise = t.to(latent.device), noise.to(latent.device)
        x_0 = self.scale_factor * latent
        predicted = (unet or self.unet)(self.diffusion.q_sample(x_0, t, noise), t)
        return self.diffusion.loss(predicted, self.diffusion.target(x_0, t, noise))

    @torch.no_grad()
    def generate(
        self,
        generators: list[torch.Generator],
        steps: int,
        eta: float,
        unet: nn.Module | None = None,
        progress: Callable[[list[DDIMStep]], Iterable[DDIMStep]] = iter,
    ) -> torch.Tensor:
        """One clip for each generator: scaled latents (b, s, c, t, f) by DDIM.

        Args:
            generators: one for each clip; on the CPU, so that a clip is the same on every device.
            steps: number of DDIM steps.
            eta: 0 is deterministic after the first noise, 1 as noisy as DDPM.
            unet: another U-Net, such as the averaged one; this model's own by default.
            progress: wraps the steps, for a progress bar.
        """
        device = self.scale_factor.device
        shape = (len(self.stems), *self.config.latent_shape)

        def draw_noise() -> torch.Tensor:
            return normal_per_item(generators, shape).to(device)

        schedule = self.diffusion.ddim_schedule(steps, eta)
        return self.diffusion.ddim_sample(unet or self.unet, draw_noise(), draw_noise, progress(schedule))

    @torch.no_grad()
    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Scaled latents (b, s, c, t, f) -> waveform (b, s, n) of the segment's length."""
        mel = self.vae.decode(latent / self.scale_factor).float()
        return self.vocoder(mel)[..., : self.config.audio.segment_samples].float()
