"""Weights from our checkpoints and the published ones, matched strictly, into a model that generates."""

import logging
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from synctrack.audio.mel import AudioFormat
from synctrack.checkpoint.files import CheckpointFile, config_tree, model_header, read_file
from synctrack.checkpoint.matching import Modules, Weights, match, shapes_of
from synctrack.checkpoint.published import PUBLISHED_VOCODER
from synctrack.config import Config
from synctrack.errors import InputError
from synctrack.files import sha256
from synctrack.models.latent_diffusion import LatentDiffusion, ModelConfig
from synctrack.models.vae import VAE
from synctrack.models.vocoder import GriffinLim, HiFiGAN

logger = logging.getLogger(__name__)

KEYS = {"config": "model.params", "stems": "data.params.path.stems"}
"""Entries of our headers -> their keys in a run's configuration."""
MAY_DIFFER = (
    "model.params.unet.gradient_checkpointing",
    "model.params.vocoder.kind",
    "model.params.diffusion.min_snr_gamma",
)
"""Keys that do not change the latents that given weights produce."""
HALF_PRECISION = 1e-2
"""Largest relative difference of a weight from itself in float16 or bfloat16."""
NO_WEIGHTS = {
    "vae": "no VAE weights: set model.params.vae_ckpt_path (ckpt/vae-ckpt.ckpt, or one from train_first_stage.py), "
    "or model.params.ckpt_path to a checkpoint that holds them",
    "vocoder": "no vocoder weights: set model.params.vocoder_ckpt_path (ckpt/hifigan-ckpt.ckpt), or use none: "
    "model.params.vocoder.kind=griffin_lim",
}
"""Error message where no file holds a part."""


@dataclass(frozen=True)
class CheckpointInfo:
    """Where a model's weights came from: the file as it was named, its description, hexadecimal SHA-256 and step.

    Attributes:
        trained_bpm: see `CheckpointFile.trained_bpm`.
    """

    path: str
    kind: str
    sha256: str
    step: int | None
    trained_bpm: tuple[float, float] | None = None


def header(kind: str, config: Config, trained_bpm: tuple[float, float] | None = None) -> dict[str, Any]:
    """What our training checkpoints store under the top-level key `synctrack`; first stages are of kind `vae`."""
    return model_header(kind, config.model.params, config.data.params.path.stems, trained_bpm)


def load_model(path: str | Path) -> tuple[LatentDiffusion, CheckpointInfo]:
    """A model for generation whose configuration and stems are those that the checkpoint itself stores.

    Raises:
        InputError: the file is not a SyncTrack checkpoint, or does not fit its own configuration.
    """
    file = read_file(path)
    _require_synctrack(file)
    config, stems = file.stored_model()
    # Before memory is taken for a model that the file only claims to hold.
    weights = match(file, shapes_of(config, len(stems)))
    model = LatentDiffusion(config, stems)
    return model, _fill_for_evaluation(model, path, file, weights)


def load_for_evaluation(
    model: LatentDiffusion, path: str | Path, vocoder_path: str | Path | None = None
) -> CheckpointInfo:
    """Fill a model for generation: EMA weights of the U-Net, VAE, vocoder and scale factor.

    Args:
        path: our training checkpoint, our exported file or the published SyncTrack checkpoint.
        vocoder_path: a checkpoint whose vocoder takes precedence over that of `path`.

    Raises:
        InputError: the file does not fit, was trained with another configuration or other stems, or is the published
            one and the model's `time_attention_scope` is not `bin`; or no vocoder for a model that needs one.
    """
    file = read_without_vocoder(path, vocoder_path)
    _require_synctrack(file)
    different = differing_keys(file, model.config, model.stems, vocoder_path)
    if different:
        remedy = "set the file's values" if file.header else "config/published_eval.yaml sets what it needs"
        raise InputError(f"{path}: was trained with another configuration: {'; '.join(different)}; {remedy}")
    weights = match(file, shapes_of(model.config, len(model.stems)))
    return _fill_for_evaluation(model, path, file, weights, vocoder_path)


def _fill_for_evaluation(
    model: LatentDiffusion,
    path: str | Path,
    file: CheckpointFile,
    weights: Weights,
    vocoder_path: str | Path | None = None,
) -> CheckpointInfo:
    require(file, weights, "ema", "vae", "scale_factor")
    weights.fill(model.unet, "ema.module.")
    weights.fill(model.vae, "vae.")
    set_scale_factor(model, file, weights)
    fill_vocoder(model.vocoder, vocoder_path, model.config.audio, weights)
    return CheckpointInfo(str(path), file.description, sha256(path), file.step, file.trained_bpm)


def _require_synctrack(file: CheckpointFile) -> None:
    if file.kind != "synctrack":
        raise InputError(f"{file.path}: is a {file.description}, which cannot generate; name a SyncTrack checkpoint")


