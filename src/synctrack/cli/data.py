"""The commands that make data sets: `synctrack data COMMAND`, or `python prepare_data.py COMMAND`."""

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from synctrack.arguments import CommandParser, number, seed, whole, workers
from synctrack.audio.beats import LONGEST_SECONDS
from synctrack.audio.files import MOST_SECONDS
from synctrack.cli.metric_arguments import add_tracker
from synctrack.config import MAX_SECONDS, add_config_arguments, config_of
from synctrack.data.shards import Shard
from synctrack.data.songs import SongReport
from synctrack.data.sources import grooves, midi, slakh
from synctrack.metrics.beats.song_beats import track_songs
from synctrack.metrics.beats.trackers import make_tracker

DESCRIPTION = "Make data sets for training. COMMAND --help tells what each command needs."


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """`synctrack data` and `prepare_data.py`: make a data set, or the latents of one."""
    parser = CommandParser(prog=prog, description=DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_synthetic(commands.add_parser("synthetic", help="procedural songs with known beats; needs nothing"))
    _add_midi(commands.add_parser("midi", help="a folder of MIDI files; needs FluidSynth and a soundfont"))
    _add_slakh(commands.add_parser("slakh", help="Slakh2100, raw or redux"))
    _add_beats(commands.add_parser("beats", help="beats.json of songs that have none, by a beat tracker"))
    _add_latents(commands.add_parser("latents", help="pre-encoded latents of a data set, for training without audio"))
    arguments = vars(parser.parse_args(argv))
    run = arguments.pop("run")
    report = run(**arguments)
    _print(report)
    if report.left_out["with missing stems"] and arguments.get("missing_stem") == "skip":
        print("to keep songs that lack a stem: --missing-stem silent; to map instruments differently: --stem-map FILE")


def _add_synthetic(parser: argparse.ArgumentParser) -> None:
    _add_common(parser)
    parser.add_argument("--songs", type=whole(1, grooves.MOST_SONGS), required=True)
    parser.add_argument(
        "--seconds", type=number(1, MOST_SECONDS), default=60.0, help="length of each song (%(default)s)"
    )
    parser.add_argument("--seed", type=seed, default=0, help="the same seed makes the same songs (%(default)s)")
    parser.add_argument(
        "--stems", "--tracks", nargs="+", default=grooves.DEFAULT_STEMS, help=f"some of {' '.join(grooves.STEMS)}"
    )
    parser.add_argument(
        "--meter",
        dest="meters",
        type=whole(1, 64),
        nargs="+",
        default=grooves.METERS,
        help=f"beats per bar, one or more (default: {' '.join(map(str, grooves.METERS))})",
    )
    parser.add_argument(
        "--bpm",
        type=number(grooves.SLOWEST, grooves.FASTEST),
        nargs=2,
        default=grooves.BPM_RANGE,
        help="lowest and highest (70 160)",
    )
    parser.add_argument(
        "--drift", type=number(0, 0.499), default=0.0, help="share by which the tempo wanders, such as 0.05"
    )
    parser.set_defaults(run=grooves.write_grooves)


def _add_midi(parser: argparse.ArgumentParser) -> None:
    _add_common(parser)
    _add_stem_choice(parser)
    parser.add_argument("--midi", required=True, help="folder of MIDI files, searched recursively")
    parser.add_argument("--soundfont", default=midi.DEFAULT_SOUNDFONT, help="SF2 or SF3 file (%(default)s)")
    seconds = "longer songs are left out before they are rendered (%(default)s)"
    parser.add_argument("--max-seconds", type=number(1, LONGEST_SECONDS), default=MAX_SECONDS, help=seconds)
    _add_shard(parser)
    parser.set_defaults(run=midi.write_midi)


def _add_slakh(parser: argparse.ArgumentParser) -> None:
    _add_common(parser)
    _add_stem_choice(parser)
    parser.add_argument("--root", required=True, help=f"folder that holds {', '.join(slakh.SPLITS)}")
    of_slakh = f"such as train test, or omitted (default: {' '.join(slakh.SPLITS)})"
    parser.add_argument("--split", dest="splits", nargs="+", default=slakh.SPLITS, help=of_slakh)
    parser.add_argument("--format", dest="file_format", choices=("wav", "flac"), default="wav", help="(%(default)s)")
    _add_shard(parser)
    parser.set_defaults(run=slakh.write_slakh)


def _add_beats(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="holds a folder of WAV or FLAC files for each song")
    add_tracker(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace beats.json where a song has one")
    parser.add_argument("--workers", type=workers, help="songs at once (one for each CPU core)")
    parser.set_defaults(run=_track_beats)


def _track_beats(folder: str, tracker: str, weights: Path | None, overwrite: bool, workers: int | None) -> SongReport:
    songs = track_songs(folder, make_tracker(tracker, weights), overwrite=overwrite, workers=workers)
    left_out = Counter({"with too few beats": len(songs.too_few), "unreadable": len(songs.unreadable)})
    kept = f"{len(songs.kept)} songs had a beats.json and keep it; --overwrite replaces it"
    return SongReport(
        songs=len(songs.tracked) + len(songs.kept),
        left_out=+left_out,
        lines=[*songs.too_few.values(), *songs.unreadable.values()],
        notes=[kept] if songs.kept else [],
    )


def _add_latents(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    _add_out(parser)
    shifts = "stored shifts of each segment, from which training draws (%(default)s)"
    parser.add_argument("--offsets", type=whole(1, 1024), default=8, help=shifts)
    _add_shard(parser)
    parser.set_defaults(run=_write_latents)


def _write_latents(config: list[str], overrides: list[str], out: str, offsets: int, shard: Shard | None) -> SongReport:
    # Imported here, since the networks take seconds to import and the other commands need none.
    from synctrack.data.latents.encoding import write_latents

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return write_latents(config_of(config, overrides), out, offsets, shard)


def _add_shard(parser: argparse.ArgumentParser) -> None:
    share = "make the I-th of N shares of the songs, such as 3/16; the last to finish completes the folder"
    parser.add_argument("--shard", type=Shard.parse, metavar="I/N", help=share)


def _add_stem_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--missing-stem", choices=("skip", "silent"), default="skip", help="songs that lack one")
    parser.add_argument("--stem-map", help="YAML file with a line for each stem, such as `strings: [Strings]`")


def _add_common(parser: argparse.ArgumentParser) -> None:
    _add_out(parser)
    parser.add_argument(
        "--rate",
        dest="sample_rate",
        type=whole(grooves.LOWEST_RATE, grooves.HIGHEST_RATE),
        default=16000,
        help="Hz (%(default)s)",
    )
    parser.add_argument("--workers", type=workers, help="processes (one for each CPU core)")


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, help="folder to create; complete songs in it are kept")


def _print(report: SongReport) -> None:
    for line in [*report.lines, *report.notes]:
        print(line)
    print(report)
