"""`synctrack generate`: songs from a trained model, one folder of stems for each clip."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synctrack.errors import InputError

logger = logging.getLogger(__name__)


def main(argv: Sequence[str], prog: str) -> None:
    """Run the command; clips that are there already, with the same settings, are kept."""
    arguments = _parser(prog).parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # Here and not above: torch takes seconds to import, and help needs none.
    from synctrack.generation.song import FILE_FORMATS, SONG_FILE
    from synctrack.manifest import claim
    from synctrack.pipeline import SyncTrack

    if arguments.format not in FILE_FORMATS:
        raise InputError(f"--format {arguments.format}: must be one of {', '.join(FILE_FORMATS)}")
    if arguments.clips < 1:
        raise InputError(f"--clips {arguments.clips}: is not 1 or more")
    model = SyncTrack.from_pretrained(
        arguments.model, device=arguments.device, precision=arguments.precision, revision=arguments.revision
    )
    settings = {name: getattr(arguments, name) for name in ("seconds", "sampler", "steps", "eta")}
    made_with = {
        **settings,
        "seed": arguments.seed,
        "model_sha256": model.checkpoint.sha256,
        "precision": arguments.precision,
        "format": arguments.format,
    }
    # Refuse wrong settings before the folder is claimed.
    model.check(**settings)
    out = Path(arguments.out)
    claim(out, made_with, "choose another --out")
    folders = [out / f"clip_{clip:03d}" for clip in range(arguments.clips)]
    missing = [clip for clip, folder in enumerate(folders) if not (folder / SONG_FILE).is_file()]
    if len(missing) < len(folders):
        logger.info("%d of %d clips are there already", len(folders) - len(missing), len(folders))
    if missing:
        keys = [(arguments.seed, clip) for clip in missing]
        songs = model.stream(keys, **settings, batch_size=arguments.batch_size, progress=True)
        for clip, song in zip(missing, songs, strict=True):
            song.save(folders[clip], arguments.format)
    for folder in folders:
        print(folder)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Generate songs: DIR/clip_000/{bass,drums,…,mix}.wav.")
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="folder for the clips; complete ones in it are kept")
    add("--model", default="demo", help="demo, a checkpoint, a run folder, or owner/name on the Hub (default: demo)")
    add("--revision", help="branch, tag or commit of a model on the Hub")
    add("--clips", type=_whole, default=1, metavar="N", help="how many (default: 1)")
    add("--seed", type=_whole, default=0, metavar="N", help="clip i depends on the seed and i alone (default: 0)")
    add("--seconds", type=float, metavar="S", help="length of a clip (default: what the model was trained on)")
    add("--sampler", default="dpmpp_2m_sde", metavar="NAME", help="dpmpp_2m_sde (default), dpmpp_2m or ddim")
    add("--steps", type=_whole, default=20, metavar="N", help="calls of the U-Net (default: 20)")
    add("--eta", type=float, metavar="X", help="of ddim alone: 0 is deterministic, 1 (default) the noisiest")
    add("--format", default="wav16", metavar="F", help="wav16 (default), wav24, float or flac")
    add("--batch-size", type=_whole, metavar="N", help="clips at once (default: 1 on a CPU, 8 on a GPU)")
    add("--device", default="auto", metavar="D", help="auto (default), cpu, cuda, cuda:1 or mps")
    add("--precision", default="float32", metavar="P", help="float32 (default), bfloat16 or float16 (GPU)")
    return parser


def _whole(text: str) -> Any:
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number") from error
