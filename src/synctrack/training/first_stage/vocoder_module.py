"""HiFi-GAN under Lightning: mel loss, feature matching and adversarial loss (Kong et al., 2020)."""

from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from synctrack.checkpoint import loading as checkpoint
from synctrack.config import Config
from synctrack.models.vae import VAE
from synctrack.models.vocoder import HiFiGAN
from synctrack.seeding import TRAIN
from synctrack.training.first_stage.checks import uses_discriminator
from synctrack.training.first_stage.discriminators import WaveDiscriminator
from synctrack.training.first_stage.losses import (
    feature_distance,
    frozen,
    least_squares_discriminator,
    least_squares_generator,
)
from synctrack.training.first_stage.module import MEAN_LOG_MEL, STD_LOG_MEL, FirstStageModule

# Names of the two parts of a weight under weight norm: in torch -> in the published files.
HALVES = {".parametrizations.weight.original0": ".weight_g", ".parametrizations.weight.original1": ".weight_v"}


class VocoderModule(FirstStageModule):
    """Trains a `HiFiGAN` to reconstruct waveforms from log-mels.

    The loss is `mel_weight` times the L1 distance of mels (eq. 3) plus, from step `discriminator_start` on,
    `feature_weight` times the distance of the discriminators' features (eq. 4) and the adversarial loss (eq. 2).

    With `vae_ckpt_path` its inputs are the mels that this VAE reconstructs, as in SyncTrack; with
    `vocoder_ckpt_path` it starts from the weights in that file.

    Raises:
        InputError: a checkpoint is not there or does not fit.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config, "vocoder")
        params, settings = config.model.params, self.settings
        self.vocoder = HiFiGAN(params.vocoder.hifigan, params.audio)
        if params.vocoder_ckpt_path:
            checkpoint.fill_vocoder(self.vocoder, params.vocoder_ckpt_path, params.audio)
        else:
            expect_mels(self.vocoder)
        normalise(self.vocoder)
        self.discriminator = None
        if uses_discriminator(config):
            self.discriminator = WaveDiscriminator(settings.periods, settings.scales, settings.wave_channels)
        # In a list, so that its weights are not registered: they are neither trained nor saved.
        self._vae = [_frozen_vae(config)] if params.vae_ckpt_path else []

    def reconstruct(self, waveform: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        return self._render(self.mel(waveform), waveform.shape[-1])

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        mel, waveform = self.crop(batch, self.generators(batch, TRAIN))
        generated = self._render(mel, waveform.shape[-1])
        # The target is the mel of the cropped waveform, so that both have the same padding at their ends.
        distance = (self.mel(generated) - self.mel(waveform)).abs().mean()
        loss = self.settings.mel_weight * distance
        if self.discriminator is not None:
            loss = loss + self._adversarial(waveform, generated)
        self.log_values(len(mel), loss=loss, mel_l1=distance)
        return loss

    def _render(self, mel: torch.Tensor, num_samples: int) -> torch.Tensor:
        """Log-mel (b, s, m, f) -> waveform (b, s, num_samples), through the VAE where there is one."""
        for vae in self._vae:
            with torch.no_grad():
                mel = vae.to(mel.device).decode(vae.encode(mel).mean)
        return self.vocoder(mel)[..., :num_samples].float()

    def _adversarial(self, waveform: torch.Tensor, generated: torch.Tensor) -> torch.Tensor:
        if not self.discriminator_active:
            return self.inactive_loss()
        real = self.discriminator(waveform)
        with frozen(self.discriminator):
            fake = self.discriminator(generated)
        features, generator_loss = feature_distance(real, fake), least_squares_generator(fake)
        discriminator_loss = least_squares_discriminator(real, self.discriminator(generated.detach()))
        self.log_values(len(generated), adversarial=generator_loss, features=features, discriminator=discriminator_loss)
        return generator_loss + self.settings.feature_weight * features + discriminator_loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        waveform = batch["waveform"]
        mel = self.mel(waveform)
        distance = (self.mel(self._render(mel, waveform.shape[-1])) - mel).abs().mean()
        self.add_validation(len(waveform), mel_l1=distance)
        self.write_samples(batch)

    def on_save_checkpoint(self, checkpoint_file: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint_file)
        checkpoint_file["state_dict"] = _renamed(checkpoint_file["state_dict"], HALVES)

    def on_load_checkpoint(self, checkpoint_file: dict[str, Any]) -> None:
        back = {theirs: torch_name for torch_name, theirs in HALVES.items()}
        checkpoint_file["state_dict"] = _renamed(checkpoint_file["state_dict"], back)
        super().on_load_checkpoint(checkpoint_file)


def expect_mels(vocoder: HiFiGAN) -> None:
    """Scale the first layer as if its input mels were normalised to mean 0 and standard deviation 1."""
    with torch.no_grad():
        vocoder.conv_pre.weight /= STD_LOG_MEL
        vocoder.conv_pre.bias -= MEAN_LOG_MEL * vocoder.conv_pre.weight.sum(dim=(1, 2))


def normalise(vocoder: HiFiGAN) -> None:
    """Apply weight normalisation: magnitude and direction of each weight are trained separately."""
    for layer in vocoder.modules():
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            weight_norm(layer)


def _frozen_vae(config: Config) -> VAE:
    vae = VAE(config.model.params.vae).requires_grad_(False)
    checkpoint.load_vae(vae, config.model.params.vae_ckpt_path, config.model.params.audio)
    return vae


def _renamed(tensors: dict[str, torch.Tensor], ends: dict[str, str]) -> dict[str, torch.Tensor]:
    """The vocoder's tensors with the suffixes of their names replaced; the discriminators' are unchanged."""

    def name_of(name: str) -> str:
        for end, other in ends.items():
            if name.startswith("vocoder.") and name.endswith(end):
                return name.removesuffix(end) + other
        return name

    return {name_of(name): tensor for name, tensor in tensors.items()}