def load_vae(vae: VAE, path: str | Path, audio: AudioFormat | None = None) -> None:
    """Fill a VAE from any checkpoint that holds one, published or ours; one of ours must have been trained on `audio`.

    Raises:
        InputError: the file holds none, or one of another size, or one for other mels.
    """
    fill_part("vae", vae, path, audio)


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    """Whether two modules of one structure hold the same weights, up to the rounding of half precision."""
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.allclose(a.float(), b.float(), rtol=HALF_PRECISION, atol=HALF_PRECISION * 1e-3) for a, b in pairs)


def fill_vocoder(
    vocoder: HiFiGAN | GriffinLim, path: str | Path | None, audio: AudioFormat, weights: Weights | None = None
) -> None:
    """Fill a vocoder that has weights from the checkpoint at `path`, which takes precedence, or from `weights`.

    Raises:
        InputError: there is none in either, or one of another size, or one of ours for other mels.
    """
    if isinstance(vocoder, HiFiGAN):
        fill_part("vocoder", vocoder, path, audio, weights)
    elif path:
        logger.warning("%s: is not read, since model.params.vocoder.kind is griffin_lim, which needs no weights", path)


def differing_keys(
    file: CheckpointFile, config: ModelConfig, stems: tuple[str, ...], vocoder_path: str | Path | None = None
) -> list[str]:
    """Differences of the file's model from `config` and `stems`, each as "key: … in the file, … here".

    The vocoder is not compared where `vocoder_path` names another. Published files have no header; of their settings
    only `time_attention_scope` is compared, which is `bin` for their weights.
    """
    stored, own = _settings(*file.stored_model()), _settings(config, stems)
    if file.header is None:
        stored = {"config": {"unet": {"time_attention_scope": stored["config"]["unet"]["time_attention_scope"]}}}
    if vocoder_path:
        stored["config"].pop("vocoder", None)
    return list(_differing(stored, own, ""))


def differing_settings(file: CheckpointFile, config: ModelConfig, stems: tuple[str, ...]) -> list[str]:
    """As `differing_keys`, but a published file is compared in all settings of its authors' model."""
    stored, own = _settings(*file.stored_model()), _settings(config, stems)
    return list(_differing(stored, own, ""))


def _refuse_differing(what: str, stored: Any, own: Any, key: str) -> None:
    """Raise InputError that names the keys in which two sections of the same kind differ, if there are any."""
    different = list(_differing(asdict(stored), asdict(own), key))
    if different:
        raise InputError(f"{what} ({'; '.join(different)}); set the file's values, or name another")


def _settings(config: ModelConfig, stems: tuple[str, ...]) -> dict[str, Any]:
    return {"config": config_tree(config), "stems": list(stems)}


def _differing(stored: Any, own: Any, key: str) -> Iterator[str]:
    if isinstance(stored, dict):
        for name in stored:
            yield from _differing(stored[name], own[name], KEYS.get(name, f"{key}.{name}"))
    elif stored != own and key not in MAY_DIFFER:
        yield f"{key}: {stored} in the file, {own} here"


def read_without_vocoder(path: str | Path, vocoder_path: str | Path | None) -> CheckpointFile:
    """The file at `path`, without its vocoder where `vocoder_path` names another, which may be of another size."""
    file = read_file(path)
    if not vocoder_path:
        return file
    own = ("vocoder.", PUBLISHED_VOCODER)
    return replace(file, tensors={name: t for name, t in file.tensors.items() if not name.startswith(own)})


def require(file: CheckpointFile, weights: Weights, *parts: str) -> None:
    for part in parts:
        if part not in weights.parts:
            raise InputError(f"{file.path}: the {file.description} holds no {part}; name another file")


def set_scale_factor(model: LatentDiffusion, file: CheckpointFile, weights: Weights) -> None:
    value = weights["scale_factor"].item()
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{file.path}: its scale_factor is {value}; download or create it again")
    model.scale_factor.fill_(value)


def fill_part(
    part: str, module: VAE | HiFiGAN, path: str | Path | None, audio: AudioFormat | None, weights: Weights | None = None
) -> None:
    """Fill a module with the part of that name from the checkpoint at `path`, for mels of `audio`, else `weights`."""
    if not path:
        if not weights or part not in weights.parts:
            raise InputError(NO_WEIGHTS[part])
        weights.fill(module, f"{part}.")
        return
    file = read_file(path)
    stored = file.stored_model()[0] if file.header else None
    if stored and isinstance(module, VAE):
        _refuse_differing(f"{path}: its {part} has other sizes", stored.vae, module.config, "model.params.vae")
    weights = match(file, Modules(**{part: module}))
    require(file, weights, part)
    # Convolutions take any number of frames; published files do not describe their mels.
    if stored and audio:
        mels = replace(stored.audio, frames=audio.frames)
        _refuse_differing(f"{path}: its {part} was trained on other mels", mels, audio, "model.params.audio")
    weights.fill(module, f"{part}.")
    logger.info("%s: %s taken from the %s", path, part, file.description)
