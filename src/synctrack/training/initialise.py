"""What a training starts from: weights of our own checkpoints and of the published ones."""

import copy
import logging
from collections import Counter
from dataclasses import replace

from synctrack.checkpoint.files import CheckpointFile
from synctrack.checkpoint.loading import (
    differing_keys,
    differing_settings,
    fill_part,
    fill_vocoder,
    read_without_vocoder,
    require,
    same_weights,
    set_scale_factor,
)
from synctrack.checkpoint.matching import Weights, differences, match, match_partially, shapes_of
from synctrack.checkpoint.published import new_modules
from synctrack.config import ModelParams
from synctrack.errors import InputError
from synctrack.models.latent_diffusion import LatentDiffusion
from synctrack.training.ema import EMA

SHAPING = (
    "data.params.path.stems",
    "model.params.unet.global_attention",
    "model.params.unet.time_attention:",
    "model.params.unet.instrument_prior",
)
"""Prefixes of the lines of `differing_settings` that name the stems, or switches that add or remove tensors."""

logger = logging.getLogger(__name__)


def initialise(model: LatentDiffusion, ema: EMA, params: ModelParams) -> None:
    """Fill a model before training.

    U-Net, EMA weights, VAE, vocoder and scale factor come from `params.ckpt_path` (ours, published SyncTrack or
    MusicLDM); then `params.vae_ckpt_path` and `params.vocoder_ckpt_path`, which may name any checkpoint with such a
    part, take precedence for VAE and vocoder. What MusicLDM does not have is newly initialised. The EMA weights are the
    file's, with its number of updates; where there are none, they are a copy of the U-Net. Without a file the U-Net is
    randomly initialised, and the scale factor is not set; nor is it where `params.vae_ckpt_path` names another VAE than
    that of the file.

    With `params.init` `partial`, a U-Net of other stems, sizes or switches takes every tensor whose name and shape
    fit; the rest is newly initialised, and the EMA weights are initialised from the result.

    Raises:
        InputError: a file does not fit, or nothing of it does, or there is no VAE, or no vocoder for a model that
            needs one.
    """
    ema.module.load_state_dict(model.unet.state_dict())
    weights = _start_from(model, ema, params) if params.ckpt_path else None
    if weights is not None and params.vae_ckpt_path and "vae" in weights.parts:
        weights.fill(model.vae, "vae.")
        own = copy.deepcopy(model.vae)
        fill_part("vae", model.vae, params.vae_ckpt_path, model.config.audio)
        if not same_weights(model.vae, own):
            # Latents of another VAE have another spread.
            model.scale_factor.fill_(float("nan"))
            logger.info(
                "%s: another VAE than that of %s: the scale factor is estimated", params.vae_ckpt_path, params.ckpt_path
            )
    else:
        fill_part("vae", model.vae, params.vae_ckpt_path, model.config.audio, weights)
    fill_vocoder(model.vocoder, params.vocoder_ckpt_path, model.config.audio, weights)


def _start_from(model: LatentDiffusion, ema: EMA, params: ModelParams) -> Weights:
    """Fill U-Net, EMA and scale factor from the file at `params.ckpt_path` -> all matched weights of the file."""
    path = params.ckpt_path
    file = read_without_vocoder(path, params.vocoder_ckpt_path)
    if file.kind not in ("synctrack", "musicldm"):
        raise InputError(f"{path}: is a {file.description}; name it as model.params.{file.kind}_ckpt_path instead")
    stored = file.stored_model()[0].conditioning
    modules = shapes_of(replace(model.config, conditioning=stored), len(model.stems))
    misfit = bool(differences(file, modules))
    partial = misfit and params.init == "partial"
    if partial:
        weights = match_partially(file, modules)
    else:
        # MusicLDM holds none of the modules that stems and switches decide.
        if misfit and file.kind != "musicldm":
            _explain_misfit(file, model, params)
        weights = match(file, modules)
    weights.widen_conditioning(stored, model.config.conditioning)
    # Our exported files hold the EMA weights alone.
    part, prefix = ("unet", "unet.") if "unet" in weights.parts else ("ema", "ema.module.")
    require(file, weights, part)
    weights.fill(model.unet, prefix)
    ema.module.load_state_dict(model.unet.state_dict())
    if not partial:
        weights.fill(ema, "ema.")
    if "scale_factor" in weights:
        set_scale_factor(model, file, weights)
    logger.info("%s: a %s with %s", path, file.description, ", ".join(weights.parts))
    if partial:
        missing = [name for name in model.unet.state_dict() if prefix + name not in weights]
        logger.warning("%s: newly initialised: %s", path, _by_module(missing))
    elif added := [part for part in model.config.conditioning.parts if part not in stored.parts]:
        logger.info("%s: newly initialised: input weights of %s, zero at the start", path, ", ".join(added))
    elif file.kind == "musicldm":
        logger.info("%s: newly initialised: %s", path, new_modules(model.unet))
    else:
        for difference in differing_keys(file, model.config, model.stems, params.vocoder_ckpt_path):
            logger.warning("%s: %s", path, difference)
    return weights


def _explain_misfit(file: CheckpointFile, model: LatentDiffusion, params: ModelParams) -> None:
    """Raise InputError that names the settings that make tensors differ, which explain more than a list of tensors."""
    settings = differing_settings(file, model.config, model.stems)
    if params.vocoder_ckpt_path:
        settings = [line for line in settings if not line.startswith("model.params.vocoder.")]
    # A published file does not say its sizes, but its stems and switches are known.
    decisive = SHAPING if file.header is None else ("model.params.", *SHAPING)
    if any(line.startswith(decisive) for line in settings):
        named = settings if file.header else [line for line in settings if line.startswith(SHAPING)]
        raise InputError(
            f"{file.path}: does not fit: {'; '.join(named)}; set the file's values, or model.params.init=partial to "
            "take what fits and initialise the rest newly"
        )


def _by_module(names: list[str]) -> str:
    """Tensors counted by the module that holds them, the first ten modules."""
    counts = Counter(name.rpartition(".")[0] or name for name in names)
    listed = ", ".join(f"{module} ({count})" for module, count in list(counts.items())[:10])
    more = f" and {len(counts) - 10} more modules" if len(counts) > 10 else ""
    return f"{len(names)} tensors of the U-Net: {listed}{more}"
