"""`synctrack generate`: songs from a trained model, one folder of stems for each clip."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synctrack.arguments import CommandParser, whole
from synctrack.bounds import LARGEST_SEED
from synctrack.cli.steering_arguments import (
    DEFAULT_PRECISION,
    add_output,
    add_sampling,
    add_steering,
    check_output,
    load_model,
    steering,
)
from synctrack.errors import InputError
from synctrack.locks import locked
from synctrack.manifest import claim

if TYPE_CHECKING:
    from synctrack.generation.production import Production
    from synctrack.pipeline import SyncTrack

logger = logging.getLogger(__name__)

REPORT = "report.html"
SAMPLING = ("sampler", "steps", "eta")
AS_IT_WAS = (*SAMPLING, "seed", "clips", "batch_size")
"""Options that --again takes from the song."""


def main(argv: Sequence[str], prog: str) -> None:
    """Run the command; clips that are there already, with the same settings, are kept."""
    parser = _parser(prog)
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # Here and not above: torch takes seconds to import, and help needs none.
    from synctrack.generation.request import Request

    check_output(arguments)
    if arguments.report:
        # Here and not above: most do not ask for it. A tracker that is missing is found before hours of generation.
        from synctrack.metrics.beats.trackers import TRACKERS, make_tracker

        make_tracker(next(iter(TRACKERS)))
    asked = steering(arguments)
    request = Request(**asked)
    if arguments.again is None:
        _generate(arguments, asked)
        return
    changed = [name for name in AS_IT_WAS if getattr(arguments, name) != parser.get_default(name)]
    if changed or request.asked:
        raise InputError(f"--again: makes the song as it was; leave out {', '.join([*changed, *request.asked])}")
    _again(arguments)


def _generate(arguments: argparse.Namespace, asked: dict[str, Any]) -> None:
    model = load_model(arguments, arguments.model)
    settings = {name: getattr(arguments, name) for name in SAMPLING}
    # Refuse wrong settings before the folder is claimed.
    checked = model.check(**settings, **asked)
    if arguments.seed is None:
        arguments.seed = _free_seed(checked.plan.original_key)
    made_with = {
        "seconds": arguments.seconds,
        **settings,
        "seed": arguments.seed,
        "model_sha256": model.checkpoint.sha256,
        "precision": model.precision,
        **{key: value for key, value in checked.described.items() if key != "seconds"},
        **_files(arguments),
    }
    out = Path(arguments.out)
    with locked(out):
        claim(out, made_with, "choose another --out")
        _write_missing(arguments, model, checked, [out / f"clip_{clip:03d}" for clip in range(arguments.clips)])
        _report(arguments)


def _files(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options that decide the files of a song, which are not to be mixed in a folder."""
    return {key: getattr(arguments, key) for key in ("format", "daw", "sample_rate") if getattr(arguments, key)}


def _free_seed(original_key: tuple[Any, Any] | None) -> int:
    """The seed where none is asked for: 0, or the one after that of the original, whose noise would make it again."""
    seed = original_key[0] if original_key else None
    if type(seed) is not int or not 0 <= seed < LARGEST_SEED:
        return 0
    logger.info("seed %d, as the original has %d", seed + 1, seed)
    return seed + 1


def _write_missing(arguments: argparse.Namespace, model: SyncTrack, checked: Production, folders: list[Path]) -> None:
    """Generate the clips that are not there yet, whole, and print the folders of all."""
    from synctrack.generation.song import is_whole

    missing = [clip for clip, folder in enumerate(folders) if not is_whole(folder)]
    if len(missing) < len(folders):
        logger.info("%d of %d clips are there already", len(folders) - len(missing), len(folders))
    if missing:
        keys = [(arguments.seed, clip) for clip in missing]
        songs = model.produce(checked, keys, batch_size=arguments.batch_size, progress=True)
        for clip, song in zip(missing, songs, strict=True):
            song.save(folders[clip], arguments.format, daw=arguments.daw, sample_rate=arguments.sample_rate)
    for folder in folders:
        print(folder)


def _report(arguments: argparse.Namespace) -> None:
    """With --report: score the clips, and write the page into their folder."""
    if arguments.report:
        # Here and not above: most do not ask for it.
        from synctrack.metrics.score import score_files
        from synctrack.report.page.write import report_scored

        out = Path(arguments.out)
        report_scored(out / REPORT, score_files(out, layout="songs"), out)
        print(out / REPORT)


def _again(arguments: argparse.Namespace) -> None:
    """Make one song again, with the model and the settings that its `song.json` names."""
    from synctrack.checkpoint.pretrained import find_recorded
    from synctrack.generation.record import recorded_model
    from synctrack.generation.song import load_song

    song = load_song(arguments.again)
    name = arguments.model or find_recorded(recorded_model(song, arguments.again), song.info["model"].get("sha256"))
    model = load_model(arguments, name, str(song.info.get("precision", DEFAULT_PRECISION)))
    if song.info.get("device", model.device.type) != model.device.type:
        logger.warning("%s: was made on %s; samples may differ", arguments.again, song.info["device"])
    out = Path(arguments.out)
    with locked(out):
        made_of = {"again": str(Path(arguments.again).resolve())}
        claim(out, made_of | _files(arguments), "choose another --out")
        song = model.remake(arguments.again, progress=True)
        print(song.save(out / "clip_000", arguments.format, daw=arguments.daw, sample_rate=arguments.sample_rate))
    _report(arguments)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = CommandParser(prog=prog, description="Generate songs: DIR/clip_000/{bass,drums,…,mix}.wav.")
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="folder for the clips; complete ones in it are kept")
    add("--clips", type=whole(1, 100_000), default=1, metavar="N", help="how many (default: 1)")
    add("--seconds", type=float, metavar="S", help="length of a clip (default: what the model was trained on)")
    add("--again", metavar="SONGDIR", help="make the song in this folder again, as its song.json says")
    add("--report", action="store_true", help="score the clips too (needs madmom), and write DIR/report.html")
    seeded = "clip i depends on the seed and i alone (default: 0; with --from, the one after the original's)"
    add_sampling(parser, seeded=seeded)
    parser.set_defaults(seed=None)
    add_output(parser)
    add_steering(parser)
    return parser
