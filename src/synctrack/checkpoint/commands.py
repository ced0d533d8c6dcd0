"""python -m synctrack.checkpoint inspect FILE | convert FILE OUT [--small] [--half] | diff FILE CONFIG [CONFIG ...]

Our format is a safetensors file under our names, with kind, model configuration, stems and step in its metadata
under `synctrack`. A file in the published names is a torch file in the layout of its authors. Neither holds optimiser
states or other state of a trainer.
"""

import json
import logging
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from synctrack.arguments import CommandParser
from synctrack.checkpoint.files import HEADER, CheckpointFile, model_header, read_file
from synctrack.checkpoint.loading import differing_keys
from synctrack.checkpoint.matching import KEPT, Modules, Weights, differences, entries_of, ignored_as, match, shapes_of
from synctrack.checkpoint.published import new_modules
from synctrack.config import config_of
from synctrack.errors import InputError
from synctrack.files import atomic_path, sha256

logger = logging.getLogger(__name__)

USES = {
    "unet": "training starts from it",
    "ema": "generation uses it; training resumes from it",
    "vae": "training and generation use it",
    "vocoder": "generation uses it",
    "scale_factor": "training and generation use it",
}


def main(argv: Sequence[str] | None = None, prog: str = "python -m synctrack.checkpoint") -> None:
    """The command line; each command answers wrong input with an `InputError`."""
    parser = CommandParser(prog=prog, description="Inspect and convert weights.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in (
        ("inspect", "print what a checkpoint is and which parts of it would be used"),
        ("convert", "write it as .safetensors (our format) or .ckpt (published names)"),
        ("diff", "list differences from a configuration; exit status 1 if there are any"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("path", metavar="file", help="a checkpoint of any kind")
    small = "of a published file, keep only what generation and training start from"
    half = "in our format, store float16, which is converted to float32 when it is read"
    commands.choices["convert"].add_argument("out", help="where to write; its suffix decides the format")
    commands.choices["convert"].add_argument("--small", action="store_true", help=small)
    commands.choices["convert"].add_argument("--half", action="store_true", help=half)
    commands.choices["diff"].add_argument("config", nargs="+", help="YAML files and key=value pairs, later ones win")
    arguments = parser.parse_args(argv)
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    if arguments.command == "inspect":
        inspect(arguments.path)
    elif arguments.command == "convert":
        convert(arguments.path, arguments.out, arguments.small, arguments.half)
    elif diff(arguments.path, arguments.config):
        sys.exit(1)


def inspect(path: str) -> None:
    """Print what a checkpoint is, and which of its tensors are used.

    Raises:
        InputError: it is not a checkpoint, or does not fit its own (published files: the published) configuration.
    """
    file = read_file(path)
    config, stems = file.stored_model()
    print(f"{path}: {file.description}")
    print(f"size    {file.path.stat().st_size:,} bytes, {len(file.tensors)} tensors")
    print(f"sha256  {sha256(path)}")
    modules = shapes_of(config, len(stems))
    weights = match(file, modules)
    print(f"stems   {', '.join(stems)}")
    if file.kind == "synctrack":
        print(f"told    {file.told}")
    rows = defaultdict(list)
    for entry in weights.entries.values():
        rows[entry.part, USES[entry.part]] += [piece.numel() for piece in entry.to_published(entry.like)]
    for name, tensor in file.tensors.items():
        reason = ignored_as(file, name)
        if reason:
            rows["not used", reason].append(tensor.numel())
    for (what, why), sizes in rows.items():
        print(f"{what:13} {len(sizes):5} tensors {sum(sizes):13,} values  {why}")
    if file.kind == "musicldm":
        print(f"newly initialised: {new_modules(modules.unet)}")


def diff(path: str, config: list[str]) -> bool:
    """Print the differences of a checkpoint from a configuration, one a line -> whether there are any."""
    resolved = config_of(config, [])
    params, stems = resolved.model.params, tuple(resolved.data.params.path.stems)
    file = read_file(path)
    lines = differing_keys(file, params, stems) if file.kind == "synctrack" else []
    for what, names in differences(file, shapes_of(params, len(stems))).items():
        lines += [f"{what}: {name}" for name in names]
    print(f"{path}: {file.description} {'does not fit:' if lines else 'fits'}", *lines, sep="\n")
    return bool(lines)


def convert(path: str | Path, out: str | Path, small: bool = False, half: bool = False) -> None:
    """Write a checkpoint in the format that the suffix of `out` names.

    `.safetensors`: our format. All tensors of a published file are kept, including unused ones, for lossless export.
    With `small`, and always for our own training checkpoints, only what generation and a new training start from is
    kept: EMA weights of the U-Net, VAE, vocoder with its weight norm folded, scale factor. With `half`, numbers are
    float16.
    `.ckpt`: the published names, for programs that expect them; only from our files. If the file has only the EMA
    weights of the U-Net, they also serve as the U-Net weights.

    Raises:
        InputError: the file does not fit its stored configuration (published files: the published one), is already
            in the published names, or `out` has another suffix or cannot be written.
    """
    file, out = read_file(path), Path(out)
    if out.suffix == ".safetensors":
        write_safetensors(file, out, small, half)
    elif out.suffix == ".ckpt" and not file.published:
        _write_published(file, out)
    elif out.suffix == ".ckpt":
        raise InputError(f"{path}: has the published names already; convert it to a .safetensors file")
    else:
        raise InputError(f"{out}: name a .safetensors file (our format) or a .ckpt file (published names)")


def write_safetensors(
    file: CheckpointFile, out: Path, small: bool = False, half: bool = False
) -> tuple[dict[str, Any], int]:
    """Write a checkpoint in our format, see `convert`.

    Returns:
        The header of the new file, and the number of values in its tensors.

    Raises:
        InputError: the file does not fit its stored configuration, float16 cannot hold its values, or `out` cannot be
            written.
    """
    config, stems = file.stored_model()
    weights = match(file, shapes_of(config, len(stems)))
    tensors = _our_tensors(file, weights, small or not file.published)
    if half:
        tensors = {name: _halved(file.path, name, tensor) for name, tensor in tensors.items()}
    header = model_header(file.kind, config, stems, file.trained_bpm) | {"step": file.step}
    _write(out, lambda temporary: save_file(tensors, temporary, {HEADER: json.dumps(header)}))
    return header, sum(tensor.numel() for tensor in tensors.values())


def _halved(path: Path, name: str, tensor: torch.Tensor) -> torch.Tensor:
    """A tensor as float16; whole numbers stay as they are."""
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    if not torch.isfinite(half).all():
        largest = tensor.abs().max().item()
        raise InputError(f"{path}: {name} holds values up to {largest:g}, beyond float16; convert it without --half")
    return half


def _write_published(file: CheckpointFile, out: Path) -> None:
    config, stems = file.stored_model()
    if config.conditioning.any:
        raise InputError(
            f"{file.path}: can be told {config.conditioning.description}, which the published code does not know; "
            "convert it to a .safetensors file"
        )
    modules = shapes_of(config, len(stems))
    weights = match(file, modules)
    if file.kind == "synctrack" and config.unet.time_attention_scope != "bin":
        logger.warning("%s: trained with time_attention_scope frame; the published code has only bin", file.path)
    container = "generator" if file.kind == "vocoder" else "state_dict"
    tensors = _published_tensors(file, weights, modules)
    content = {container: tensors, HEADER: model_header(file.kind, config, stems)}
    if file.step is not None:
        content["global_step"] = file.step
    _write(out, lambda temporary: torch.save(content, temporary))


def _our_tensors(file: CheckpointFile, weights: Weights, small: bool) -> dict[str, torch.Tensor]:
    left_out = "unet." if small and "ema" in weights.parts else ()
    kept = [name for name in file.tensors if ignored_as(file, name) and not small]
    folded = [re.sub(r"\.weight_[gv]$", ".weight", name) if small else name for name in weights.entries]
    tensors = {name: _copy(weights[name]) for name in dict.fromkeys(folded) if not name.startswith(left_out)}
    return tensors | {KEPT + name: _copy(file.tensors[name]) for name in kept}


def _published_tensors(file: CheckpointFile, weights: Weights, modules: Modules) -> dict[str, torch.Tensor]:
    tensors, unet = {}, "unet." if "unet" in weights.parts else "ema.module."
    for entry in entries_of(replace(file, published=True), modules):
        ours = entry.ours.replace("unet.", unet)
        if ours in weights:
            tensor = weights[ours].int() if ours == "ema.num_updates" else weights[ours]
            tensors |= zip(entry.published, map(_copy, entry.to_published(tensor)), strict=True)
    return tensors | {n.removeprefix(KEPT): _copy(t) for n, t in file.tensors.items() if n.startswith(KEPT)}


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    # torch.save stores the whole storage of a view; safetensors refuses views and memory shared by two names.
    return tensor.clone(memory_format=torch.contiguous_format)


def _write(out: Path, save: Callable[[Path], None]) -> None:
    with atomic_path(out) as temporary:
        try:
            save(temporary)
        except (SafetensorError, RuntimeError) as error:
            # Both raise these when the disk is full.
            raise OSError(str(error)) from error
