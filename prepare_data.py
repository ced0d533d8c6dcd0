"""Make data sets for training: `python prepare_data.py COMMAND --help` tells what each command needs."""

import sys
from pathlib import Path

# A copy of the source tree runs its own code, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from synctrack.cli.data import main
from synctrack.errors import run_command

if __name__ == "__main__":
    run_command(main)
