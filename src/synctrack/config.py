"""The configuration: typed schema, YAML files, overlays and key=value; unknown keys and wrong types are refused."""

import argparse
import difflib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from synctrack.diffusion.samplers import Sampling
from synctrack.errors import InputError
from synctrack.files import atomic_path
from synctrack.models.latent_diffusion import ModelConfig

CHOICES = {
    "mode": ("train", "validate", "test", "validate_and_train"),
    "data.params.missing_stem": ("skip", "silent"),
    "data.params.unreadable": ("skip", "refuse"),
    "first_stage.kind": ("vae", "vocoder"),
    "first_stage.schedule": ("constant", "cosine"),
}
BOUNDS = {
    (0, math.inf): "seed data.params.num_workers model.params.base_learning_rate model.params.warmup_steps "
    "first_stage.learning_rate first_stage.kl_weight first_stage.mel_weight first_stage.feature_weight "
    "first_stage.discriminator_start first_stage.discriminator_weight validation.clips validation.eta evaluation.eta",
    (0, 1): "model.params.ema_decay",
    (1, math.inf): "data.params.batch_size trainer.num_nodes trainer.validation_every_n_steps "
    "trainer.save_checkpoint_every_n_steps trainer.accumulate_grad_batches trainer.log_every_n_steps "
    "first_stage.crop_frames first_stage.scales evaluation.clips",
    (1, None): "validation.steps evaluation.steps",
}
"""Lowest and highest value and the keys, separated by spaces; None is the number of diffusion time steps."""


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


@dataclass
class DataPaths:
    """Where the data lie and which tracks they hold."""

    train_data: Any = None
    valid_data: Any = None
    latents: str | None = None
    stems: list[str] = field(default_factory=lambda: ["bass", "drums", "guitar", "piano"])


@dataclass
class DataParams:
    """Data set and loader."""

    batch_size: int = 16
    num_workers: int = 4
    missing_stem: str = "skip"
    unreadable: str = "skip"
    max_seconds: float = 640.0
    path: DataPaths = field(default_factory=DataPaths)


@dataclass
class DataConfig:
    params: DataParams = field(default_factory=DataParams)


@dataclass(frozen=True)
class ModelParams(ModelConfig):
    """The model, the weights it starts from and how it learns."""

    ckpt_path: str | None = None
    vae_ckpt_path: str | None = None
    vocoder_ckpt_path: str | None = None
    base_learning_rate: float = 3e-5
    weight_decay: float = 0.01
    warmup_steps: int = 1000
    ema_decay: float = 0.9999


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


@dataclass
class ValidationConfig:
    """What validation generates."""

    clips: int = 4
    steps: int = 50
    eta: float = 1.0

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
    final: str = "first"
    clips: int | None = None
    score: bool = True

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


def parse_command_line(description: str, argv: Sequence[str] | None = None) -> Config:
    """`--config FILE [FILE ...] [key=value ...]` -> the merged configuration; later ones win.

    Raises:
        InputError: see `load_config`.
    """
    parser = argparse.ArgumentParser(description=description)
    add_config_arguments(parser)
    return config_of(**vars(parser.parse_args(argv)))


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """`--config FILE [FILE ...] [key=value ...]`, for `config_of`."""
    parser.add_argument("--config", nargs="+", required=True, metavar="FILE", help="YAML files, later ones win")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="such as data.params.batch_size=4")


def config_of(config: Sequence[str], overrides: Sequence[str]) -> Config:
    """The arguments of `add_config_arguments` -> the merged configuration; raises as `load_config`."""
    # argparse hands a key=value that follows the files to --config.
    files = [item for item in config if "=" not in item]
    return load_config(files, [*(item for item in config if "=" in item), *overrides])


def load_config(files: Sequence[str | Path], overrides: Sequence[str] = ()) -> Config:
    """Merge YAML files and key=value pairs over the defaults.

    Raises:
        InputError: a file is missing or no YAML, a key is unknown, a value has the wrong type or makes no sense.
    """
    merged = OmegaConf.structured(Config)
    for file in files:
        merged = _merge(merged, _read_yaml(Path(file)), str(file))
    for pair in overrides:
        if "=" not in pair:
            raise InputError(f"{pair}: is no key=value, such as data.params.batch_size=4")
        merged = _merge(merged, OmegaConf.from_dotlist([pair]), "command line")
    try:
        config = OmegaConf.to_object(merged)
    except (OmegaConfBaseException, ValueError) as error:
        raise InputError(f"configuration: {str(error).splitlines()[0]}") from error
    _check(config)
    return config


def save_config(config: Config, path: str | Path) -> None:
    """Write the configuration, complete, as YAML."""
    with atomic_path(path) as temporary:
        temporary.write_text(OmegaConf.to_yaml(OmegaConf.structured(config)))


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration as plain dictionaries, lists and values."""
    return OmegaConf.to_container(OmegaConf.structured(config))


def _read_yaml(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a YAML file after --config")
    try:
        content = OmegaConf.load(path)
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no valid YAML ({' '.join(str(error).split())})") from error
    if not OmegaConf.is_dict(content):
        raise InputError(f"{path}: holds no keys; a configuration is a tree of key: value")
    return content


def _merge(merged: Any, content: Any, source: str) -> Any:
    try:
        return OmegaConf.merge(merged, content)
    except ConfigKeyError as error:
        raise InputError(f"{source}: {error.full_key}: unknown key{_suggestion(error.full_key)}") from error
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{source}: {error.full_key or 'configuration'}: {reason}") from error


def _suggestion(full_key: str) -> str:
    """The known key most like `full_key`, if any is."""

    def keys(schema: type, prefix: str = "") -> Iterator[str]:
        for item in fields(schema):
            yield prefix + item.name
            if is_dataclass(item.type):
                yield from keys(item.type, f"{prefix}{item.name}.")

    close = difflib.get_close_matches(full_key, list(keys(Config)), n=1)
    return f"; did you mean {close[0]}?" if close else "; config/synctrack_train.yaml lists all keys"


def _check(config: Config) -> None:
    """What types alone do not say."""
    stems = config.data.params.path.stems
    if not stems or len(set(stems)) < len(stems):
        raise InputError(f"data.params.path.stems: {stems} names no track, or one twice")
    tree = OmegaConf.structured(config)
    for key, choices in CHOICES.items():
        if (value := OmegaConf.select(tree, key)) not in choices:
            raise InputError(f"{key}: {value!r} is none of {', '.join(choices)}")
    for (lowest, highest), keys in BOUNDS.items():
        highest = config.model.params.diffusion.timesteps if highest is None else highest
        for key in keys.split():
            value = OmegaConf.select(tree, key)
            if value is not None and not lowest <= value <= highest:
                raise InputError(f"{key}: {value} is not between {lowest} and {highest}")
