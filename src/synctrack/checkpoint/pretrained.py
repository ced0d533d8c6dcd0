"""Models by name: the demo's, a file, a folder, the Hugging Face Hub; and a folder that can be shared."""

import re
from pathlib import Path

from synctrack.checkpoint.commands import write_safetensors
from synctrack.checkpoint.files import CheckpointFile, read_file
from synctrack.demo_weights import demo_checkpoint
from synctrack.errors import InputError
from synctrack.files import sha256, write_json, write_text

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
RUN_CHECKPOINT = Path("checkpoints", "last.ckpt")
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
KINDS = "demo, a checkpoint file, a run folder, a folder of save_pretrained, or owner/name on the Hugging Face Hub"


def find_pretrained(name: str | Path, revision: str | None = None) -> Path:
    """The checkpoint file of a model's name, see `SyncTrack.from_pretrained`; a Hub model is downloaded.

    Raises:
        InputError: there is no such model, `revision` is given for one that is not on the Hub, or the Hub cannot be
            reached.
    """
    path = Path(name)
    local = path.exists() or str(name) == "demo"
    if local and revision is not None:
        raise InputError(f"revision: {name} is not on the Hub and has none; leave it out")
    if path.is_file():
        return path
    if str(name) == "demo" and not path.exists():
        return demo_checkpoint()
    if path.is_dir():
        for file in (path / WEIGHTS, path / RUN_CHECKPOINT):
            if file.is_file():
                return file
        raise InputError(
            f"{path}: holds neither {WEIGHTS} nor {RUN_CHECKPOINT}; is the run's first checkpoint written?"
        )
    if HUB_ID.fullmatch(str(name)) and not path.suffix:
        return _download(str(name), revision)
    raise InputError(f"{name}: no such model; name {KINDS}")


def find_recorded(name: str, digest: str | None) -> str:
    """The name by which a model is found that a song was made with.

    Args:
        name: of the model, as the song says it: the path of a file.
        digest: SHA-256 of that file. The demo's weights are found wherever they are installed.
    """
    return "demo" if not Path(name).exists() and digest == sha256(demo_checkpoint()) else name


def write_pretrained(checkpoint: str | Path, folder: str | Path) -> Path:
    """Write a SyncTrack checkpoint as a folder to share: weights in our small format, configuration and model card.

    Raises:
        InputError: the checkpoint does not fit its own configuration, or the folder cannot be written.
    """
    folder, file = Path(folder), read_file(checkpoint)
    header, num_values = write_safetensors(file, folder / WEIGHTS, small=True)
    write_json(folder / CONFIG, header)
    write_text(folder / CARD, _card(file, num_values))
    return folder


def _download(name: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise InputError(f"{name}: needs huggingface_hub: pip install 'synctrack[hub]', or name a file") from error
    try:
        return Path(hf_hub_download(name, WEIGHTS, revision=revision))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{name}: {WEIGHTS} cannot be fetched from the Hub ({reason}); or name {KINDS}") from error


def _card(file: CheckpointFile, num_values: int) -> str:
    """A model card with what is known of the training, in the form of the Hugging Face Hub."""
    step = "not recorded" if file.step is None else f"{file.step:,}"
    config, stems = file.stored_model()
    lines = [
        "---",
        "library_name: synctrack",
        "tags: [music-generation, audio, diffusion, stems]",
        "---",
        "",
        "# A SyncTrack model",
        "",
        "Generates synchronised stems by latent diffusion.",
        "",
        "| | |",
        "|---|---|",
        f"| stems | {', '.join(stems)} |",
        f"| trained on segments of | {config.audio.segment_seconds:g} s at {config.audio.sample_rate} Hz |",
        f"| values | {num_values:,} |",
        f"| optimiser steps | {step} |",
        f"| prediction | {config.diffusion.prediction} |",
        f"| can be told | {file.told} |",
        f"| vocoder | {config.vocoder.kind} |",
        f"| converted from | {file.description} |",
        "",
        "Data, batch size and licence of the training are not recorded in the checkpoint; add them here.",
        "",
        "```python",
        "from synctrack import SyncTrack",
        "",
        'model = SyncTrack.from_pretrained("owner/name")   # or this folder',
        "song = model.generate(seed=7)",
        'song.save("song")',
        "```",
        "",
    ]
    return "\n".join(lines)
