"""The typed schema of the configuration: one dataclass for each section, which checks its own values."""

import math
from dataclasses import dataclass, field
from typing import Any

from synctrack.bounds import (
    LARGEST_SEED,
    MOST_STEPS,
    check_choice,
    check_number,
    check_path,
    check_stems,
    check_whole,
)
from synctrack.config.first_stage import FirstStageConfig
from synctrack.config.trainer import TrainerConfig
from synctrack.diffusion.samplers import FINALS, SAMPLERS, SPACINGS, Sampling
from synctrack.models.latent_diffusion import ModelConfig

MAX_SECONDS = 640.0
"""Default length from which on songs are left out, in seconds."""


CONTEXT_KINDS = ("nothing", "stems", "span", "prefix", "cells")
"""What can be known of the stems of a training item."""


@dataclass
class DataPaths:
    """Where the data lie and which stems they hold."""

    train_data: Any = None
    valid_data: Any = None
    latents: str | None = None
    stems: list[str] = field(default_factory=lambda: ["bass", "drums", "guitar", "piano"])

    def __post_init__(self) -> None:
        for name in ("train_data", "valid_data"):
            _check_roots(f"data.params.path.{name}", getattr(self, name))
        check_path("data.params.path.latents", self.latents, optional=True)
        check_stems("data.params.path.stems", self.stems)


def _check_roots(key: str, roots: Any) -> None:
    if isinstance(roots, list):
        if not roots:
            raise ValueError(f"{key}: is an empty list; name one or more folders, or set null for none")
        for root in roots:
            check_path(key, root)
    else:
        check_path(key, roots, optional=True)


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
        check_whole("data.params.batch_size", self.batch_size, 1, 65_536)
        check_whole("data.params.num_workers", self.num_workers, 0, 1024)
        check_number("data.params.max_seconds", self.max_seconds, 0.01, 1e7)
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

    def __post_init__(self) -> None:
        for name in (*CONTEXT_KINDS, "click", "mix"):
            check_number(f"model.params.given.{name}", getattr(self, name), 0, 1)
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
        for name in ("ckpt_path", "vae_ckpt_path", "vocoder_ckpt_path"):
            check_path(f"model.params.{name}", getattr(self, name), optional=True)
        check_choice("model.params.init", self.init, ("strict", "partial"))
        check_number("model.params.base_learning_rate", self.base_learning_rate, 0, 1)
        check_number("model.params.weight_decay", self.weight_decay, 0, 100)
        check_whole("model.params.warmup_steps", self.warmup_steps, 0, MOST_STEPS)
        check_number("model.params.ema_decay", self.ema_decay, 0, 1)


@dataclass
class ModelSection:
    params: ModelParams = field(default_factory=ModelParams)


@dataclass
class ValidationConfig:
    """What validation generates."""

    clips: int = 4
    steps: int = 50
    eta: float = 1.0

    def __post_init__(self) -> None:
        check_whole("validation.clips", self.clips, 0, 100_000)
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
    report: bool = True
    """Whether the scores are also written as a page to look at and listen to."""

    def __post_init__(self) -> None:
        check_path("evaluation.out", self.out)
        check_number("evaluation.eta", self.eta, 0, 1)
        check_whole("evaluation.clips", self.clips, 1, 10**9, optional=True)
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
        check_whole("seed", self.seed, 0, LARGEST_SEED)
        check_path("run_dir", self.run_dir)
        timesteps = self.model.params.diffusion.timesteps
        for section in ("validation", "evaluation"):
            steps = getattr(self, section).steps
            check_whole(f"{section}.steps", steps, 1, 100_000)
            if steps > timesteps:
                limit = f"between 1 and {timesteps}, the steps of model.params.diffusion.timesteps"
                raise ValueError(f"{section}.steps: {steps} is not {limit}")
