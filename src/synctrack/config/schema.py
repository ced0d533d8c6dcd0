"""The typed schema of the configuration: one dataclass for each section, which checks its own values."""

import math
from dataclasses import dataclass, field
from typing import Any

from synctrack.bounds import check_choice, check_multiple, check_number, check_stems
from synctrack.diffusion.samplers import FINALS, SAMPLERS, SPACINGS, Sampling
from synctrack.models.conditioning import MARGIN
from synctrack.models.latent_diffusion import ModelConfig

MAX_SECONDS = 640.0
"""Default length from which on songs are left out, in seconds."""


CONTEXT_KINDS = ("nothing", "stems", "span", "prefix", "cells")
"""What can be known of the stems of a training item."""


@dataclass
class TrainerConfig:
    """How Lightning runs."""

    devices: Any = "auto"
    num_nodes: int = 1
    accelerator: str = "auto"
    precision: str = "32-true"
    max_epochs: int = 1200
    max_steps: int = -1
    limit_train_batches: float | int = 1.0
    limit_val_batches: float | int = 1.0
    validation_every_n_steps: int = 5000
    save_checkpoint_every_n_steps: int = 1000
    save_top_k: int = 3
    resume: str | None = None
    accumulate_grad_batches: int = 1
    gradient_clip_val: float | None = None
    log_every_n_steps: int = 10
    wandb_project: str | None = None

    def __post_init__(self) -> None:
        check_number("trainer.num_nodes", self.num_nodes, 1)
        check_number("trainer.max_epochs", self.max_epochs, -1)
        check_number("trainer.max_steps", self.max_steps, -1)
        for name in ("limit_train_batches", "limit_val_batches"):
            value = getattr(self, name)
            # A float is a share of the epoch, an integer a number of batches.
            check_number(f"trainer.{name}", value, 0, 1 if isinstance(value, float) else math.inf)
        check_number("trainer.validation_every_n_steps", self.validation_every_n_steps, 1)
        check_number("trainer.save_checkpoint_every_n_steps", self.save_checkpoint_every_n_steps, 1)
        check_number("trainer.save_top_k", self.save_top_k, -1)
        check_number("trainer.accumulate_grad_batches", self.accumulate_grad_batches, 1)
        check_number("trainer.gradient_clip_val", self.gradient_clip_val, 0, optional=True)
        check_number("trainer.log_every_n_steps", self.log_every_n_steps, 1)


@dataclass
class DataPaths:
    """Where the data lie and which stems they hold."""

    train_data: Any = None
    valid_data: Any = None
    latents: str | None = None
    stems: list[str] = field(default_factory=lambda: ["bass", "drums", "guitar", "piano"])

    def __post_init__(self) -> None:
        check_stems("data.params.path.stems", self.stems)


@dataclass
class DataParams:
    """Data set and loader."""

    batch_size: int = 16
    num_workers: int = 4
    missing_stem: str = "skip"
    unreadable: str = "skip"
    max_seconds: float = MAX_SECONDS
    path: DataPaths = field(default_factory=DataPaths)

    def __post_init__(self) -> None:
        check_number("data.params.batch_size", self.batch_size, 1)
        check_number("data.params.num_workers", self.num_workers, 0)
        check_number("data.params.max_seconds", self.max_seconds, 0)
        check_choice("data.params.missing_stem", self.missing_stem, ("skip", "silent"))
        check_choice("data.params.unreadable", self.unreadable, ("skip", "refuse"))


@dataclass
class DataConfig:
    params: DataParams = field(default_factory=DataParams)


@dataclass(frozen=True)
class GivenConfig:
    """What a conditioned model is given in training, drawn for each item: see `synctrack.training.given`."""

    nothing: float = 0.3
    stems: float = 0.35
    span: float = 0.1
    prefix: float = 0.15
    cells: float = 0.1
    click: float = 0.6
    mix: float = 0.15
    margin: int = MARGIN

    def __post_init__(self) -> None:
        for name in (*CONTEXT_KINDS, "click", "mix"):
            check_number(f"model.params.given.{name}", getattr(self, name), 0, 1)
        check_number("model.params.given.margin", self.margin, 0, 1000)
        total = sum(getattr(self, name) for name in CONTEXT_KINDS)
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(
                f"model.params.given: {', '.join(CONTEXT_KINDS)} add up to {total:g}; they are shares of 1"
            )


