"""SyncTrack under Lightning: training, validation and generation steps, optimiser, warm-up, EMA and logging."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import default_collate
from tqdm import tqdm

from synctrack import seeding
from synctrack.checkpoint import loading as checkpoint
from synctrack.config import Config, EvaluationConfig, ValidationConfig
from synctrack.errors import InputError
from synctrack.generation.clips import Generation, StemTree
from synctrack.models.conditioning import Conditions
from synctrack.models.latent_diffusion import LatentDiffusion
from synctrack.models.unet import UNet
from synctrack.report.plots import plot_mels
from synctrack.training.acceleration import adamw, as_configured, compiled, fit_to_machine
from synctrack.training.conditions import (
    NOTHING,
    conditions_of,
    drawn_given,
    given_for_task,
    has_signal,
    signal_latents,
    tasks_of,
)
from synctrack.training.ema import EMA
from synctrack.training.given import Given
from synctrack.training.monitoring import show_clip
from synctrack.training.task_losses import TaskLosses

SCALE_FACTOR_SEGMENTS = 16
VALIDATION_LOSSES = ("val/loss", "val/loss_ema")
"""Of the current weights of the U-Net, and of its EMA weights."""


class SyncTrackModule(pl.LightningModule):
    """Trains and evaluates a `LatentDiffusion`; `ema` holds the EMA weights of the U-Net, which generation uses.

    Args:
        config: the whole configuration.
        generation: where test clips go; training needs none.
    """

    def __init__(self, config: Config, generation: Generation | None = None) -> None:
        super().__init__()
        self.config, self.generation = config, generation
        self.model = LatentDiffusion(config.model.params, config.data.params.path.stems)
        if not config.trainer.channels_last:
            self.model.unet.to(memory_format=torch.contiguous_format)
        self.ema = EMA(self.model.unet, config.model.params.ema_decay, on_cpu=config.trainer.ema_device == "cpu")
        # Each rank updates its EMA weights alike; they may be on another device than the rest.
        ema_names = [f"ema.{name}" for name in self.ema.state_dict()]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self, ema_names)
        self.conditioning = config.model.params.conditioning
        self._compiled_unet: Callable[..., torch.Tensor] | None = None
        self._validation_unets: dict[str, nn.Module] = {}

    @property
    def _optimizer_settings(self) -> dict[str, float]:
        params = self.config.model.params
        return {"lr": params.base_learning_rate, "weight_decay": params.weight_decay}

    def configure_optimizers(self) -> dict[str, Any]:
        params = self.config.model.params
        weights = [p for p in self.model.unet.parameters() if p.requires_grad]
        optimizer = adamw(weights, self.device, self.config.trainer.precision, **self._optimizer_settings)
        self._fused = optimizer.defaults["fused"]
        # From 0 at the first step to the base rate after the last of the warm-up, then constant.
        warm_up = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, step / params.warmup_steps) if params.warmup_steps else 1.0
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": warm_up, "interval": "step"}}

    def generators(self, batch: dict[str, Any], stream: int) -> list[torch.Generator]:
        """One generator for each item of a batch."""
        return seeding.batch_generators(batch, self.config.seed, stream, self.device)

    def on_fit_start(self) -> None:
        self._prepare_latents()
        if self.config.trainer.compile:
            self._compiled_unet = compiled(self.model.unet)

    def on_train_start(self) -> None:
        optimizer = self.optimizers(use_pl_optimizer=False)
        fit_to_machine(optimizer, self._fused)
        as_configured(optimizer, self.lr_schedulers(), self._optimizer_settings)

    def on_validation_start(self) -> None:
        self._prepare_latents()

    def latent(self, batch: dict[str, Any], generators: list[torch.Generator]) -> torch.Tensor:
        """Scaled latents (b, s, c, t, f) of a batch of waveforms or of stored posteriors."""
        return self.model.scale_factor * self._unscaled(batch, generators)

    @torch.no_grad()
    def _unscaled(self, batch: dict[str, Any], generators: list[torch.Generator]) -> torch.Tensor:
        if "mean" in batch:
            return seeding.draw_per_item(batch["mean"], batch["std"], generators)
        posterior = self.model.encode_posterior(batch["waveform"])
        return seeding.draw_per_item(posterior.mean, posterior.std, generators)

    def _prepare_latents(self) -> None:
        """See that stored latents are of this VAE, and that there is a scale factor.

        Where no checkpoint gave one, it is estimated from segments spread over the training data, on each device alike.

        Raises:
            InputError: the latents come from another VAE, or there are no training data to estimate it from.
        """
        self.trainer.datamodule.require_vae(self.model.vae)
        if not self.model.scale_factor.isnan():
            return
        data = self.trainer.datamodule.train
        if data is None:
            raise InputError("model.params.ckpt_path: gives no scale factor; name a SyncTrack checkpoint to validate")
        indices = torch.linspace(0, len(data) - 1, min(SCALE_FACTOR_SEGMENTS, len(data))).long().tolist()
        latents = []
        for index in tqdm(indices, desc="scale factor", disable=not self.trainer.is_global_zero, leave=False):
            item = self.trainer.strategy.batch_to_device(default_collate([data[0, index]]), self.device)
            generator = seeding.item_generator(self.config.seed, seeding.TRAIN, index, device=self.device)
            latents.append(self._unscaled(item, [generator]))
        self.model.set_scale_factor(torch.cat(latents))

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        generators = self.generators(batch, seeding.TRAIN)
        latent = self.latent(batch, generators)
        conditions = None
        if self.conditioning.any:
            shares, margin = self.config.model.params.given, self.conditioning.margin
            given = drawn_given(batch, shares, margin, self.config.seed, *_stems_and_frames(latent))
            conditions = self.conditions(given, latent, batch)
        loss = self.model.loss(latent, generators, self._compiled_unet, conditions).mean()
        self.log("train/loss", loss, batch_size=len(latent))
        # A tensor on the CPU: Lightning would copy a number to the GPU, and wait for all that is queued there.
        rate = torch.tensor(self.optimizers().param_groups[0]["lr"])
        self.log("train/learning_rate", rate, batch_size=len(latent))
        return loss

    def configure_gradient_clipping(
        self, optimizer: torch.optim.Optimizer, gradient_clip_val: float | None = None, *_: Any, **__: Any
    ) -> None:
        # As Lightning does, which refuses a fused AdamW even where no gradient is scaled.
        if gradient_clip_val:
            nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], gradient_clip_val)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.ema.update(self.model.unet)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        latent = self.latent(batch, self.generators(batch, seeding.VALIDATION_LATENT))
        everything = torch.ones(len(latent), dtype=torch.bool, device=self.device)
        tasks = self._tasks(batch, latent) if self.conditioning.any else {NOTHING: (None, everything)}
        t = self.model.draw_time_steps(self.generators(batch, seeding.VALIDATION_LOSS)).to(self.device)
        for name, unet in self._validation_unets.items():
            for task, (conditions, counts) in tasks.items():
                loss = self._validation_loss(batch, latent, unet, conditions)
                self.validation_losses.add(name, task, loss, counts, t)

    def _validation_loss(
        self, batch: dict[str, Any], latent: torch.Tensor, unet: UNet, conditions: Conditions | None = None
    ) -> torch.Tensor:
        """Loss of each item (b,): fresh generators of the same seeds, so that U-Nets and tasks see the same noise."""
        return self.model.loss(latent, self.generators(batch, seeding.VALIDATION_LOSS), unet, conditions)

    def conditions(self, given: list[Given], latent: torch.Tensor, batch: dict[str, Any]) -> Conditions:
        """The conditions of a batch, its signals encoded where they are not stored."""
        return conditions_of(given, latent, self.conditioning, self._signals(batch), batch)

    @torch.no_grad()
    def _signals(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        """Scaled latents (b, c, t, f) of the signals."""
        generators = self.generators(batch, seeding.SIGNAL)
        unscaled = signal_latents(batch, self.conditioning.signals, generators, self.model.encode_posterior)
        return {name: self.model.scale_factor * signal for name, signal in unscaled.items()}

    def _tasks(self, batch: dict[str, Any], latent: torch.Tensor) -> dict[str, tuple[Conditions, torch.Tensor]]:
        """Task -> what the items of a validation batch are given in it, and which of them (b,) count."""
        margin, seed, signals = self.conditioning.margin, self.config.seed, self._signals(batch)
        tasks = {}
        for task in tasks_of(self.conditioning):
            given = given_for_task(task, batch, margin, seed, *_stems_and_frames(latent))
            conditions = conditions_of(given, latent, self.conditioning, signals, batch)
            tasks[task] = conditions, has_signal(batch, task, latent.device)
        return tasks

    def on_validation_epoch_start(self) -> None:
        tasks, timesteps = tasks_of(self.conditioning), self.model.diffusion.timesteps
        self.validation_losses = TaskLosses(VALIDATION_LOSSES, tasks, timesteps, self.device)
        unets = (self.model.unet, self.ema.module_on(self.device))
        self._validation_unets = dict(zip(VALIDATION_LOSSES, unets, strict=True))

    def on_validation_epoch_end(self) -> None:
        """Log the losses of each task, and write a few clips, spread over the devices, the same seeds every time."""
        for name, loss in self.validation_losses.means(self.trainer.strategy.reduce).items():
            self.log(name, loss, prog_bar=name in VALIDATION_LOSSES, rank_zero_only=False)
        settings, audio = self.config.validation, self.config.model.params.audio
        folder = Path(self.config.run_dir) / "samples" / f"step_{self.global_step:07d}"
        tree = StemTree(folder, len(self.model.stems), audio.sample_rate)
        for clip in range(self.trainer.global_rank, settings.clips, self.trainer.world_size):
            generators = [seeding.item_generator(self.config.seed, seeding.VALIDATION_CLIP, clip)]
            waveform = self._generate(generators, settings, f"clip {clip}", self._validation_unets["val/loss_ema"])[0]
            tree.write(f"clip_{clip}", waveform)
            plot_mels(folder / f"clip_{clip}.png", waveform, self.model.stems, audio, f"step {self.global_step}")
        self._validation_unets = {}
        self.trainer.strategy.barrier("clips written")
        if self.trainer.is_global_zero:
            # The loggers are those of the first process, which reads what the others have written.
            for clip in range(settings.clips):
                name, picture = f"clip_{clip}", folder / f"clip_{clip}.png"
                if picture.exists():
                    show_clip(self.trainer, name, tree.read(name), self.model.stems, audio.sample_rate, picture)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Write one generated clip and its target for each item."""
        generators = [
            seeding.item_generator(self.config.seed, seeding.GENERATION, index) for index in batch["index"].tolist()
        ]
        waveform = self._generate(generators, self.config.evaluation, "denoising", unet=None)
        for clip in zip(batch["name"], waveform, batch["waveform"].cpu().numpy(), strict=True):
            self.generation.write(*clip)

    def _generate(
        self, generators: list[torch.Generator], how: ValidationConfig | EvaluationConfig, task: str, unet: UNet | None
    ) -> np.ndarray:
        """Clips (b, s, n), one for each generator; by the model's own U-Net where `unet` is None."""
        bar = functools.partial(tqdm, desc=task, leave=False, disable=not self.trainer.is_global_zero, position=2)
        latent = self.model.generate(generators, how.sampling, unet, bar)
        # Outside autocast, as all other commands decode: rounding turns the vocoder's phases.
        with torch.autocast(latent.device.type, enabled=False):
            return self.model.decode(latent.float()).cpu().numpy()

    def on_save_checkpoint(self, checkpoint_file: dict[str, Any]) -> None:
        data = self.trainer.datamodule.train
        bpm_range = None if data is None else data.bpm_range
        checkpoint_file["synctrack"] = checkpoint.header("synctrack", self.config, bpm_range)


def _stems_and_frames(latent: torch.Tensor) -> tuple[int, int]:
    _, num_stems, _, num_frames, _ = latent.shape
    return num_stems, num_frames
