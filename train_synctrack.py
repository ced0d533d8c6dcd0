"""Train SyncTrack: python train_synctrack.py --config config/synctrack_train.yaml [overlay.yaml ...] [key=value ...]"""

from synctrack import checkpoint
from synctrack.config import parse_command_line
from synctrack.data.datamodule import StemDataModule
from synctrack.errors import InputError, run_command
from synctrack.lightning_module import SyncTrackModule
from synctrack.training import build_trainer, checkpoint_to_resume, fit, seed_everything, start_logging

MONITOR = "val/loss_ema"


def main() -> None:
    config = parse_command_line("Train SyncTrack from a YAML file.")
    start_logging()
    if config.mode == "test":
        raise InputError("mode: test generates clips; run eval_synctrack.py, or set mode=train")
    data = StemDataModule(config, config.data.params.path.latents)
    data.require(*{"train": ["train"], "validate": ["valid"]}.get(config.mode, ["train", "valid"]))
    seed_everything(config)
    module = SyncTrackModule(config)
    resume = None if config.mode == "validate" else checkpoint_to_resume(config, "synctrack")
    if resume is None:
        checkpoint.initialise(module.model, module.ema, config.model.params)
    if config.mode in ("validate", "validate_and_train"):
        build_trainer(config).validate(module, datamodule=data, ckpt_path=resume, weights_only=True)
    if config.mode != "validate":
        fit(config, module, data, MONITOR, resume)


if __name__ == "__main__":
    run_command(main)
