"""`synctrack report`: scores of a folder as one HTML page to look at and listen to, or as a figure."""

from collections.abc import Sequence
from pathlib import Path

from synctrack.arguments import number
from synctrack.cli.metric_arguments import parse
from synctrack.cli.score import score_arguments, score_parser, write_results

DESCRIPTION = """Score a folder of stems and write one HTML file: tables, distributions, matrices of stems, the songs
from worst to best, and a player of their stems. It opens from disk and needs no network."""
MOST_MB = 1000.0


def main(argv: Sequence[str], prog: str) -> None:
    """Run the command."""
    parser = score_parser(DESCRIPTION, prog)
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="the page (default: %(default)s)")
    parser.add_argument(
        "--max-mb", type=number(0, MOST_MB), default=40.0, metavar="N", help="of audio in it (default: 40)"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the scores as .png, .svg or .pdf as well")
    arguments = parse(parser, argv)
    # Here and not above: help needs neither templates nor plots.
    from synctrack.report.figures import check_suffix, plot_scores
    from synctrack.report.page.write import report_scored

    if arguments.plot:
        check_suffix(arguments.plot)
    scored = score_arguments(arguments)
    report_scored(arguments.out, scored, arguments.folder, arguments.max_mb)
    print(arguments.out)
    if arguments.plot:
        plot_scores(arguments.plot, scored.result)
        print(arguments.plot)
    write_results(arguments, scored.result)
