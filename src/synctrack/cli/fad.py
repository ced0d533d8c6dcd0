"""`eval_metrics/FAD.py`: Fréchet audio distances of a folder of stems to a reference."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from synctrack.arguments import CommandParser, seed
from synctrack.cli.metric_arguments import stem_list
from synctrack.files import write_json
from synctrack.metrics.beats.layout import LAYOUTS, find_layout
from synctrack.metrics.compare import matching_notes
from synctrack.metrics.score import plain


def run_fad(description: str, argv: Sequence[str] | None = None) -> None:
    """Run the command; `description` is its help.

    Raises:
        InputError: as `frechet_folders`, `make_embedding` and `find_layout` do.
    """
    parser = CommandParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--folder", type=Path, required=True, help="stems to measure: a folder for each stem, or song")
    parser.add_argument("--reference", type=Path, required=True, help="real stems, in either layout")
    parser.add_argument("--embedding", default="mel", help="mel (default, no weights), vggish or clap")
    parser.add_argument("--weights", type=Path, help="file of the torch port for vggish, local folder for clap")
    parser.add_argument("--stems", type=stem_list, metavar="A,B", help="take these stems alone")
    parser.add_argument(
        "--subset", type=stem_list, action="append", default=[], metavar="A,B", help="sub-FAD of the sum of these"
    )
    parser.add_argument("--layout", choices=LAYOUTS, default="auto", help="of --folder (default: by the names)")
    parser.add_argument("--reference-layout", choices=LAYOUTS, default="auto", help="of --reference, likewise")
    parser.add_argument("--no-cache", action="store_true", help="neither read nor fill the cache of embeddings")
    parser.add_argument("--seed", type=seed, default=0, help="of subsets and intervals (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    arguments = parser.parse_args(argv)
    # Here and not above: help needs none of it.
    from synctrack.metrics.fad.embed import make_embedding
    from synctrack.metrics.fad.folders import frechet_folders, frechet_table

    embedding = make_embedding(arguments.embedding, arguments.weights)
    folder = find_layout(arguments.folder, arguments.layout, arguments.stems)
    reference = find_layout(arguments.reference, arguments.reference_layout, arguments.stems)
    matched = matching_notes(list(folder.stems), list(reference.stems))
    print(folder.describe(), f"reference: {reference.describe()}", *matched, sep="\n")
    rows = frechet_folders(folder, reference, embedding, arguments.subset, not arguments.no_cache, seed=arguments.seed)
    print(frechet_table(rows))
    if arguments.json:
        write_json(arguments.json, plain({"embedding": embedding.version, "matched": matched, "distances": rows}))
