"""Train the mel VAE: python train_first_stage.py --config config/vae_train.yaml [overlay.yaml ...] [key=value ...]"""

from synctrack.config import parse_command_line
from synctrack.data.datamodule import StemDataModule
from synctrack.errors import run_command
from synctrack.first_stage_module import VAEModule
from synctrack.training import checkpoint_to_resume, fit, seed_everything, start_logging

MONITOR = "val/mel_l1"


def main() -> None:
    config = parse_command_line("Train the mel VAE, SyncTrack's first stage, from a YAML file.")
    start_logging()
    data = StemDataModule(config)
    data.require("train")
    seed_everything(config)
    fit(config, VAEModule(config), data, MONITOR, checkpoint_to_resume(config, "vae"))


if __name__ == "__main__":
    run_command(main)
