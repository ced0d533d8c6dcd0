"""Train a first stage: python train_first_stage.py --config config/vae_train.yaml | config/vocoder_train.yaml
[overlay.yaml ...] [key=value ...]"""

import sys
from pathlib import Path

# A copy of the source tree runs its own code, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from synctrack.cli.published import train_first_stage
from synctrack.errors import run_command

if __name__ == "__main__":
    run_command(train_first_stage)
