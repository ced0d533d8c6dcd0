"""SyncTrack whole: waveform -> mel -> latent -> U-Net -> latent -> mel -> waveform, to train and to evaluate."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import nn

from synctrack.audio.mel import AudioFormat, LogMel
from synctrack.bounds import check_choice
from synctrack.devices import copied_to
from synctrack.diffusion.process import Diffusion, DiffusionConfig
from synctrack.diffusion.samplers import SAMPLERS, Sampling, Step, sampling_steps
from synctrack.errors import InputError
from synctrack.models.conditioning import ConditioningConfig, Conditions
from synctrack.models.denoising import Denoiser, Original
from synctrack.models.layers import circular_time
from synctrack.models.unet import UNet, UNetConfig
from synctrack.models.vae import VAE, Posterior, VAEConfig
from synctrack.models.vocoder import GriffinLim, HiFiGAN, HiFiGANConfig
from synctrack.seeding import draw_per_item, normal_per_item, whole_per_item

VOCODERS = ("hifigan", "griffin_lim")

ROUNDING = 1e-2  # time steps


@dataclass(frozen=True)
class VocoderConfig:
    """Which vocoder, and its size."""

    kind: str = "hifigan"
    """`hifigan` (trained weights) or `griffin_lim` (none needed)."""
    hifigan: HiFiGANConfig = field(default_factory=HiFiGANConfig)

    def __post_init__(self) -> None:
        check_choice("vocoder.kind", self.kind, VOCODERS)


@dataclass(frozen=True)
class ModelConfig:
    """Everything that decides what the weights mean; the defaults are the paper's model."""

    audio: AudioFormat = field(default_factory=AudioFormat)
    vae: VAEConfig = field(default_factory=VAEConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    conditioning: ConditioningConfig = field(default_factory=ConditioningConfig)

    def __post_init__(self) -> None:
        hop, wanted = self.vocoder.hifigan.hop_length, self.audio.hop_length
        if self.vocoder.kind == "hifigan" and hop != wanted:
            raise ValueError(f"vocoder.hifigan.upsample_rates: multiply to {hop}, not hop_length {wanted}")
        for name, size in (("frames", self.audio.frames), ("n_mels", self.audio.n_mels)):
            if size % self.frame_multiple:
                down = self.frame_multiple
                raise ValueError(f"audio.{name}: {size} is not a multiple of {down}, by which VAE and U-Net downsample")

    @property
    def frame_multiple(self) -> int:
        """Lengths in mel frames are multiples of it: VAE and U-Net together downsample by so much."""
        return self.vae.downsampling * 2 ** (len(self.unet.channel_mult) - 1)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(c, t, f) of one stem's latent."""
        down = self.vae.downsampling
        return self.vae.latent_channels, self.audio.frames // down, self.audio.n_mels // down


def require_finite(name: str, values: torch.Tensor) -> None:
    """Raise InputError where a model's output is not finite: it would become noise, or silence, further on."""
    if not torch.isfinite(values).all():
        raise InputError(f"model: {name} is not finite; use precision float32 or another checkpoint")


def build_vocoder(config: ModelConfig) -> HiFiGAN | GriffinLim:
    """The vocoder of a configuration; a HiFi-GAN is randomly initialised."""
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
        self.unet = UNet(config.unet, len(self.stems), config.vae.latent_channels, config.conditioning)
        self.diffusion = Diffusion(config.diffusion)
        self.vocoder = build_vocoder(config)
        self.register_buffer("scale_factor", torch.tensor(float("nan")))
        for frozen in (self.vae, self.vocoder):
            frozen.requires_grad_(False)

    def encode_posterior(self, waveform: torch.Tensor) -> Posterior:
        """Waveform (b, s, n) -> the VAE's posterior over unscaled latents (b, s, c, t, f)."""
        return self.vae.encode(self.mel(waveform))

    @torch.no_grad()
    def encode(self, waveform: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        """Waveform (b, s, n) -> scaled latents (b, s, c, t, f), drawn from the VAE's posterior."""
        posterior = self.encode_posterior(waveform)
        return self.scale_factor * draw_per_item(posterior.mean, posterior.std, generators)

    def set_scale_factor(self, latents: torch.Tensor) -> None:
        """Set `scale_factor` to one over the standard deviation of unscaled `latents` (Rombach et al., 2022)."""
        self.scale_factor.fill_(1.0 / latents.std())

    def loss(
        self,
        latent: torch.Tensor,
        generators: list[torch.Generator],
        unet: Callable[..., torch.Tensor] | None = None,
        conditions: Conditions | None = None,
    ) -> torch.Tensor:
        """Loss of the prediction for each item (b,) at a time step and with noise drawn from its generator.

        Args:
            latent: scaled latents (b, s, c, t, f).
            generators: one for each item.
            unet: another U-Net, such as the EMA weights' or a compiled one; this model's own by default.
            conditions: what the U-Net is told; the loss counts what is not known.
        """
        t = self.draw_time_steps(generators)
        noise = normal_per_item(generators, latent.shape[1:])
        t, noise = copied_to(t, latent.device), copied_to(noise, latent.device)
        noisy = self.diffusion.q_sample(latent, t, noise)
        predicted = (unet or self.unet)(noisy, t, self._condition(conditions, noisy))
        counted = None if conditions is None else conditions.unknown
        return self.diffusion.loss(predicted, self.diffusion.target(latent, t, noise), t, counted)

    def draw_time_steps(self, generators: list[torch.Generator]) -> torch.Tensor:
        """A time step for each item (b,): what `loss` draws first from the item's generator."""
        return whole_per_item(generators, self.diffusion.timesteps)

    def _condition(self, conditions: Conditions | None, like: torch.Tensor) -> torch.Tensor | None:
        if conditions is None or not self.config.conditioning.any:
            return None
        return conditions.channels(self.config.conditioning, like)

    def steps(self, sampling: Sampling, strength: torch.Tensor | None = None) -> list[Step]:
        """The steps of a sampler; of a variation, those at or below its largest `strength` (s,), see `Original`.

        Above it, every step would only noise the original again.
        """
        steps = sampling_steps(self.diffusion.alphas_cumprod, sampling.steps, sampling.spacing, sampling.final)
        # A strength such as 0.7 is less than that in float32.
        highest = self.diffusion.timesteps * (1.0 if strength is None else strength.max().item()) + ROUNDING
        return [step for step in steps if step.t + 1 <= highest]

    @torch.no_grad()
    def generate(
        self,
        generators: list[torch.Generator],
        sampling: Sampling,
        unet: nn.Module | None = None,
        progress: Callable[[list[Step]], Iterable[Step]] = iter,
        num_frames: int | None = None,
        conditions: Conditions | None = None,
        guidance: float = 1.0,
        original: Original | None = None,
        resampling: int = 0,
        circular: bool = False,
    ) -> torch.Tensor:
        """One clip for each generator: scaled latents (b, s, c, t, f).

        Args:
            generators: one for each clip; on the CPU, so that a clip is the same on every device.
            sampling: the sampler and its steps.
            unet: another U-Net, such as the one with the EMA weights; this model's own by default.
            progress: wraps the steps, for a progress bar.
            num_frames: mel frames of a clip, a multiple of `ModelConfig.frame_multiple`; a segment's by default.
            conditions: what is known, which is kept as it is, and the signals. A model without context keeps what is
                known by replacement alone.
            guidance: scale of classifier-free guidance (Ho & Salimans, 2022, eq. 6); 1 is without, for half the calls.
            original: what the clip is a variation of, on the model's device.
            resampling: see `Denoiser`.
            circular: whether the end goes over into the beginning, see `circular_time`.

        Raises:
            ValueError: `num_frames` is not such a multiple, or there are more steps than training time steps.
            InputError: the U-Net predicts a value that is not finite.
        """
        device, config = self.scale_factor.device, self.config
        num_frames = config.audio.frames if num_frames is None else num_frames
        if num_frames < 1 or num_frames % config.frame_multiple:
            raise ValueError(f"num_frames: {num_frames} is not a multiple of {config.frame_multiple}")
        channels, _, bins = config.latent_shape
        shape = (len(self.stems), channels, num_frames // config.vae.downsampling, bins)
        conditions = None if conditions is None else conditions.to(device)
        network = unet or self.unet

        def draw_noise() -> torch.Tensor:
            return copied_to(normal_per_item(generators, shape), device)

        steps = self.steps(sampling, None if original is None else original.strength)
        x = draw_noise()
        condition = self._condition(conditions, x)
        denoiser = Denoiser(network, self.diffusion, condition, conditions, guidance, original, resampling, draw_noise)
        if original is not None:
            if not steps:
                return original.latent
            level = steps[0].alpha_cumprod
            x = level**0.5 * original.latent + (1 - level) ** 0.5 * x

        def denoise(x: torch.Tensor, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
            clean, noise = denoiser(x, step)
            require_finite(f"the U-Net's prediction at time step {step.t}", clean)
            return clean, noise

        renewal = {"renew": denoiser.renew} if resampling else {}
        with circular_time(network) if circular else nullcontext():
            return SAMPLERS[sampling.sampler](denoise, x, progress(steps), draw_noise, sampling.eta, **renewal)

    @torch.no_grad()
    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Scaled latents (b, s, c, t, f) -> waveform (b, s, n), n = t * `vae.downsampling` * `hop_length`.

        Raises:
            InputError: a value of the mel or the waveform is not finite.
        """
        mel = self.vae.decode(latent / self.scale_factor).float()
        require_finite("the VAE's mel", mel)
        num_samples = mel.shape[2] * self.config.audio.hop_length
        waveform = self.vocoder(mel)[..., :num_samples].float()
        require_finite("the vocoder's waveform", waveform)
        return waveform
