"""Options that the commands which generate share: the sampler, the files, and what to play."""

import math
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from synctrack.arguments import seed, whole
from synctrack.bounds import shortened
from synctrack.errors import InputError

if TYPE_CHECKING:
    from synctrack.pipeline import SyncTrack

DEFAULT_MODEL = "demo"
DEFAULT_PRECISION = "float32"
RATES = (8000, 384_000)  # Hz
any_whole = whole(-(10**12), 10**12)
"""The type of options of which the request itself checks the bounds."""

STEERING = ("bpm", "meter", "beats", "redo", "extend", "loop", "best_of", "guidance", "resampling", "long", "span")
"""Options that are settings of `SyncTrack.stream` under the same name."""


def add_sampling(
    parser: ArgumentParser,
    steps: int | str = 20,
    seeded: str = "of the noise (default: 0)",
    batch: str = "clips",
) -> None:
    """Which model, noise, sampler and device.

    Args:
        parser: of the command.
        steps: the default, or what to say of it where it varies.
        seeded: what the help says of the seed, with its default.
        batch: what a batch is of.
    """
    add = parser.add_argument
    add("--model", help=f"demo, a checkpoint, a run folder, or owner/name on the Hub (default: {DEFAULT_MODEL})")
    add("--revision", help="branch, tag or commit of a model on the Hub")
    add("--seed", type=seed, default=0, metavar="N", help=seeded)
    add("--sampler", default="dpmpp_2m_sde", metavar="NAME", help="dpmpp_2m_sde (default), dpmpp_2m or ddim")
    add("--steps", type=whole(1, 100_000), metavar="N", help=f"calls of the U-Net (default: {steps})")
    parser.set_defaults(steps=steps if isinstance(steps, int) else None)
    add("--eta", type=float, metavar="X", help="of ddim alone: 0 is deterministic, 1 (default) the noisiest")
    add("--batch-size", type=whole(1, 65_536), metavar="N", help=f"{batch} at once (default: 1 on a CPU, 8 on a GPU)")
    add("--device", default="auto", metavar="D", help="auto (default), cpu, cuda, cuda:1 or mps")
    add("--precision", metavar="P", help=f"{DEFAULT_PRECISION} (default), bfloat16 or float16 (GPU)")


def add_output(parser: ArgumentParser) -> None:
    """The files that are written."""
    add = parser.add_argument
    add("--format", default="wav16", metavar="F", help="wav16 (default), wav24, float or flac")
    add("--sample-rate", type=whole(*RATES), metavar="HZ", help="of the files, such as 48000 (default: the model's)")
    add(
        "--daw", action="store_true", help="for music programs: whole bars, names that sort, a MIDI file with the tempo"
    )


def check_output(arguments: Namespace) -> None:
    """Raise InputError unless the options of `add_output` can be met."""
    # Here and not above: this module takes seconds to import, and help needs none.
    from synctrack.generation.song import FILE_FORMATS

    if arguments.format not in FILE_FORMATS:
        raise InputError(f"--format {arguments.format}: must be one of {', '.join(FILE_FORMATS)}")


def load_model(arguments: Namespace, name: str | None, precision: str = DEFAULT_PRECISION) -> "SyncTrack":
    """The model called `name`, on the device that the options of `add_sampling` say.

    Args:
        arguments: of a parser of `add_sampling`.
        name: of the model; the demo's where None.
        precision: where the options name none.
    """
    from synctrack.pipeline import SyncTrack

    precision = precision if arguments.precision is None else arguments.precision
    options = {"device": arguments.device, "precision": precision, "revision": arguments.revision}
    return SyncTrack.from_pretrained(name or DEFAULT_MODEL, **options)


def add_steering(parser: ArgumentParser) -> None:
    """What to play."""
    add = parser.add_argument_group("what to play").add_argument
    add("--bpm", type=float, metavar="B", help="tempo, in beats per minute")
    add("--meter", type=any_whole, metavar="N", help="beats per bar, with --bpm (default: 4)")
    text = "beats to keep: .json, .txt, .beats or .mid; none for neither drawn nor detected ones"
    add("--beats", metavar="FILE|none", help=text)
    add("--bars", metavar="N|A-B", help="length in bars; with --from, the bars that change, such as 5-8")
    add(
        "--given", nargs="+", default=[], metavar="STEM=FILE", help="stems that are there, to which the others are made"
    )
    add("--from", dest="original", metavar="SONGDIR", help="change the song in this folder")
    add(
        "--redo", nargs="+", default=[], metavar="STEM", help="with --from: play these stems again, in --bars or --span"
    )
    add("--span", metavar="A-B", help="with --from: the seconds that change, such as 4.0-8.0")
    add("--extend", type=float, metavar="S", help="with --from: go on for so many seconds")
    text = "with --from: 0 (the same) to 1 (another song), for all stems or for some, such as drums=0.2"
    add("--strength", nargs="+", metavar="X", help=text)
    add("--loop", action="store_true", help="let the end go over into the beginning")
    add("--best-of", type=any_whole, default=1, metavar="N", help="make N, keep the one whose stems keep time best")
    add(
        "--guidance",
        type=float,
        default=1.0,
        metavar="G",
        help="above 1: follow what is told more closely (default: 1)",
    )
    add(
        "--resampling",
        type=any_whole,
        default=0,
        metavar="N",
        help="evaluate each step N more times; for models without context (default: 0)",
    )
    add("--long", metavar="HOW", help="beyond the trained length: windows or whole (default: what the model can)")


def steering(arguments: Namespace) -> dict[str, Any]:
    """Settings of `SyncTrack.stream` from the options that are given.

    Raises:
        InputError: one of them cannot be read.
    """
    settings = {name: getattr(arguments, name) for name in STEERING if hasattr(arguments, name)}
    settings["seconds"] = arguments.seconds
    settings["original"] = arguments.original
    settings["given"] = _pairs("--given", arguments.given, "drums=drums.wav")
    settings["bars"] = _bars(arguments.bars, arguments.original is not None)
    settings["strength"] = _strength(arguments.strength)
    return settings


def _bars(text: str | None, original: bool) -> int | str | None:
    if text is None or original:
        return text
    if re.fullmatch(r"[0-9]{1,40}", text):
        return int(text)
    if "-" not in text[1:]:
        raise InputError(f"--bars {shortened(text)}: is not a whole number of bars")
    return text


def _pairs(option: str, items: Sequence[str], example: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not (name and equals and value):
            raise InputError(f"{option} {item}: must be like {example}")
        if name in pairs:
            raise InputError(f"{option}: names {name} twice")
        pairs[name] = value
    return pairs


def _strength(items: Sequence[str] | None) -> float | dict[str, float] | None:
    if items is None:
        return None
    if len(items) == 1 and "=" not in items[0]:
        return _number(items[0])
    return {stem: _number(value) for stem, value in _pairs("--strength", items, "drums=0.2").items()}


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"--strength {text}: is not a number from 0 to 1")
    return value
