"""How much faster score.py is than the baseline: madmom's processors in one process, once for each metric.

Both run as commands, start-up included, on stems that the benchmark makes itself. The baseline would take half an
hour for 80 songs, and its time is a sum over files; so it is measured on --plain_songs of them and its time per file
is scaled up, its start-up is not. score.py runs on all songs with an empty beat cache, once with its machine code
still to be compiled (the first run after installation) and once without. The ratio of processor seconds, which other
work on the machine does not affect, is in brackets; its difference to the first ratio is due to the second processor.
`synctrack check` runs on the same songs; its time is given as a share of that of score.py. --no_plain leaves the
baseline out.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile
from tqdm import tqdm

from synctrack.errors import run_command
from synctrack.metrics.beats.layout import find_layout
from synctrack.metrics.beats.types import PROTOCOL_FPS
from synctrack.metrics.cbd import cbd
from synctrack.metrics.cbs import cbs
from synctrack.metrics.irs import irs

SECONDS = 10.24
METRICS = ("IRS", "CBS", "CBD")
CHECK = "from synctrack.cli.main import main; main()"
SCORE = Path(__file__).resolve().parent.parent / "eval_metrics" / "score.py"


def make_stems(folder: Path, songs: int, sample_rate: int) -> None:
    """Write grooves as stem_0 … stem_3, 16-bit WAV."""
    from synctrack.data.sources.grooves import render_groove

    for song in tqdm(range(songs), desc="stems", unit="song", disable=None):
        for number, samples in enumerate(render_groove(song, SECONDS, sample_rate).stems.values()):
            path = folder / f"stem_{number}" / f"groove{song:03d}_from_0.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, samples, sample_rate)


def score_baseline(folder: Path, metric: str) -> None:
    """One metric in protocol `paper` with madmom's own processors; prints the value and the seconds of the loop."""
    from synctrack.metrics.beats.madmom.models import import_madmom

    import_madmom()
    from madmom.features.downbeats import DBNDownBeatTrackingProcessor, RNNDownBeatProcessor

    find_activations = RNNDownBeatProcessor()
    options = {"beats_per_bar": [3, 4], "min_bpm": 30, "max_bpm": 300, "transition_lambda": 100}
    decode = DBNDownBeatTrackingProcessor(fps=PROTOCOL_FPS["paper"], **options)
    begin = time.perf_counter()
    stems = {
        stem: {song: decode(find_activations(str(path)))[:, 0] for song, path in songs.items()}
        for stem, songs in find_layout(folder).stems.items()
    }
    seconds = time.perf_counter() - begin
    songs = {song: [beats[song] for beats in stems.values()] for song in next(iter(stems.values()))}
    values = {
        "IRS": lambda: irs({stem: list(beats.values()) for stem, beats in stems.items()}).avg_interval_std,
        "CBS": lambda: cbs(songs, dict.fromkeys(songs, SECONDS)).mean_beat_ratio,
        "CBD": lambda: cbd(songs).avg_error,
    }
    print(json.dumps({"value": values[metric](), "seconds": seconds}))


