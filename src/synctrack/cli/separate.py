"""`synctrack separate`: the stems of a mix, as a folder like those of `synctrack generate`."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from synctrack.arguments import CommandParser
from synctrack.cli.steering_arguments import add_output, add_sampling, check_output, load_model
from synctrack.locks import locked_empty


def main(argv: Sequence[str], prog: str) -> None:
    """Run the command."""
    arguments = _parser(prog).parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    check_output(arguments)
    out = Path(arguments.out)
    with locked_empty(out, "choose another --out"):
        print(_separate(arguments, out))


def _separate(arguments: argparse.Namespace, out: Path) -> Path:
    model = load_model(arguments, arguments.model)
    names = ("seed", "method", "draws", "sampler", "steps", "eta", "batch_size", "best_of", "guidance", "long")
    asked = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    song = model.separate(arguments.mix, progress=True, **asked)
    return song.save(out, arguments.format, daw=arguments.daw, sample_rate=arguments.sample_rate)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = CommandParser(prog=prog, description="Separate a mix: DIR/{bass,drums,…,mix}.wav.")
    add = parser.add_argument
    add("mix", metavar="MIX", help="audio file of any rate, channels and length")
    add("--out", required=True, metavar="DIR", help="folder for the stems")
    add("--method", default="masks", metavar="M", help="masks (stems sum to the mix; default) or generated")
    add("--draws", type=int, metavar="N", help="average the masks of N draws (default: 4)")
    add("--best-of", type=int, default=1, metavar="N", help="make N, keep the one whose stems keep time best")
    add("--guidance", type=float, default=1.0, metavar="G", help="above 1: follow the mix more closely (default: 1)")
    add("--long", metavar="HOW", help="beyond the trained length: windows or whole (default: what the model can)")
    add_sampling(parser, steps="5; 20 for generated stems", seeded="of the draws (default: 0)", batch="draws")
    add_output(parser)
    return parser
