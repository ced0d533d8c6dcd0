"""`synctrack check`: which stems are late, early or drifting, and `--fix` to mend them."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synctrack.arguments import CommandParser, workers
from synctrack.cli.metric_arguments import stem_list
from synctrack.errors import InputError
from synctrack.files import write_json
from synctrack.metrics.beats.layout import LAYOUTS, Layout, find_layout
from synctrack.metrics.tables import aligned

if TYPE_CHECKING:
    from synctrack.metrics.check.timing import StemTiming, Usual

DESCRIPTION = """Check the timing of every stem against the others of its song, without a beat tracker.

Findings: together; offset (late or early throughout); drifting (its tempo is another); other song (its onsets meet the
others' by chance); cannot tell (and why). An offset is the lag in the middle of the song, of a drifting stem that at
its start; above 0 a stem is late. From five songs on, the lag that a stem has in most of them, as soft attacks do, is
not counted."""

Timings = Mapping[str, Mapping[str, "StemTiming"]]


def main(argv: Sequence[str], prog: str) -> None:
    """Run the command."""
    parser = CommandParser(
        prog=prog, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("folder", type=Path, help="holds one folder of audio files for each song, or for each stem")
    parser.add_argument("--layout", choices=LAYOUTS, default="auto", help="of the folder (default: by the names)")
    parser.add_argument("--stems", type=stem_list, metavar="A,B", help="check these stems alone")
    parser.add_argument("--all", action="store_true", help="list the stems that are together as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found of every stem there")
    parser.add_argument("--no-cache", action="store_true", help="neither read nor fill the cache of onsets")
    parser.add_argument("--workers", type=workers, help="files read at once; default: one for each processor")
    parser.add_argument("--fix", type=Path, metavar="OUT", help="write the songs there, faulty stems mended")
    arguments = parser.parse_args(argv)
    layout = find_layout(arguments.folder, arguments.layout, arguments.stems)
    print(layout.describe())
    timings, usual = _check(layout, arguments.folder, not arguments.no_cache, arguments.workers)
    _print(timings, usual, arguments.all)
    lags = {stem: round(1000 * found.lag, 2) for stem, found in usual.items()}
    written = {"folder": str(arguments.folder), "usual_lags_ms": lags, "songs": _plain(timings)}
    if arguments.fix:
        written["fixed"] = _fix(layout, timings, arguments.fix, arguments.all, arguments.workers)
    if arguments.json:
        write_json(arguments.json, written)


def _check(layout: Layout, folder: Path, cache: bool, at_once: int | None) -> tuple[Timings, Mapping[str, "Usual"]]:
    # Here and not above: SciPy takes time to import, and help needs none.
    from synctrack.metrics.check.folder import check_songs
    from synctrack.metrics.onset_folder import folder_onsets, with_stems

    found = folder_onsets(layout, at_once, cache)
    songs = with_stems(found, 2)
    unreadable = [str(files[song]) for stem, files in layout.stems.items() for song in files if stem not in found[song]]
    if unreadable:
        print(f"unreadable files, left out: {_some(unreadable)}")
    if not songs:
        raise InputError(f"{folder}: no song has two readable stems ({_some(layout.songs)}): nothing to check")
    lacking = [song for song, stems in songs.items() if len(stems) < len(layout.stems)]
    if lacking:
        print(f"{len(lacking)} songs lack a stem and are checked without it: {_some(lacking)}")
    if len(songs) < len(found):
        print(f"fewer than two stems, left out: {_some([song for song in found if song not in songs])}")
    return check_songs(songs)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def _plain(timings: Timings) -> dict[str, dict[str, dict]]:
    return {song: {stem: v.as_dict() for stem, v in stems.items()} for song, stems in timings.items()}


def _print(timings: Timings, usual: Mapping[str, "Usual"], everything: bool) -> None:
    if usual:
        shown = ", ".join(f"{stem} {1000 * found.lag:+.0f} ms" for stem, found in usual.items())
        print(f"usual lags in this folder, not counted as offsets: {shown}")
    rows = [["song", "stem", "finding", "offset (ms)", "drift (%)", "confidence", ""]]
    for song, stems in timings.items():
        for stem, v in stems.items():
            if everything or v.finding != "together":
                told = v.finding in ("together", "offset", "drifting")
                numbers = [f"{1000 * v.offset:+.1f}", f"{100 * v.drift:+.2f}"] if told else ["-", "-"]
                rows.append([song, stem, v.finding, *numbers, f"{v.confidence:.2f}", v.reason])
    if len(rows) > 1:
        print(aligned(rows, left=3))
    every = [v.finding for stems in timings.values() for v in stems.values()]
    kinds = ", ".join(f"{every.count(kind)} {kind}" for kind in dict.fromkeys(every))
    print(f"{len(timings)} songs, {len(every)} stems: {kinds}")


def _fix(
    layout: Layout, timings: Timings, out: Path, everything: bool, at_once: int | None
) -> dict[str, dict[str, dict]]:
    """Mend, check again, and say what is left."""
    from synctrack.metrics.check.mend import mend_folder

    mended = mend_folder(layout, timings, out)
    print(f"{out}: {len(mended)} stems mended; checked again:")
    again, usual = _check(find_layout(out, "songs"), out, False, at_once)
    _print(again, usual, everything)
    return _plain(again)
