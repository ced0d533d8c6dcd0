"""Train SyncTrack: python train_synctrack.py --config config/synctrack_train.yaml [overlay.yaml ...] [key=value ...]"""

import sys
from pathlib import Path

# A copy of the source tree runs its own code, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from synctrack.cli.published import train_synctrack
from synctrack.errors import run_command

if __name__ == "__main__":
    run_command(train_synctrack)
