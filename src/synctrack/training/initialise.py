"""What a training starts from: weights of our own checkpoints and of the published ones."""

import logging

from synctrack.checkpoint.loading import (
    differing_keys,
    fill_part,
    fill_vocoder,
    read_without_vocoder,
    require,
    set_scale_factor,
)
from synctrack.checkpoint.matching import Weights, match, shapes_of
from synctrack.checkpoint.published import new_modules
from synctrack.config import ModelParams
from synctrack.errors import InputError
from synctrack.models.latent_diffusion import LatentDiffusion
from synctrack.training.ema import EMA

logger = logging.getLogger(__name__)


def initialise(model: LatentDiffusion, ema: EMA, params: ModelParams) -> None:
    """Fill a model before training.

    U-Net, its average, VAE, vocoder and scale factor come from `params.ckpt_path` (ours, published SyncTrack or
    MusicLDM); then `params.vae_ckpt_path` and `params.vocoder_ckpt_path`, which may name any checkpoint with such a
    part, take precedence for VAE and vocoder. What MusicLDM does not have keeps its first values. The average is the
    file's, with its count of updates; where there is none, it is a copy of the U-Net. Without a file the U-Net keeps
    its first values, and the scale factor is not set.

    Raises:
        InputError: a file does not fit, or there is no VAE, or no vocoder for a model that needs one.
    """
    ema.module.load_state_dict(model.unet.state_dict())
    weights = _start_from(model, ema, params) if params.ckpt_path else None
    fill_part("vae", model.vae, params.vae_ckpt_path, model.config.audio, weights)
    fill_vocoder(model.vocoder, params.vocoder_ckpt_path, model.config.audio, weights)


def _start_from(model: LatentDiffusion, ema: EMA, params: ModelParams) -> Weights:
    """Fill U-Net, average and scale factor from the file at `params.ckpt_path` -> all that it holds."""
    file = read_without_vocoder(path := params.ckpt_path, params.vocoder_ckpt_path)
    if file.kind not in ("synctrack", "musicldm"):
        raise InputError(f"{path}: is a {file.description}; name it as model.params.{file.kind}_ckpt_path instead")
    weights = match(file, shapes_of(model.config, len(model.stems)))
    # Our exported files hold the average alone.
    part, prefix = ("unet", "unet.") if "unet" in weights.parts else ("ema", "ema.module.")
    require(file, weights, part)
    weights.fill(model.unet, prefix)
    ema.module.load_state_dict(model.unet.state_dict())
    weights.fill(ema, "ema.")
    if "scale_factor" in weights:
        set_scale_factor(model, file, weights)
    logger.info("%s: a %s with %s", path, file.description, ", ".join(weights.parts))
    if file.kind == "musicldm":
        logger.info("%s: to start new: %s", path, new_modules(model.unet))
    else:
        for difference in differing_keys(file, model.config, model.stems, params.vocoder_ckpt_path):
            logger.warning("%s: %s", path, difference)
    return weights
