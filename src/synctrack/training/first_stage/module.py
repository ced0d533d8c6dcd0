"""What the training of the VAE and of the vocoder share: optimiser, schedule, items, validation and checkpoints."""

import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from synctrack.audio.mel import LogMel
from synctrack.checkpoint import loading as checkpoint
from synctrack.config import Config
from synctrack.errors import InputError
from synctrack.generation.clips import StemTree
from synctrack.report.plots import plot_mels
from synctrack.seeding import VALIDATION_LATENT, batch_generators, whole_per_item
from synctrack.training.acceleration import adamw, as_configured, fit_to_machine
from synctrack.training.monitoring import show_clip

MEAN_LOG_MEL, STD_LOG_MEL = -6.0, 3.0
"""Approximate mean and standard deviation of log-mels of music, for initialisation."""


class FirstStageModule(pl.LightningModule):
    """Trains one first stage and its discriminators with one optimiser, each on its own loss.

    Args:
        config: the whole configuration; `checks.check` has seen it.
        kind: `vae` or `vocoder`, for the checkpoint's header.

    Attributes:
        discriminator: the discriminators; None if the run does not use them.
        VALIDATED: names of the values that validation logs as `val/<name>`.
    """

    VALIDATED: tuple[str, ...] = ("mel_l1",)

    discriminator: nn.Module | None

    def __init__(self, config: Config, kind: str) -> None:
        super().__init__()
        self.config, self.kind = config, kind
        self.settings = config.first_stage
        self.audio = config.model.params.audio
        self.mel = LogMel(self.audio)

    def reconstruct(self, waveform: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        """Waveform (b, s, n) -> its reconstruction by the first stage (b, s, n)."""
        raise NotImplementedError

    @property
    def _optimizer_settings(self) -> dict[str, Any]:
        return {"lr": self.settings.learning_rate, "betas": tuple(self.settings.betas)}

    def configure_optimizers(self) -> dict[str, Any]:
        groups = [getattr(self, self.kind)] + ([] if self.discriminator is None else [self.discriminator])
        weights = [{"params": list(module.parameters())} for module in groups]
        optimizer = adamw(weights, self.device, self.config.trainer.precision, **self._optimizer_settings)
        self._fused = optimizer.defaults["fused"]
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        optimizer = self.optimizers(use_pl_optimizer=False)
        fit_to_machine(optimizer, self._fused)
        as_configured(optimizer, self.lr_schedulers(), self._optimizer_settings)

    def _rate(self, step: int) -> float:
        """The learning rate of a step as a share of the configured one."""
        if self.settings.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.config.trainer.max_steps)))

    def inactive_loss(self) -> torch.Tensor:
        """The loss of inactive discriminators: zero, with a zero gradient for every weight."""
        # Several devices wait for a gradient of each weight at each step; the next hook takes them away again.
        return sum(0.0 * parameter.sum() for parameter in self.discriminator.parameters())

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Inactive discriminators are not updated: neither weight decay nor Adam's moments apply to them.
        if self.discriminator is not None and not self.discriminator_active:
            self.discriminator.zero_grad(set_to_none=True)

    def configure_gradient_clipping(
        self, optimizer: torch.optim.Optimizer, gradient_clip_val: float | None = None, *_: Any, **__: Any
    ) -> None:
        # Clip each by its own norm, so that large discriminator gradients do not scale down those of the first stage.
        for group in optimizer.param_groups if gradient_clip_val else ():
            nn.utils.clip_grad_norm_(group["params"], gradient_clip_val)

    @property
    def discriminator_active(self) -> bool:
        """Whether the discriminators are active, and updated, at this step."""
        return self.discriminator is not None and self.global_step >= self.settings.discriminator_start

    def generators(self, batch: dict[str, Any], stream: int) -> list[torch.Generator]:
        """One generator for each item of a batch."""
        return batch_generators(batch, self.config.seed, stream, self.device)

    def crop(self, batch: dict[str, Any], generators: list[torch.Generator]) -> tuple[torch.Tensor, torch.Tensor]:
        """`crop_frames` frames from a place of each item's own: log-mel (b, s, m, f), its waveform (b, s, n)."""
        waveform, hop = batch["waveform"], self.audio.hop_length
        mel = self.mel(waveform)
        length = self.settings.crop_frames or mel.shape[2]
        starts = whole_per_item(generators, mel.shape[2] - length + 1)
        # By index, which leaves the places on a GPU; slices would have to read them.
        frames = starts[:, None] + torch.arange(length, device=starts.device)
        samples = hop * starts[:, None] + torch.arange(length * hop, device=starts.device)
        mels = mel.gather(2, frames[:, None, :, None].expand(-1, mel.shape[1], -1, mel.shape[3]))
        return mels, waveform.gather(2, samples[:, None].expand(-1, waveform.shape[1], -1))

    def log_values(self, items: int, **values: torch.Tensor) -> None:
        """Log values of a training batch of `items` as `train/<name>`."""
        self.log_dict({f"train/{name}": value for name, value in values.items()}, batch_size=items)
        # A tensor of the CPU: the logger would put a number on the GPU, and wait for it.
        rate = torch.tensor(self.optimizers().param_groups[0]["lr"])
        self.log("train/learning_rate", rate, batch_size=items)

    def on_validation_epoch_start(self) -> None:
        # Apple's GPUs know no float64.
        dtype = torch.float if self.device.type == "mps" else torch.double
        self._sums = torch.zeros(len(self.VALIDATED) + 1, dtype=dtype, device=self.device)

    def add_validation(self, items: int, **values: torch.Tensor) -> None:
        """Add the means of a validation batch of `items`, one for each name in `VALIDATED`."""
        weighted = [items * values[name].detach() for name in self.VALIDATED]
        self._sums += torch.stack([*weighted, torch.full_like(weighted[0], items)])

    def on_validation_epoch_end(self) -> None:
        # Summed over all devices, of which some may have had no item.
        *totals, items = self.trainer.strategy.reduce(self._sums, reduce_op="sum")
        for name, total in zip(self.VALIDATED, totals, strict=True):
            self.log(f"val/{name}", (total / items).float(), prog_bar=True, rank_zero_only=False)

    def write_samples(self, batch: dict[str, Any]) -> None:
        """Of the first `validation.clips` items: original and reconstructed stems, and a picture of their mels."""
        chosen = [row for row, index in enumerate(batch["index"].tolist()) if index < self.config.validation.clips]
        if not chosen:
            return
        folder = Path(self.config.run_dir) / "samples" / f"step_{self.global_step:07d}"
        stems = self.config.data.params.path.stems
        original = batch["waveform"][chosen]
        generators = self.generators({key: batch[key][chosen] for key in ("epoch", "index")}, VALIDATION_LATENT)
        versions = {"original": original, "reconstructed": self.reconstruct(original, generators)}
        for version, waveforms in versions.items():
            tree = StemTree(folder / version, len(stems), self.audio.sample_rate)
            for row, stem_waves in zip(chosen, waveforms.float().cpu().numpy(), strict=True):
                name = batch["name"][row]
                tree.write(name, stem_waves)
                picture = folder / version / f"{name}.png"
                plot_mels(picture, stem_waves, stems, self.audio, f"{name}, {version}")
                tag = f"{name}, {version}"
                show_clip(self.trainer, tag, stem_waves, stems, self.audio.sample_rate, picture)

    def on_save_checkpoint(self, checkpoint_file: dict[str, Any]) -> None:
        checkpoint_file["synctrack"] = checkpoint.header(self.kind, self.config)

    def on_load_checkpoint(self, checkpoint_file: dict[str, Any]) -> None:
        """Raise InputError if the run has other discriminators; the header check covers all other settings."""
        stored, own = (
            {name: tensor.shape for name, tensor in tensors.items() if name.startswith("discriminator.")}
            for tensors in (checkpoint_file["state_dict"], self.state_dict())
        )
        if stored != own:
            raise InputError(
                "trainer.resume: the run has another discriminator, or none; set first_stage and trainer.max_steps as "
                f"there, or start a new run from its weights by model.params.{self.kind}_ckpt_path"
            )
