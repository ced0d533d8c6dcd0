"""The mel VAE under Lightning: reconstruction and KL, on the data set that SyncTrack trains on."""

from typing import Any

import pytorch_lightning as pl
import torch

from synctrack import checkpoint
from synctrack.audio import LogMel
from synctrack.config import Config
from synctrack.seeding import TRAIN, VALIDATION_LATENT, item_generator, normal_per_item
from synctrack.vae import VAE


class VAEModule(pl.LightningModule):
    """Trains a `VAE` to give back log-mels: L1 distance plus `kl_weight` times the KL divergence of a latent value."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.mel = LogMel(config.model.params.audio)
        self.vae = VAE(config.model.params.vae)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.vae.parameters(), lr=self.config.first_stage.learning_rate)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        return self._step(batch, TRAIN, "train")

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self._step(batch, VALIDATION_LATENT, "val")

    def _step(self, batch: dict[str, Any], stream: int, stage: str) -> torch.Tensor:
        keys = zip(batch["epoch"].tolist(), batch["index"].tolist(), strict=True)
        generators = [item_generator(self.config.seed, stream, *key, device=self.device) for key in keys]
        mel = self._crop(self.mel(batch["waveform"]), generators)
        posterior = self.vae.encode(mel)
        noise = normal_per_item(generators, posterior.mean.shape[1:])
        distance = (self.vae.decode(posterior.sample(noise)) - mel).abs().mean()
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        loss = distance + self.config.first_stage.kl_weight * kl
        values = {f"{stage}/loss": loss, f"{stage}/mel_l1": distance, f"{stage}/kl": kl}
        self.log_dict(values, prog_bar=True, sync_dist=stage == "val", batch_size=len(mel))
        return loss

    def _crop(self, mel: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        """A part of each mel (b, s, m, f), `crop_frames` long, from its own place."""
        length = self.config.first_stage.crop_frames or mel.shape[2]
        last = mel.shape[2] - length
        starts = [int(torch.randint(last + 1, (1,), generator=g, device=g.device)) for g in generators]
        return torch.stack([row[:, start : start + length] for row, start in zip(mel, starts, strict=True)])

    def on_save_checkpoint(self, checkpoint_file: dict[str, Any]) -> None:
        checkpoint_file["synctrack"] = checkpoint.header("vae", self.config)
