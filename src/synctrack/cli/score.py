"""`synctrack score` and `eval_metrics/score.py`: all metrics of a folder of stems as tables, JSON and CSV."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from synctrack.arguments import seed
from synctrack.cli.metric_arguments import add_fad, fad_embedding, metric_parser, parse, read_arguments, window_size
from synctrack.errors import InputError
from synctrack.files import write_json
from synctrack.metrics.beats.layout import LAYOUTS
from synctrack.metrics.beats.types import StemBeats
from synctrack.metrics.cbs import WINDOW_SIZE
from synctrack.metrics.faults import out_of_time
from synctrack.metrics.long_csv import write_csv
from synctrack.metrics.score import Scored, add_frechet, plain, score_sides
from synctrack.metrics.tables import counts_line, frechet_title, matrix_table, notes, stem_table, table, truth_table
from synctrack.metrics.truth import read_truth, require_truth, score_truth

DESCRIPTION = """Score the rhythm of stems from any system.

IRS: how steady each stem's beat is, in seconds (lower is better). CBS: how often the stems have their beats together,
0 to 1 (higher is better). CBD: how far apart paired beats lie, in half beats (lower is better)."""


def main(argv: Sequence[str], prog: str) -> None:
    """Run the command."""
    run_score(DESCRIPTION, argv, prog)


def score_parser(description: str, prog: str | None) -> ArgumentParser:
    """The options of `synctrack score`; `synctrack report` has them too."""
    parser = metric_parser(description, "both", prog)
    add = parser.add_argument
    add("--reference", type=Path, help="folder of stems (or file of beats) to compare with, song by song")
    add("--reference-layout", choices=LAYOUTS, default="auto", help="of the reference, as --layout is of the folder")
    add("--truth", type=Path, help="known beats: a folder of songs' beats.json, .beats, .txt or MIDI, or one such file")
    add("--window_size", type=window_size, default=WINDOW_SIZE, help="of CBS, seconds (default: %(default)s)")
    add("--seed", type=seed, default=0, help="of the intervals and the chance column (default: 0)")
    add_fad(parser)
    add("--json", type=Path, metavar="FILE", help="write everything there, beat times included")
    add("--csv", type=Path, metavar="FILE", help="write one line for each value: song, stem, pair, metric, protocol")
    return parser


def _read_reference(arguments: Namespace, protocols: Sequence[str]) -> StemBeats:
    """The beats of --reference, in the protocols of the beats that it stands beside."""
    source = {"beats": arguments.reference} if arguments.reference.is_file() else {"folder": arguments.reference}
    settings = {**vars(arguments), "folder": None, "beats": None, "layout": arguments.reference_layout, **source}
    reference = read_arguments(Namespace(**settings))
    if set(protocols) - set(reference.protocols):
        raise InputError(f"--reference {arguments.reference}: has no beats in protocol {' and '.join(protocols)}")
    return replace(reference, protocols=protocols)


def _add_truth(result: dict[str, Any], beats: StemBeats, path: Path) -> None:
    result["truth"] = plain({"path": str(path), **score_truth(beats, read_truth(path, beats.songs))})


def _print(result: dict[str, Any]) -> None:
    if result["layout"]:
        print(result["layout"])
    print(table(result))
    print(*notes(result), sep="\n")
    print(counts_line(result))
    print(*out_of_time(result), sep="\n")
    print()
    print(stem_table(result))
    if "frechet" in result:
        # Here and not above: it is rarely asked for.
        from synctrack.metrics.fad.folders import frechet_table

        print(f"\n{frechet_title(result)}\n{frechet_table(result['frechet']['distances'])}")
    if "truth" in result:
        print()
        print(truth_table(result["truth"]))
    protocol, values = next(iter(result["protocols"].items()))
    for name, title in (("cbs", "CBS"), ("lag", "lag (s)")):
        print()
        print(matrix_table(result["stems"], values["matrices"][name], f"{title}, {protocol}"))


def run_score(description: str, argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """All metrics as tables, and as JSON and CSV.

    Args:
        description: of the command's help.
        argv: arguments, without the program's name; those of the process by default.
        prog: the command's name in its help.
    """
    arguments = parse(score_parser(description, prog), argv)
    scored = score_arguments(arguments)
    _print(scored.result)
    write_results(arguments, scored.result)


def score_arguments(arguments: Namespace) -> Scored:
    """Score what a command line of `score_parser` asks for.

    Raises:
        InputError: as `score_files`.
    """
    embedding = fad_embedding(arguments)
    if arguments.truth:
        require_truth(arguments.truth)
    beats = read_arguments(arguments)
    source = str(arguments.folder or arguments.beats)
    reference = _read_reference(arguments, tuple(beats.protocols)) if arguments.reference else None
    options = {name: getattr(arguments, name) for name in ("window_size", "seed", "workers")}
    options["cache"] = not arguments.no_cache
    result = score_sides(beats, source, reference, str(arguments.reference), **options)
    if embedding is not None:
        add_frechet(result, beats, reference, embedding, arguments.fad_subset, not arguments.no_cache)
    if arguments.truth:
        _add_truth(result, beats, arguments.truth)
    return Scored(result, beats.readable, reference.readable if reference else None)


def write_results(arguments: Namespace, result: dict[str, Any]) -> None:
    """Write the files that --json and --csv name."""
    if arguments.json:
        write_json(arguments.json, result)
    if arguments.csv:
        write_csv(arguments.csv, result)
