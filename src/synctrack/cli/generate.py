"""`synctrack generate`: songs from a trained model, one folder of stems for each clip."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from synctrack.cli.steering_arguments import add_output, add_sampling, add_steering, steering, whole
from synctrack.errors import InputError

logger = logging.getLogger(__name__)

SAMPLING = ("sampler", "steps", "eta")


def main(argv: Sequence[str], prog: str) -> None:
    """Run the command; clips that are there already, with the same settings, are kept."""
    arguments = _parser(prog).parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # Here and not above: torch takes seconds to import, and help needs none.
    from synctrack.generation.daw import check_rate
    from synctrack.generation.request import Request
    from synctrack.generation.song import FILE_FORMATS, SONG_FILE
    from synctrack.manifest import claim
    from synctrack.pipeline import SyncTrack

    if arguments.format not in FILE_FORMATS:
        raise InputError(f"--format {arguments.format}: must be one of {', '.join(FILE_FORMATS)}")
    if arguments.sample_rate is not None:
        check_rate(arguments.sample_rate)
    if arguments.clips < 1:
        raise InputError(f"--clips {arguments.clips}: is not 1 or more")
    asked = steering(arguments)
    Request(**asked)
    model = SyncTrack.from_pretrained(
        arguments.model, device=arguments.device, precision=arguments.precision, revision=arguments.revision
    )
    settings = {name: getattr(arguments, name) for name in SAMPLING}
    # Refuse wrong settings before the folder is claimed.
    checked = model.check(**settings, **asked)
    made_with = {
        "seconds": arguments.seconds,
        **settings,
        "seed": arguments.seed,
        "model_sha256": model.checkpoint.sha256,
        "precision": arguments.precision,
        "format": arguments.format,
        **{key: value for key, value in checked.described.items() if key != "seconds"},
        **{key: getattr(arguments, key) for key in ("daw", "sample_rate") if getattr(arguments, key)},
    }
    out = Path(arguments.out)
    claim(out, made_with, "choose another --out")
    folders = [out / f"clip_{clip:03d}" for clip in range(arguments.clips)]
    missing = [clip for clip, folder in enumerate(folders) if not (folder / SONG_FILE).is_file()]
    if len(missing) < len(folders):
        logger.info("%d of %d clips are there already", len(folders) - len(missing), len(folders))
    if missing:
        keys = [(arguments.seed, clip) for clip in missing]
        songs = model.produce(checked, keys, batch_size=arguments.batch_size, progress=True)
        for clip, song in zip(missing, songs, strict=True):
            song.save(folders[clip], arguments.format, daw=arguments.daw, sample_rate=arguments.sample_rate)
    for folder in folders:
        print(folder)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Generate songs: DIR/clip_000/{bass,drums,…,mix}.wav.")
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="folder for the clips; complete ones in it are kept")
    add("--clips", type=whole, default=1, metavar="N", help="how many (default: 1)")
    add("--seconds", type=float, metavar="S", help="length of a clip (default: what the model was trained on)")
    add_sampling(parser)
    add_output(parser)
    add_steering(parser)
    return parser
