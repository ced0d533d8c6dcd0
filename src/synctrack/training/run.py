"""A whole training from a configuration: SyncTrack's, or a first stage's."""

from synctrack.config import Config
from synctrack.data.datamodule import StemDataModule
from synctrack.errors import InputError
from synctrack.training.first_stage.checks import check
from synctrack.training.first_stage.vae_module import VAEModule
from synctrack.training.first_stage.vocoder_module import VocoderModule
from synctrack.training.initialise import initialise
from synctrack.training.resuming import checkpoint_to_resume, require_resumable
from synctrack.training.synctrack_module import SyncTrackModule
from synctrack.training.trainer import build_trainer, fit, last_checkpoint, resumable, seed_everything

FIRST_STAGES = {"vae": VAEModule, "vocoder": VocoderModule}
DATA_OF_MODE = {"train": ["train"], "validate": ["valid"], "validate_and_train": ["train", "valid"]}


def train(config: Config) -> None:
    """Train or validate SyncTrack, as `train_synctrack.py` does.

    Raises:
        InputError: the configuration, its data or its weights do not fit, or another run writes into the run folder.
    """
    if config.mode not in DATA_OF_MODE:
        raise InputError(f"mode: {config.mode} generates clips; run eval_synctrack.py, or set mode=train")
    data = StemDataModule(config, config.data.params.path.latents)
    data.require(*DATA_OF_MODE[config.mode])
    seed_everything(config)
    module = SyncTrackModule(config)
    # Validation alone overwrites no run, so that a run folder that holds one is no reason to refuse it.
    resumes = config.mode != "validate" or config.trainer.resume
    resume = checkpoint_to_resume(config, "synctrack") if resumes else None
    if resume is None:
        initialise(module.model, module.ema, config.model.params)
    else:
        require_resumable(resume, module, build_trainer(config).fit_loop.state_dict())
    if config.mode in ("validate", "validate_and_train"):
        trainer = build_trainer(config)
        with resumable(trainer, last_checkpoint(config)):
            trainer.validate(module, datamodule=data, ckpt_path=resume, weights_only=True)
    if config.mode != "validate":
        fit(config, module, data, "val/loss_ema", resume)


def train_first_stage(config: Config) -> None:
    """Train the mel VAE or the vocoder, as `train_first_stage.py` does.

    Raises:
        InputError: the configuration, its data or its weights do not fit.
    """
    check(config)
    data = StemDataModule(config)
    data.require("train")
    seed_everything(config)
    kind = config.first_stage.kind
    resume = checkpoint_to_resume(config, kind)
    module = FIRST_STAGES[kind](config)
    if resume is not None:
        require_resumable(resume, module, build_trainer(config).fit_loop.state_dict())
    fit(config, module, data, "val/mel_l1", resume)
