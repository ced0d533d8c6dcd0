"""The `synctrack` command: imports the module of a command and passes it the rest of the command line.

Modules are imported when their command is called, so that help is instant and scoring does not import torch.
"""

import difflib
import importlib
import sys

from synctrack import __version__
from synctrack.errors import InputError, run_command

COMMANDS = {
    "generate": ("generate", "generate songs: one folder of stems for each clip"),
    "separate": ("separate", "separate a mix into stems"),
    "studio": ("studio", "make, listen to and change songs in the browser"),
    "score": ("score", "score the rhythm of stems: IRS, CBS and CBD"),
    "check": ("check", "find stems that are late, early or drifting, and mend them"),
    "report": ("report", "write the scores and a player of the stems as one HTML page"),
    "data": ("data", "create data sets: synthetic, midi, slakh, beats, latents"),
    "train": ("train", "train SyncTrack from YAML files"),
    "evaluate": ("evaluate", "generate the clips of a test set from a run or checkpoint, and score them"),
    "checkpoint": ("checkpoint", "inspect, convert and compare checkpoints"),
}
"""Name -> module in `synctrack.cli` with `main(argv, prog)`, and what it does."""


def main() -> None:
    """The entry point of the `synctrack` command."""
    run_command(_dispatch)


def _dispatch() -> None:
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(_help())
    elif name in ("-V", "--version"):
        print(f"synctrack {__version__}")
    elif name in COMMANDS:
        module = importlib.import_module(f"synctrack.cli.{COMMANDS[name][0]}")
        module.main(rest, f"synctrack {name}")
    else:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the commands are {', '.join(COMMANDS)}"
        raise InputError(f"synctrack: {name!r} is not a command; {hint}")


def _help() -> str:
    rows = [f"  {name:11} {text}" for name, (_, text) in COMMANDS.items()]
    head = "usage: synctrack COMMAND …      (synctrack COMMAND --help explains a command)"
    return "\n".join(
        [head, "", "Synchronised multi-stem music, and the metrics of its rhythm.", "", "commands:", *rows]
    )


if __name__ == "__main__":
    main()
