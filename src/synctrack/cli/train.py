"""`synctrack train CONFIG … [key=value …]`: as `train_synctrack.py --config`."""

from collections.abc import Sequence

from synctrack.arguments import CommandParser
from synctrack.config import config_of
from synctrack.errors import needs_extra


def main(argv: Sequence[str], prog: str) -> None:
    """Run the command."""
    parser = CommandParser(prog=prog, description="Train SyncTrack from YAML files.")
    parser.add_argument("config", nargs="+", metavar="CONFIG", help="YAML files and key=value pairs, later ones win")
    config = config_of(parser.parse_args(argv).config, [])
    with needs_extra("train", "training"):
        from synctrack.training.monitoring import start_logging
        from synctrack.training.run import train

    start_logging()
    train(config)
