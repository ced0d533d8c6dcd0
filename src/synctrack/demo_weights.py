"""Where the demo's weights are: inside an installed package, or in `ckpt/demo` of the source tree."""

from pathlib import Path

from synctrack.errors import InputError


def demo_checkpoint() -> Path:
    """The demo's SyncTrack checkpoint. Raises InputError where neither place holds it."""
    packaged = Path(__file__).parent / "demo" / "synctrack.safetensors"
    source = Path(__file__).resolve().parents[2] / "ckpt" / "demo" / "synctrack.safetensors"
    for path in (packaged, source):
        if path.is_file():
            return path
    raise InputError(f"demo: {packaged} is missing; install synctrack again")
