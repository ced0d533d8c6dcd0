"""`synctrack report`: scores of a folder as one HTML page to look at and listen to, or as a figure."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synctrack.arguments import CommandParser, number
from synctrack.cli.metric_arguments import stem_list
from synctrack.documents import read_json
from synctrack.errors import InputError
from synctrack.manifest import MANIFEST
from synctrack.metrics.beats.layout import LAYOUTS, find_layout
from synctrack.metrics.beats.trackers import DEFAULT_TRACKER, TRACKERS
from synctrack.metrics.score import score_folder

DESCRIPTION = """Score a folder of stems and write one HTML file: tables, distributions, matrices of stems, the songs
from worst to best, and a player of their stems. It opens from disk and needs no network."""
MOST_MB = 1000.0


def main(argv: Sequence[str], prog: str) -> None:
    """Run the command."""
    parser = CommandParser(
        prog=prog, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("folder", type=Path, help="holds one folder of audio files for each song, or for each stem")
    parser.add_argument("--reference", type=Path, help="folder of the targets, compared and played song by song")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="the page (default: %(default)s)")
    parser.add_argument(
        "--max-mb", type=number(0, MOST_MB), default=40.0, metavar="N", help="of audio in it (default: 40)"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the scores as .png, .svg or .pdf as well")
    parser.add_argument("--layout", choices=LAYOUTS, default="auto", help="of the folder (default: by the names)")
    parser.add_argument("--stems", type=stem_list, metavar="A,B", help="take these stems alone")
    parser.add_argument("--tracker", choices=TRACKERS, default=DEFAULT_TRACKER, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    # Here and not above: help needs neither templates nor plots.
    from synctrack.report.page.write import write_page

    folder = find_layout(arguments.folder, arguments.layout, arguments.stems)
    reference = find_layout(arguments.reference, "auto", arguments.stems) if arguments.reference else None
    protocol = "both" if arguments.tracker == DEFAULT_TRACKER else "corrected"
    result = score_folder(
        arguments.folder,
        arguments.reference,
        protocol,
        tracker=arguments.tracker,
        layout=arguments.layout,
        stems=arguments.stems,
    )
    write_page(arguments.out, result, folder, reference, _made(arguments.folder), arguments.max_mb)
    print(arguments.out)
    if arguments.plot:
        from synctrack.report.figures import plot_scores

        plot_scores(arguments.plot, result)
        print(arguments.plot)


def _made(folder: Path) -> dict[str, Any] | None:
    """What the folder's manifest says of its making; None where there is none."""
    try:
        manifest = read_json(folder / MANIFEST, {str: object})
    except InputError:
        return None
    return {key: value for key, value in manifest.items() if key != "clips"}
