"""From published names to ours and back, bit for bit.

Our format is a safetensors file under our names, with kind, model configuration, stems and step in its metadata
under `synctrack`. A file in the published names is a torch file of the layout its authors use. Optimiser states and
other things of a trainer are in neither.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from synctrack.checkpoint_files import HEADER, CheckpointFile, model_header, read_file
from synctrack.checkpoint_parts import KEPT, Weights, all_parts, ignored_as, match, shapes_of
from synctrack.errors import InputError
from synctrack.files import atomic_path

logger = logging.getLogger(__name__)


def convert(path: str | Path, out: str | Path, small: bool = False) -> None:
    """Write a checkpoint in the format that the suffix of `out` names.

    `.safetensors`: our format. Of a published file everything is kept, also what is of no use here, so that the way
    back gives the same file; with `small`, and always of our own training checkpoints, only what generation and a
    new training start from: averaged U-Net, VAE, vocoder, scale factor.
    `.ckpt`: the published names, for programs that know those; only from our files. Where the file has only the
    averaged U-Net, it also stands for the U-Net itself.

    Raises:
        InputError: the file does not fit its stored configuration (published files: the published one), is already
            in the published names, or `out` has another suffix or cannot be written.
    """
    file, out = read_file(path), Path(out)
    config, stems = file.stored_model()
    weights = match(file, all_parts(file, *shapes_of(config, len(stems))))
    header = model_header(file.kind, config, stems)
    if out.suffix == ".safetensors":
        _write_ours(file, weights, header | {"step": file.step}, out, small or not file.published)
    elif out.suffix == ".ckpt" and not file.published:
        if file.kind == "synctrack" and config.unet.time_attention_scope != "bin":
            logger.warning("%s: trained with time_attention_scope frame; the published code has only bin", path)
        _write_published(file, weights, header, out)
    elif out.suffix == ".ckpt":
        raise InputError(f"{path}: has the published names already; convert it to a .safetensors file")
    else:
        raise InputError(f"{out}: name a .safetensors file (our format) or a .ckpt file (published names)")


def _write_ours(file: CheckpointFile, weights: Weights, header: dict, out: Path, small: bool) -> None:
    names = list(weights)
    if small and "ema" in weights.parts:
        names = [name for name in names if not name.startswith("unet.")]
    tensors = {name: _copy(weights[name]) for name in names}
    if not small:
        tensors |= {KEPT + name: _copy(tensor) for name, tensor in file.tensors.items() if ignored_as(file, name)}
    _write(out, lambda temporary: save_file(tensors, temporary, metadata={HEADER: json.dumps(header)}))


def _write_published(file: CheckpointFile, weights: Weights, header: dict, out: Path) -> None:
    config, stems = file.stored_model()
    tensors = {}
    for part in all_parts(replace(file, published=True), *shapes_of(config, len(stems))):
        averaged = part.name == "unet" and "unet" not in weights.parts
        if part.name not in weights.parts and not averaged:
            continue
        for entry in part.entries:
            ours = f"ema.module.{entry.ours.removeprefix('unet.')}" if averaged else entry.ours
            copies = map(_copy, entry.to_published(weights[ours]))
            tensors |= dict(zip(entry.published, copies, strict=True))
    for name in tensors:
        if name.endswith("num_updates"):
            tensors[name] = tensors[name].int()
    tensors |= {name.removeprefix(KEPT): _copy(file.tensors[name]) for name in file.tensors if name.startswith(KEPT)}
    container = "generator" if file.kind == "vocoder" else "state_dict"
    step = {} if file.step is None else {"global_step": file.step}
    _write(out, lambda temporary: torch.save({container: tensors, **step, HEADER: header}, temporary))


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    # Both formats write what lies behind a view, or refuse it; safetensors also refuses memory shared by two names.
    return tensor.clone(memory_format=torch.contiguous_format)


def _write(out: Path, save: Callable[[Path], None]) -> None:
    with atomic_path(out) as temporary:
        try:
            save(temporary)
        except (SafetensorError, RuntimeError) as error:
            # What both say of a full disk.
            raise OSError(str(error)) from error
