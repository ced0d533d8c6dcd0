"""The mel VAE under Lightning: reconstruction loss, KL divergence and the loss of a patch discriminator."""

from typing import Any

import torch
from torch import nn

from synctrack.checkpoint import loading as checkpoint
from synctrack.config import Config
from synctrack.models.latent_diffusion import build_vocoder
from synctrack.models.vae import VAE
from synctrack.seeding import TRAIN, VALIDATION_LATENT, draw_per_item
from synctrack.training.first_stage.checks import uses_discriminator
from synctrack.training.first_stage.discriminators import PatchDiscriminator
from synctrack.training.first_stage.losses import adaptive_weight, frozen, hinge_discriminator, hinge_generator
from synctrack.training.first_stage.module import MEAN_LOG_MEL, FirstStageModule


class VAEModule(FirstStageModule):
    """Trains a `VAE` to reconstruct log-mels (Rombach et al., 2022, appendix G).

    The loss is the L1 distance, plus `kl_weight` times the KL divergence of a latent value, plus, from step
    `discriminator_start` on, the adversarial loss, times `discriminator_weight` and its `adaptive_weight`.
    Validation audio is rendered from the mels by the configured vocoder.
    """

    VALIDATED = ("mel_l1", "kl")

    def __init__(self, config: Config) -> None:
        super().__init__(config, "vae")
        params = config.model.params
        self.vae = VAE(params.vae)
        # Starting from 0, the bias would take thousands of steps to reach it.
        nn.init.constant_(self.vae.decoder[-1].bias, MEAN_LOG_MEL)
        self.discriminator = None
        if uses_discriminator(config):
            self.discriminator = PatchDiscriminator(self.settings.patch_channels)
        if params.vae_ckpt_path:
            checkpoint.load_vae(self.vae, params.vae_ckpt_path, params.audio)
        # In a list, so that its weights are not registered: they are neither trained nor saved.
        self._vocoder = [build_vocoder(params)]
        checkpoint.fill_vocoder(self._vocoder[0], params.vocoder_ckpt_path, params.audio)

    def reconstruct(self, waveform: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        mel, _ = self._through(self.mel(waveform), generators)
        return self._vocoder[0].to(mel.device)(mel.float())[..., : waveform.shape[-1]]

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        generators = self.generators(batch, TRAIN)
        mel, _ = self.crop(batch, generators)
        decoded, kl = self._through(mel, generators)
        distance = (decoded.float() - mel).abs().mean()
        loss = distance + self.settings.kl_weight * kl
        if self.discriminator is not None:
            loss = loss + self._adversarial(mel, decoded, distance)
        self.log_values(len(mel), loss=loss, mel_l1=distance, kl=kl)
        return loss

    def _through(self, mel: torch.Tensor, generators: list[torch.Generator]) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-mel (b, s, m, f) -> its reconstruction from a sampled latent, and the KL divergence per latent value."""
        posterior = self.vae.encode(mel)
        latent = draw_per_item(posterior.mean, posterior.std, generators)
        return self.vae.decode(latent), posterior.kl().mean() / posterior.mean[0].numel()

    def _adversarial(self, mel: torch.Tensor, decoded: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
        if not self.discriminator_active:
            return self.inactive_loss()
        with frozen(self.discriminator):
            generator_loss = hinge_generator(self.discriminator(decoded))
        weight = adaptive_weight(distance, generator_loss, self.vae.decoder[-1].weight)
        discriminator_loss = hinge_discriminator(self.discriminator(mel), self.discriminator(decoded.detach()))
        self.log_values(len(mel), adversarial=generator_loss, adaptive_weight=weight, discriminator=discriminator_loss)
        return self.settings.discriminator_weight * weight * generator_loss + discriminator_loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        mel = self.mel(batch["waveform"])
        decoded, kl = self._through(mel, self.generators(batch, VALIDATION_LATENT))
        self.add_validation(len(mel), mel_l1=(decoded.float() - mel).abs().mean(), kl=kl)
        self.write_samples(batch)
