"""The commands of the scripts with the published names; each script only calls one of these."""

from synctrack.config import parse_command_line
from synctrack.errors import needs_extra


def train_synctrack() -> None:
    """`train_synctrack.py`."""
    config = parse_command_line("Train SyncTrack from a YAML file.")
    with needs_extra("train", "training"):
        from synctrack.training.monitoring import start_logging
        from synctrack.training.run import train

    start_logging()
    train(config)


def train_first_stage() -> None:
    """`train_first_stage.py`."""
    config = parse_command_line("Train the mel VAE or the vocoder, SyncTrack's first stages, from a YAML file.")
    with needs_extra("train", "training"):
        from synctrack.training.monitoring import start_logging
        from synctrack.training.run import train_first_stage as train

    start_logging()
    train(config)


def eval_synctrack() -> None:
    """`eval_synctrack.py`."""
    config = parse_command_line("Generate one clip of stems for each segment of a test set.")
    with needs_extra("train", "evaluation"):
        from synctrack.training.evaluation import evaluate
        from synctrack.training.monitoring import start_logging

    start_logging()
    evaluate(config)
