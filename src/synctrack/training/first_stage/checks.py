"""Checks of a configuration for the training of a first stage."""

import logging
from collections.abc import Iterator

from synctrack.config import Config
from synctrack.errors import InputError
from synctrack.training.first_stage.discriminators import PatchDiscriminator

logger = logging.getLogger(__name__)


def uses_discriminator(config: Config) -> bool:
    """Whether a run reaches the step at which the discriminators become active."""
    start, steps = config.first_stage.discriminator_start, config.trainer.max_steps
    return start is not None and not 0 <= steps <= start


def check(config: Config) -> None:
    """Refuse settings that would fail, or be ignored silently, after the training has started.

    Raises:
        InputError: names the first key whose value does not fit the rest.
    """
    for problem in _problems(config):
        raise InputError(problem)
    if config.model.params.ckpt_path:
        own = f"model.params.{config.first_stage.kind}_ckpt_path"
        logger.warning(
            "model.params.ckpt_path: is not of a first stage and not used; to start from weights, set %s", own
        )


def _problems(config: Config) -> Iterator[str]:
    settings, params = config.first_stage, config.model.params
    if config.mode != "train":
        yield f"mode: a first stage has no {config.mode}; set mode=train, which validates as well"
    if config.data.params.path.latents:
        yield "data.params.path.latents: a first stage is trained on audio; set null"
    if settings.kind == "vocoder" and params.vocoder.kind != "hifigan":
        yield f"model.params.vocoder.kind: {params.vocoder.kind} has no weights to train; set hifigan"
    if settings.schedule == "cosine" and config.trainer.max_steps < 1:
        yield "first_stage.schedule: cosine falls until trainer.max_steps; set that, or schedule=constant"
    if config.trainer.compile or not config.trainer.channels_last or config.trainer.ema_device != "auto":
        yield "trainer: compile, channels_last and ema_device are of the U-Net; leave them out for a first stage"
    yield from _problems_of_crop(config)
    if uses_discriminator(config):
        yield from _problems_of_discriminator(config)


def _problems_of_crop(config: Config) -> Iterator[str]:
    audio, crop = config.model.params.audio, config.first_stage.crop_frames or config.model.params.audio.frames
    if crop > audio.frames:
        yield f"first_stage.crop_frames: {crop} is more than a segment's {audio.frames} frames"
    uses_vae = config.first_stage.kind == "vae" or config.model.params.vae_ckpt_path
    down = config.model.params.vae.downsampling
    if uses_vae and crop % down:
        yield f"first_stage.crop_frames: {crop} is not a multiple of {down}, by which the VAE downsamples"
    least = audio.n_fft // 2 // audio.hop_length + 1
    if config.first_stage.kind == "vocoder" and crop < least:
        yield f"first_stage.crop_frames: {crop} frames are too few for a mel spectrogram; {least} are the minimum"


def _problems_of_discriminator(config: Config) -> Iterator[str]:
    settings, audio = config.first_stage, config.model.params.audio
    if settings.kind == "vae":
        least, frames = PatchDiscriminator.least_size(), settings.crop_frames or audio.frames
        if min(frames, audio.n_mels) < least:
            yield f"first_stage.discriminator_start: needs {least} frames (crop_frames) and mel bins; set null for none"
    elif max(settings.periods, default=0) > audio.hop_length:
        yield f"first_stage.periods: {settings.periods} are not all between 1 and {audio.hop_length} samples"