@dataclass(frozen=True)
class ModelParams(ModelConfig):
    """The model, the weights it starts from and how it learns."""

    ckpt_path: str | None = None
    vae_ckpt_path: str | None = None
    vocoder_ckpt_path: str | None = None
    init: str = "strict"
    """How `ckpt_path` starts a training: `strict`, or `partial`, which takes what fits."""
    base_learning_rate: float = 3e-5
    weight_decay: float = 0.01
    warmup_steps: int = 1000
    ema_decay: float = 0.9999
    given: GivenConfig = field(default_factory=GivenConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("model.params.init", self.init, ("strict", "partial"))
        check_number("model.params.base_learning_rate", self.base_learning_rate, 0)
        check_number("model.params.weight_decay", self.weight_decay, 0)
        check_number("model.params.warmup_steps", self.warmup_steps, 0)
        check_number("model.params.ema_decay", self.ema_decay, 0, 1)


@dataclass
class ModelSection:
    params: ModelParams = field(default_factory=ModelParams)


@dataclass
class FirstStageConfig:
    """How `train_first_stage.py` trains the VAE or the vocoder."""

    kind: str = "vae"
    learning_rate: float = 1e-4
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    schedule: str = "constant"
    crop_frames: int | None = None
    kl_weight: float = 1e-6
    mel_weight: float = 45.0
    feature_weight: float = 2.0
    discriminator_start: int | None = None
    discriminator_weight: float = 0.5
    patch_channels: int = 64
    wave_channels: int = 32
    periods: list[int] = field(default_factory=lambda: [2, 3, 5, 7, 11])
    scales: int = 3

    def __post_init__(self) -> None:
        check_choice("first_stage.kind", self.kind, ("vae", "vocoder"))
        check_choice("first_stage.schedule", self.schedule, ("constant", "cosine"))
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"first_stage.betas: {self.betas} are not two numbers from 0 up to, but not, 1")
        check_number("first_stage.learning_rate", self.learning_rate, 0)
        check_number("first_stage.crop_frames", self.crop_frames, 1, optional=True)
        check_number("first_stage.kl_weight", self.kl_weight, 0)
        check_number("first_stage.mel_weight", self.mel_weight, 0)
        check_number("first_stage.feature_weight", self.feature_weight, 0)
        check_number("first_stage.discriminator_start", self.discriminator_start, 0, optional=True)
        check_number("first_stage.discriminator_weight", self.discriminator_weight, 0)
        check_number("first_stage.scales", self.scales, 1)
        check_multiple("first_stage.patch_channels", self.patch_channels, 16)
        check_multiple("first_stage.wave_channels", self.wave_channels, 4)
        for period in self.periods:
            check_number("first_stage.periods", period, 1)


@dataclass
class ValidationConfig:
    """What validation generates."""

    clips: int = 4
    steps: int = 50
    eta: float = 1.0

    def __post_init__(self) -> None:
        check_number("validation.clips", self.clips, 0)
        check_number("validation.eta", self.eta, 0, 1)

    @property
    def sampling(self) -> Sampling:
        """The published DDIM with these steps."""
        return Sampling(steps=self.steps, eta=self.eta)


@dataclass
class EvaluationConfig:
    """What `eval_synctrack.py` generates."""

    out: str = "runs/eval"
    sampler: str = "ddim"
    steps: int = 200
    eta: float = 1.0
    spacing: str = "leading"
    """How the time steps are spaced: `leading` (as published) or `trailing`."""
    final: str = "first"
    """Where sampling ends: `first` is the least noisy alpha of the schedule (as published), `one` is alpha 1."""
    clips: int | None = None
    score: bool = True

    def __post_init__(self) -> None:
        check_number("evaluation.eta", self.eta, 0, 1)
        check_number("evaluation.clips", self.clips, 1, optional=True)
        check_choice("evaluation.sampler", self.sampler, tuple(SAMPLERS))
        check_choice("evaluation.spacing", self.spacing, SPACINGS)
        check_choice("evaluation.final", self.final, FINALS)

    @property
    def sampling(self) -> Sampling:
        """How clips are sampled."""
        return Sampling(self.sampler, self.steps, self.eta, self.spacing, self.final)


@dataclass
class Config:
    """The whole configuration, in the shape of the YAML files."""

    mode: str = "train"
    seed: int = 0
    run_dir: str = "runs/synctrack"
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelSection = field(default_factory=ModelSection)
    first_stage: FirstStageConfig = field(default_factory=FirstStageConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, ("train", "validate", "test", "validate_and_train"))
        check_number("seed", self.seed, 0)
        timesteps = self.model.params.diffusion.timesteps
        check_number("validation.steps", self.validation.steps, 1, timesteps)
        check_number("evaluation.steps", self.evaluation.steps, 1, timesteps)
