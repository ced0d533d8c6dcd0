"""Checkpoint files as they lie on the disk: read without running anything in them, recognised by what they hold."""

import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError, safe_open

from synctrack.errors import InputError
from synctrack.models.latent_diffusion import ModelConfig
from synctrack.models.unet import UNetConfig

HEADER = "synctrack"
"""Top-level key of our header in a torch file, and in the metadata of a safetensors file."""
FORMAT = 1
KINDS = {"synctrack": "SyncTrack", "musicldm": "MusicLDM", "vae": "VAE", "vocoder": "HiFi-GAN"}
KNOWN_BY = {
    r"model\.unet\.": ("synctrack", False),
    r"model\.diffusion_model\..*(switcher|attn_cross_track|attn_beat)": ("synctrack", True),
    r"model\.diffusion_model\.": ("musicldm", True),
    r"vae\.": ("vae", False),
    r"decoder\.": ("vae", True),
    r"vocoder\.": ("vocoder", False),
    r"conv_pre\.": ("vocoder", True),
}
"""How a name begins -> kind, and whether published, of the file that holds it; the first that is found counts."""

PUBLISHED_CONFIG = ModelConfig(unet=UNetConfig(time_attention_scope="bin"))
"""The model that the paper's authors published."""
PUBLISHED_STEMS = ("bass", "drums", "guitar", "piano")


@dataclass(frozen=True)
class CheckpointFile:
    """What a file holds, its tensors under the file's own names.

    Attributes:
        path: where it lies.
        kind: one of `KINDS`.
        published: whether the tensors have the published names, or ours.
        tensors: by name, memory-mapped where the file's format allows; ours without a leading `model.`.
        header: see `model_header`; None where the file was not written by this project.
        step: optimiser steps behind the weights, where the file says so.
    """

    path: Path
    kind: str
    published: bool
    tensors: dict[str, torch.Tensor]
    header: dict[str, Any] | None
    step: int | None

    @property
    def description(self) -> str:
        """Such as "SyncTrack checkpoint (published names, step 320000)"."""
        step = "" if self.step is None else f", step {self.step}"
        return f"{KINDS[self.kind]} checkpoint ({'published' if self.published else 'our'} names{step})"

    def stored_model(self) -> tuple[ModelConfig, tuple[str, ...]]:
        """The model's configuration and stems: from the header, or the published ones if the file has no header.

        Raises:
            InputError: the header's configuration is not valid in this version.
        """
        if self.header is None:
            return PUBLISHED_CONFIG, PUBLISHED_STEMS
        try:
            config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ModelConfig), self.header["config"]))
        except (OmegaConfBaseException, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{self.path}: its stored configuration is not valid in this version ({reason})"
            ) from error
        return config, tuple(self.header["stems"])


def model_header(kind: str, config: ModelConfig, stems: Sequence[str]) -> dict[str, Any]:
    """What our files say of the model whose weights they hold; plain dictionaries, lists and values."""
    tree = config_tree(config)
    # Younger than the format: left out where nothing is set, so that headers are those of before.
    if not config.conditioning.any:
        del tree["conditioning"]
    if config.diffusion.min_snr_gamma is None:
        del tree["diffusion"]["min_snr_gamma"]
    return {"format": FORMAT, "kind": kind, "config": tree, "stems": list(stems)}


def config_tree(config: ModelConfig) -> dict[str, Any]:
    """A model's configuration, every key of it, as plain dictionaries, lists and values."""
    return {field.name: asdict(getattr(config, field.name)) for field in fields(ModelConfig)}


def read_file(path: str | Path) -> CheckpointFile:
    """Open a checkpoint of any kind that this project knows. Nothing in the file is executed.

    Raises:
        InputError: missing, truncated, no checkpoint, holds other Python objects than tensors and plain values,
            or is of no known kind.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; see ckpt/README.md for the available checkpoints")
    with path.open("rb") as stream:
        head = stream.read(9)
    # Files of torch before 1.6 are not zip archives and cannot be mapped.
    return _read_safetensors(path) if head[8:] == b"{" else _read_torch(path, mmap=head.startswith(b"PK\x03\x04"))


def _read_safetensors(path: Path) -> CheckpointFile:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = _checked_header(path, json.loads(metadata.get(HEADER, "null")))
    except (SafetensorError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: is truncated or damaged ({error}); get or make it again") from error
    if header is None:
        raise InputError(f"{path}: was not written by synctrack.checkpoint convert (no {HEADER!r} in its metadata)")
    return CheckpointFile(path, header["kind"], False, tensors, header, header.get("step"))


def _read_torch(path: Path, mmap: bool) -> CheckpointFile:
    try:
        with warnings.catch_warnings():
            # Torch warns of pickles that it then refuses; one line is enough.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:
        # A broken pickle makes the reader stumble in any way there is; it is always the file's fault.
        reason = "is truncated, damaged or no checkpoint"
        if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
            reason = f"refused, nothing was executed: it holds Python objects ({found[1]}), which can run code"
        raise InputError(f"{path}: {reason}; get or make another, see ckpt/README.md") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: is not a checkpoint (holds a {type(content).__name__}, not a state_dict)")
    header, step = _checked_header(path, content.get(HEADER)), content.get("global_step")
    tensors = content.get("generator", content.get("state_dict", content))
    if not isinstance(tensors, dict) or not tensors:
        raise InputError(f"{path}: is not a checkpoint (its state_dict is empty or none)")
    if strange := [str(n) for n, t in tensors.items() if not (isinstance(n, str) and isinstance(t, torch.Tensor))]:
        raise InputError(f"{path}: is not a checkpoint; these entries are not named tensors: {', '.join(strange)}")
    known = [what for begins, what in KNOWN_BY.items() if any(re.match(begins, name) for name in tensors)]
    if not known:
        first = next(iter(tensors))
        raise InputError(f"{path}: is not a known kind of checkpoint (its first key is {first!r})")
    kind, published = known[0]
    if not published:
        if header is None:
            raise InputError(f"{path}: has our names but no {HEADER!r} entry; was it saved by train_synctrack.py?")
        tensors = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    return CheckpointFile(path, kind, published, tensors, header, step if isinstance(step, int) else None)


def _checked_header(path: Path, header: Any) -> dict[str, Any] | None:
    if header is None:
        return None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError(f"{path}: was written by another version of this project (format {FORMAT} is known)")
    kind, config, stems = (header.get(key) for key in ("kind", "config", "stems"))
    named = isinstance(stems, list) and all(isinstance(stem, str) for stem in stems)
    if kind not in KINDS or not isinstance(config, dict) or not named:
        raise InputError(f"{path}: its header is damaged; get or make it again")
    return header
