"""What the commands of the metrics share on the command line."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from synctrack.arguments import CommandParser, number, workers
from synctrack.errors import InputError
from synctrack.metrics.beats.folders import track_folder
from synctrack.metrics.beats.given import read_given_beats
from synctrack.metrics.beats.layout import LAYOUTS, find_layout
from synctrack.metrics.beats.trackers import DEFAULT_TRACKER, TRACKERS, make_tracker
from synctrack.metrics.beats.types import PROTOCOL_FPS, StemBeats, choose_protocols

PROTOCOL_HELP = (
    "paper: as the published table was made, where the decoder is told 150 activations per second though there are "
    "100: every time comes out at 2/3 of the truth, and the CBS window of 0.15 s is really 0.225 s. "
    "corrected: the decoder is told 100; times are true. both: one after the other"
)


window_size = number(0.01, 60)
"""The type of --window_size, in seconds."""


def stem_list(text: str) -> list[str]:
    """A --stems from the command line. Raises InputError unless it names two stems or more, none twice."""
    stems = [stem.strip() for stem in text.split(",") if stem.strip()]
    if len(stems) < 2 or len(set(stems)) < len(stems):
        raise InputError(f"--stems {text}: must be two or more different names, with commas between")
    return stems


def add_tracker(parser: argparse.ArgumentParser) -> None:
    """The options that choose a beat tracker."""
    each = "; ".join(f"{name}: {choice.summary}" for name, choice in TRACKERS.items())
    parser.add_argument("--tracker", choices=TRACKERS, default=DEFAULT_TRACKER, help=f"{each} (default: %(default)s)")
    parser.add_argument("--weights", type=Path, help="checkpoint for beat_this; its package's own if not given")


def metric_parser(description: str, protocol: str, prog: str | None = None) -> argparse.ArgumentParser:
    """The options that say where beats come from. `protocol` is the default."""
    parser = CommandParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("path", nargs="?", type=Path, metavar="FOLDER", help="the same as --folder FOLDER")
    source.add_argument("--folder", type=Path, help="holds one folder of audio files for each stem, or for each song")
    source.add_argument("--beats", type=Path, metavar="FILE.json", help="score these beats, without audio")
    parser.add_argument("--protocol", choices=[*PROTOCOL_FPS, "both"], help=f"{PROTOCOL_HELP} (default: {protocol})")
    parser.set_defaults(default_protocol=protocol)
    layout = "of the folder: one sub-folder for each stem, or for each song; auto (default) decides by the names"
    parser.add_argument("--layout", choices=LAYOUTS, default="auto", help=layout)
    parser.add_argument("--stems", type=stem_list, metavar="A,B", help="score these stems alone")
    add_tracker(parser)
    parser.add_argument("--no-cache", action="store_true", help="neither read nor fill the cache of beats and onsets")
    parser.add_argument("--strict", action="store_true", help="refuse unreadable files instead of skipping them")
    parser.add_argument("--workers", type=workers, help="files tracked at once; default: one for each processor")
    return parser


def add_fad(parser: argparse.ArgumentParser) -> None:
    """The options of the Fréchet audio distances beside other scores."""
    names = "mel (no weights; the default), vggish or clap"
    parser.add_argument("--fad", nargs="?", const="mel", metavar="EMBEDDING", help=f"add Fréchet distances: {names}")
    weights = "of --fad: file of the torch port for vggish, local folder for clap"
    parser.add_argument("--fad-weights", type=Path, metavar="FILE", help=weights)
    subset = "of --fad: compare the sum of these stems too; may be repeated"
    parser.add_argument("--fad-subset", type=stem_list, action="append", default=[], metavar="A,B", help=subset)


def fad_embedding(arguments: argparse.Namespace) -> Any:
    """The embedding that `--fad` asks for; None without.

    Raises:
        InputError: there is no folder or reference to compare, or as `make_embedding`.
    """
    if arguments.fad is None:
        if arguments.fad_weights or arguments.fad_subset:
            raise InputError("--fad-weights, --fad-subset: belong to --fad; add it, such as --fad vggish")
        return None
    if arguments.folder is None or arguments.reference is None or arguments.reference.is_file():
        raise InputError("--fad: compares audio: it needs a folder, and a folder as --reference")
    # Here and not above: it is rarely asked for.
    from synctrack.metrics.fad.embed import make_embedding

    return make_embedding(arguments.fad, arguments.fad_weights)


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse a command line of `metric_parser`; the folder is `folder`, however it was given.

    Raises:
        InputError: an option belongs to audio, and beats are given instead.
    """
    arguments = parser.parse_args(argv)
    arguments.folder = arguments.folder or arguments.path
    for name in ("layout", "tracker", "weights"):
        if arguments.beats and getattr(arguments, name) != parser.get_default(name):
            raise InputError(f"--{name}: belongs to a folder of audio; --beats gives beats that are known")
    return arguments


def metric_arguments(description: str, options: Mapping[str, Any] | None = None) -> argparse.Namespace:
    """Read the command line of one metric's script; `options` are its own, as add_argument takes them."""
    parser = metric_parser(description, "paper")
    for name, settings in (options or {}).items():
        parser.add_argument(name, **settings)
    return parse(parser)


def read_arguments(arguments: argparse.Namespace) -> StemBeats:
    """The beats that a command line asks for, in the protocols that it asks for.

    Raises:
        InputError: as `track_folder`, `read_given_beats`, `make_tracker` and `choose_protocols` do.
    """
    if arguments.beats:
        beats = read_given_beats(arguments.beats)
        beats = beats.only(arguments.stems) if arguments.stems else beats
    else:
        tracker = make_tracker(arguments.tracker, arguments.weights)
        choose_protocols(tracker.protocols, arguments.protocol, arguments.default_protocol)
        found = find_layout(arguments.folder, arguments.layout, arguments.stems)
        beats = track_folder(
            arguments.folder,
            tracker,
            cache=not arguments.no_cache,
            strict=arguments.strict,
            workers=arguments.workers,
            layout=found,
        )
    warn(beats)
    protocols = choose_protocols(beats.protocols, arguments.protocol, arguments.default_protocol)
    return replace(beats, protocols=protocols)


def warn(beats: StemBeats) -> None:
    """Say on stderr what is left out."""
    for reason in beats.unreadable.values():
        print(f"skipped: {reason}", file=sys.stderr)
    if beats.incomplete:
        print(
            f"{len(beats.incomplete)} of {len(beats.files)} file names are not in every stem folder: "
            "left out of CBS and CBD, and kept in IRS, which looks at each stem alone",
            file=sys.stderr,
        )


def print_values(protocol: str, values: Mapping[str, float]) -> None:
    """Print one protocol's values, a name and a number a line."""
    print(f"protocol: {protocol}")
    for name, value in values.items():
        print(f"{name}: {value:.6f}")
