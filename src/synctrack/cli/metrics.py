"""The commands of the metrics: `synctrack score`, and the published scripts IRS.py, CBS.py and CBD.py."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from synctrack.cli.metric_arguments import (
    metric_arguments,
    metric_parser,
    parse,
    print_values,
    read_arguments,
    window_size,
)
from synctrack.errors import InputError
from synctrack.files import write_json
from synctrack.metrics.beats.types import StemBeats
from synctrack.metrics.cbd import cbd
from synctrack.metrics.cbs import WINDOW_SIZE, cbs
from synctrack.metrics.irs import irs
from synctrack.metrics.score import score_beats
from synctrack.metrics.tables import counts_line, table, write_csv


def run_irs(description: str) -> None:
    """`eval_metrics/IRS.py`: the published script, with `description` as its help."""
    arguments = metric_arguments(description)
    beats = read_arguments(arguments)
    for protocol in beats.protocols:
        result = irs(beats.by_stem(protocol))
        rows = {f"interval_std {stem}": value for stem, value in result.stem_interval_std.items()}
        rows |= {"avg_interval_std": result.avg_interval_std, "avg_interval_mean": result.avg_interval_mean}
        print_values(protocol, rows)


def run_cbs(description: str) -> None:
    """`eval_metrics/CBS.py`: the published script, with `description` as its help."""
    arguments = metric_arguments(description, {"--window_size": {"type": window_size, "default": WINDOW_SIZE}})
    beats = read_arguments(arguments)
    for protocol in beats.protocols:
        result = cbs(beats.by_song(protocol), beats.durations, arguments.window_size)
        print_values(protocol, {"mean_beat_ratio": result.mean_beat_ratio})


def run_cbd(description: str) -> None:
    """`eval_metrics/CBD.py`: the published script, with `description` as its help."""
    arguments = metric_arguments(description)
    beats = read_arguments(arguments)
    for protocol in beats.protocols:
        result = cbd(beats.by_song(protocol))
        values = {
            "coverage": result.coverage,
            "avg_std_error": result.avg_std_error,
            "avg_error": result.avg_error,
            "avg_median_error": result.avg_median_error,
        }
        print_values(protocol, values)


def _read_reference(arguments: Namespace, protocols: tuple[str, ...]) -> StemBeats:
    """The beats of --reference, in the protocols of the beats that it stands beside."""
    source = {"beats": arguments.reference} if arguments.reference.is_file() else {"folder": arguments.reference}
    reference = read_arguments(Namespace(**{**vars(arguments), "folder": None, "beats": None, **source}))
    if set(protocols) - set(reference.protocols):
        raise InputError(f"--reference {arguments.reference}: has no beats in protocol {' and '.join(protocols)}")
    return replace(reference, protocols=protocols)


def run_score(description: str, argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """`synctrack score` and `eval_metrics/score.py`: all metrics as a table, and as JSON and CSV.

    Args:
        description: of the command's help.
        argv: arguments, without the program's name; those of the process by default.
        prog: the command's name in its help.
    """
    parser = metric_parser(description, "both", prog)
    parser.add_argument("--reference", type=Path, help="folder of stems (or file of beats) to compare with")
    parser.add_argument(
        "--window_size", type=window_size, default=WINDOW_SIZE, help="of CBS, seconds (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the intervals and the chance column (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, beat times included")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write one row for each song there")
    arguments = parse(parser, argv)
    beats = read_arguments(arguments)
    result = {
        "folder": str(arguments.folder or arguments.beats),
        **score_beats(beats, arguments.window_size, arguments.seed),
    }
    if arguments.reference:
        reference = _read_reference(arguments, tuple(beats.protocols))
        scores = score_beats(reference, arguments.window_size, arguments.seed)
        result["reference"] = {"folder": str(arguments.reference), **scores}
    print(table(result))
    print(counts_line(result))
    if arguments.json:
        write_json(arguments.json, result)
    if arguments.csv:
        write_csv(arguments.csv, result)
