"""Checkpoint files: read without executing anything in them, and recognised by the names of their tensors."""

import math
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

from synctrack.bounds import check_stems
from synctrack.config.loading import OMEGACONF_DAMAGES
from synctrack.documents import parse_json
from synctrack.errors import InputError
from synctrack.files import require_ordinary
from synctrack.models.conditioning import MARGIN, ConditioningConfig
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
"""Pattern of a tensor's name -> kind of the file that holds it, and whether its names are the published ones; the
first pattern that matches any tensor decides."""

PUBLISHED_CONFIG = ModelConfig(unet=UNetConfig(time_attention_scope="bin"))
"""The model that the paper's authors published."""
PUBLISHED_STEMS = ("bass", "drums", "guitar", "piano")


@dataclass(frozen=True)
class CheckpointFile:
    """What a file holds, its tensors under the file's own names.

    Attributes:
        path: of the file.
        kind: one of `KINDS`.
        published: whether the tensors have the published names, or ours.
        tensors: by name, memory-mapped where the file's format allows; ours without a leading `model.`.
        header: see `model_header`; None where the file was not written by this project.
        step: optimiser steps that the weights were trained for; None if the file does not say.
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

    @property
    def trained_bpm(self) -> tuple[float, float] | None:
        """The lowest and highest tempo that the model was told in training, where the file says so.

        Raises:
            InputError: the header's values are not two numbers.
        """
        bounds = (self.header or {}).get("trained_bpm")
        if bounds is None:
            return None
        numbers = isinstance(bounds, list) and all(type(value) in (int, float) for value in bounds)
        if not (numbers and len(bounds) == 2 and 0 < bounds[0] <= bounds[1] < math.inf):
            raise InputError(f"{self.path}: its header's trained_bpm is damaged ({bounds}); get or make it again")
        return float(bounds[0]), float(bounds[1])

    @property
    def told(self) -> str:
        """What the model can be told, for people: the parts, and the tempi of the clicks that it was trained with."""
        tempi = "" if self.trained_bpm is None else " ({:g} to {:g} BPM)".format(*self.trained_bpm)
        return self.stored_model()[0].conditioning.description + tempi

    def stored_model(self) -> tuple[ModelConfig, tuple[str, ...]]:
        """The model's configuration and stems: from the header, or the published ones if the file has no header.

        Raises:
            InputError: the header's configuration is not valid in this version.
        """
        if self.header is None:
            return PUBLISHED_CONFIG, PUBLISHED_STEMS
        try:
            config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ModelConfig), self.header["config"]))
        except (OmegaConfBaseException, *OMEGACONF_DAMAGES) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"{self.path}: its stored configuration is not valid in this version ({reason})"
            ) from error
        return config, tuple(self.header["stems"])


def model_header(
    kind: str, config: ModelConfig, stems: Sequence[str], trained_bpm: tuple[float, float] | None = None
) -> dict[str, Any]:
    """The header of our files, which describes the model of their weights; plain dictionaries, lists and values.

    Args:
        kind: one of `KINDS`.
        config: of the model.
        stems: of the model.
        trained_bpm: lowest and highest tempo of the songs whose click it was told in training, where there are any.
    """
    tree = config_tree(config)
    # Later than the format: left out where nothing is set, so that headers are those of earlier versions.
    if config.conditioning == ConditioningConfig():
        del tree["conditioning"]
    elif config.conditioning.margin == MARGIN:
        del tree["conditioning"]["margin"]
    if config.diffusion.min_snr_gamma is None:
        del tree["diffusion"]["min_snr_gamma"]
    tempi = {} if trained_bpm is None else {"trained_bpm": list(trained_bpm)}
    return {"format": FORMAT, "kind": kind, "config": tree, "stems": list(stems)} | tempi


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
    require_ordinary(path)
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
        header = _checked_header(path, parse_json(metadata.get(HEADER, "null"), f"{path}: its header"))
    except SafetensorError as error:
        raise InputError(f"{path}: is truncated or damaged ({error}); download or create it again") from error
    if header is None:
        raise InputError(f"{path}: was not written by synctrack.checkpoint convert (no {HEADER!r} in its metadata)")
    return CheckpointFile(path, header["kind"], False, tensors, header, header.get("step"))


def _read_torch(path: Path, mmap: bool) -> CheckpointFile:
    try:
        with warnings.catch_warnings():
            # torch warns about pickles that it then refuses; the error line is enough.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:
        # A damaged pickle can raise any exception; the file is at fault in each case.
        reason = "is truncated, damaged or not a checkpoint"
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        if found:
            reason = f"refused, nothing was executed: it holds Python objects ({found[1]}), which can run code"
        raise InputError(f"{path}: {reason}; download or create another, see ckpt/README.md") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: is not a checkpoint (holds a {type(content).__name__}, not a state_dict)")
    header, step = _checked_header(path, content.get(HEADER)), content.get("global_step")
    tensors = content.get("generator", content.get("state_dict", content))
    if not isinstance(tensors, dict) or not tensors:
        raise InputError(f"{path}: is not a checkpoint (its state_dict is empty or missing)")
    strange = [str(n) for n, t in tensors.items() if not (isinstance(n, str) and isinstance(t, torch.Tensor))]
    if strange:
        raise InputError(f"{path}: is not a checkpoint; these entries are not named tensors: {', '.join(strange)}")
    empty = next((name for name, tensor in tensors.items() if tensor.is_meta), None)
    if empty is not None:
        raise InputError(f"{path}: its tensor {empty} has no values; download or create it again")
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
    if not isinstance(kind, str) or kind not in KINDS or not isinstance(config, dict):
        raise InputError(f"{path}: its header is damaged; download or create it again")
    try:
        check_stems("stems", stems)
    except ValueError as error:
        raise InputError(f"{path}: its header is damaged ({error}); download or create it again") from error
    return header
