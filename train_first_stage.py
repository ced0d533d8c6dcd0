"""Train a first stage: python train_first_stage.py --config config/vae_train.yaml | config/vocoder_train.yaml
[overlay.yaml ...] [key=value ...]"""

from first_stages.checks import check
from first_stages.vae_module import VAEModule
from first_stages.vocoder_module import VocoderModule
from synctrack.config import parse_command_line
from synctrack.data.datamodule import StemDataModule
from synctrack.errors import run_command
from synctrack.training import checkpoint_to_resume, fit, seed_everything, start_logging

MODULES = {"vae": VAEModule, "vocoder": VocoderModule}
MONITOR = "val/mel_l1"


def main() -> None:
    config = parse_command_line("Train the mel VAE or the vocoder, SyncTrack's first stages, from a YAML file.")
    start_logging()
    check(config)
    data = StemDataModule(config)
    data.require("train")
    seed_everything(config)
    kind = config.first_stage.kind
    resume = checkpoint_to_resume(config, kind)
    fit(config, MODULES[kind](config), data, MONITOR, resume)


if __name__ == "__main__":
    run_command(main)
