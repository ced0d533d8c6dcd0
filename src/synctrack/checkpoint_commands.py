"""python -m synctrack.checkpoint inspect FILE | convert FILE OUT [--small] | diff FILE CONFIG [CONFIG ...]"""

import argparse
import logging
import sys
from collections import defaultdict

from synctrack.checkpoint import differing_keys, new_modules, sha256
from synctrack.checkpoint_convert import convert
from synctrack.checkpoint_files import read_file
from synctrack.checkpoint_parts import all_parts, differences, ignored_as, match, shapes_of
from synctrack.config import load_config

USES = {
    "unet": "training starts from it",
    "ema": "generation uses it; training goes on from it",
    "vae": "training and generation use it",
    "vocoder": "generation uses it",
    "scale_factor": "training and generation use it",
}


def main() -> None:
    """The command line; each command answers wrong input with an `InputError`."""
    parser = argparse.ArgumentParser(prog="python -m synctrack.checkpoint", description="Inspect and convert weights.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("inspect", "say what a checkpoint is and what of it would be used"),
        ("convert", "write it as .safetensors (our format) or .ckpt (published names)"),
        ("diff", "list what keeps it from fitting a configuration; exit status 1 if anything does"),
    ):
        commands.add_parser(name, help=text, description=text).add_argument("file", help="a checkpoint of any kind")
    commands.choices["convert"].add_argument("out", help="where to write; its suffix decides the format")
    commands.choices["convert"].add_argument(
        "--small", action="store_true", help="of a published file, keep only what generation and training start from"
    )
    commands.choices["diff"].add_argument("config", nargs="+", help="YAML files and key=value pairs, later ones win")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    if arguments.command == "inspect":
        inspect(arguments.file)
    elif arguments.command == "convert":
        convert(arguments.file, arguments.out, arguments.small)
    else:
        sys.exit(1 if diff(arguments.file, arguments.config) else 0)


def inspect(path: str) -> None:
    """Print what a checkpoint is, what is used of it and what is not.

    Raises:
        InputError: it is no checkpoint, or does not fit its own (published files: the published) configuration.
    """
    file = read_file(path)
    config, stems = file.stored_model()
    print(f"{path}: {file.description}")
    print(f"size    {file.path.stat().st_size:,} bytes, {len(file.tensors)} tensors")
    print(f"sha256  {sha256(path)}")
    modules = shapes_of(config, len(stems))
    weights = match(file, all_parts(file, *modules))
    print(f"tracks  {', '.join(stems)}")
    for name, part in weights.parts.items():
        used = part.expected().values()
        print(f"{name:13} {len(used):5} tensors {sum(t.numel() for t in used):13,} values  {USES[name]}")
    unused = defaultdict(list)
    for name, tensor in file.tensors.items():
        if reason := ignored_as(file, name):
            unused[reason].append(tensor.numel())
    for reason, sizes in unused.items():
        print(f"{'not used':13} {len(sizes):5} tensors {sum(sizes):13,} values  {reason}")
    if file.kind == "musicldm":
        print(f"to start new: {new_modules(modules[0])}")


def diff(path: str, configuration: list[str]) -> bool:
    """Print, line by line, what keeps a checkpoint from fitting a configuration -> whether anything does."""
    overrides = [item for item in configuration if "=" in item]
    config = load_config([item for item in configuration if "=" not in item], overrides)
    params, stems = config.model.params, tuple(config.data.params.path.stems)
    file = read_file(path)
    lines = differing_keys(file, params, stems) if file.kind == "synctrack" else []
    for what, names in differences(file, all_parts(file, *shapes_of(params, len(stems)))).items():
        lines += [f"{what}: {name}" for name in names]
    print(f"{path}: {file.description} {'does not fit:' if lines else 'fits'}")
    for line in lines:
        print(line)
    return bool(lines)