def processor_seconds() -> float:
    """Of the commands that have ended; always 0 on Windows."""
    times = os.times()
    return times.children_user + times.children_system


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Run a command; its seconds, its processor seconds and what it printed."""
    begin, busy = time.perf_counter(), processor_seconds()
    done = subprocess.run(command, env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE, text=True)
    return time.perf_counter() - begin, processor_seconds() - busy, done.stdout


def time_baseline(folder: Path, plain_songs: int, songs: int) -> tuple[float, float]:
    """Seconds and processor seconds that the baseline takes for `songs` songs, from `plain_songs` in `folder`."""
    total = total_busy = 0.0
    for metric in METRICS:
        wall, busy, printed = timed([sys.executable, __file__, "--plain", str(folder), metric], {})
        result = json.loads(printed)
        startup = wall - result["seconds"]
        total += startup + result["seconds"] * songs / plain_songs
        total_busy += busy * songs / plain_songs
        per_file = result["seconds"] / plain_songs / 4
        print(f"plain {metric}: {result['value']:.4f}, start-up {startup:.1f} s, {per_file:.2f} s a file")
    print(f"baseline, {songs} songs: {total:.0f} s")
    return total, total_busy


def print_shares(folder: Path) -> None:
    """Print the share of time of each step of the tracker, one file after the other in one thread."""
    from threadpoolctl import threadpool_limits

    from synctrack.metrics.beats.madmom.dbn import decode_beats
    from synctrack.metrics.beats.madmom.decoding import as_madmom_reads, decode
    from synctrack.metrics.beats.madmom.features import features
    from synctrack.metrics.beats.madmom.lstm import activations

    stages = {"decoding": 0.0, "features": 0.0, "networks": 0.0, "best paths": 0.0}
    paths = sorted(folder.rglob("*.wav"))

    def clock(stage: str, function, *arguments):
        begin = time.perf_counter()
        result = function(*arguments)
        stages[stage] += time.perf_counter() - begin
        return result

    with threadpool_limits(1):
        decode_beats(activations(features(as_madmom_reads(decode(paths[0])))), 100.0)
        for path in paths:
            samples = clock("decoding", lambda path: as_madmom_reads(decode(path)), path)
            inputs = clock("features", features, samples)
            activation = clock("networks", activations, inputs)
            for fps in PROTOCOL_FPS.values():
                clock("best paths", decode_beats, activation, fps)
    total = sum(stages.values())
    shares = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in stages.items())
    print(f"of {total / len(paths) * 1e3:.0f} ms a file in one thread, both protocols: {shares}")


def print_check(folder: Path, environment: dict[str, str], score: float, score_busy: float) -> None:
    """Print the seconds of `synctrack check`, as a share of those of score.py; of processor seconds in brackets."""
    seconds, busy, _ = timed([sys.executable, "-c", CHECK, "check", str(folder)], environment)
    share = busy / score_busy if score_busy else float("nan")
    print(f"synctrack check: {seconds:.1f} s, {seconds / score:.0%} of score.py ({share:.0%})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=80, help="of four stems each (default: %(default)s)")
    parser.add_argument("--plain_songs", type=int, default=4, help="for the baseline (default: %(default)s)")
    parser.add_argument("--no_plain", action="store_true", help="do not run the baseline")
    parser.add_argument("--sample_rate", type=int, default=44100, help="other than 44100, the baseline needs ffmpeg")
    parser.add_argument("--plain", nargs=2, metavar=("FOLDER", "METRIC"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        score_baseline(Path(arguments.plain[0]), arguments.plain[1])
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder, few = Path(temporary) / "stems", Path(temporary) / "few"
        make_stems(folder, arguments.songs, arguments.sample_rate)
        make_stems(few, arguments.plain_songs, arguments.sample_rate)
        plain, plain_busy = float("nan"), float("nan")
        if not arguments.no_plain:
            plain, plain_busy = time_baseline(few, arguments.plain_songs, arguments.songs)
        command = [sys.executable, str(SCORE), "--folder", str(folder)]
        caches = {"SYNCTRACK_CACHE": f"{temporary}/first", "NUMBA_CACHE_DIR": f"{temporary}/numba"}
        for title, changes in (
            ("first run after installation", {}),
            ("empty beat cache", {"SYNCTRACK_CACHE": f"{temporary}/second"}),
            ("beats in the cache", {}),
        ):
            seconds, busy, printed = timed(command, {**caches, **changes})
            ratio = plain_busy / busy if busy else float("nan")
            print(f"score.py, {title}: {seconds:.1f} s, {plain / seconds:.0f} times as fast ({ratio:.0f})")
            if title == "empty beat cache":
                print_check(folder, caches, seconds, busy)
        print(printed)
        print_shares(few)


if __name__ == "__main__":
    run_command(main)
