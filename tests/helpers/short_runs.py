"""Trainings of a few steps of the small model on a folder with `vae.ckpt` and `data`, within the test's process."""

import contextlib
import io
from pathlib import Path

from helpers.commands import run_here
from helpers.latent_store import FROM_STORE, KEYS, TRAIN_CONFIG

SHORT = [
    *KEYS,
    FROM_STORE,
    "trainer.save_checkpoint_every_n_steps=2",
    "trainer.validation_every_n_steps=3",
]


def short_run(folder: Path, *keys: str) -> str:
    """Train with more keys -> what was printed on stderr; SystemExit where the command ends with another status."""
    with contextlib.redirect_stderr(io.StringIO()) as printed:
        try:
            run_here(folder, "train_synctrack.py", "--config", TRAIN_CONFIG, *SHORT, *keys)
        except SystemExit as stop:
            stop.printed = printed.getvalue()
            raise
    return printed.getvalue()
