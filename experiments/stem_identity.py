"""Do generated stems sound like their instruments? A small classifier, trained on data, assigns each stem to one.

    python experiments/stem_identity.py --data TRAIN --held-back TEST --folder GENERATED [--json FILE]
        [--stems bass drums guitar piano]

TRAIN and TEST are data sets (<song>/<stem>.wav), GENERATED is what eval_synctrack.py writes (stem_0/, stem_1/ ...);
both forms are accepted for each. Prints the share of stems that are classified correctly, in TEST, which shows how far
the classifier can be trusted, and in GENERATED, each with its confusion matrix. The classifier is a logistic regression
on mean, standard deviation and mean absolute difference in time of each mel band, invariant to loudness. A silent stem
counts as misclassified.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synctrack.audio.files import audio_info, read_audio
from synctrack.audio.mel import AudioFormat
from synctrack.data.dataset import StemDataset
from synctrack.data.sources.grooves import DEFAULT_STEMS
from synctrack.errors import InputError, run_command
from synctrack.files import write_json
from synctrack.metrics.beats.layout import find_layout
from synctrack.metrics.stem_identity import report, share, train

MAX_SEGMENTS = 1000  # of a data set, evenly spaced


def _is_tree(folder: Any) -> bool:
    return isinstance(folder, str | Path) and Path(folder, "stem_0").is_dir()


def clip_format(folder: str | Path) -> AudioFormat:
    """Rate and length of the clips of a generated tree; the paper's for a data set, whose songs have any length."""
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: is not a folder; name one of generated stems, or a data set")
    if not _is_tree(folder):
        return AudioFormat()
    info = audio_info(next(iter(find_layout(Path(folder)).stems["stem_0"].values())))
    rate = min(info.sample_rate, AudioFormat.sample_rate)
    return AudioFormat(rate, f_max=rate / 2, frames=info.num_samples_at(rate) // AudioFormat.hop_length)


def read_clips(folder: str | Path | Sequence[str], stems: Sequence[str], audio: AudioFormat) -> Iterator[np.ndarray]:
    """The clips (s, n) of a generated tree, or segments of one data set or several; raises InputError for neither."""
    if not _is_tree(folder):
        data = StemDataset(folder, stems, audio, shift=False, seed=0)
        chosen = np.linspace(0, len(data) - 1, min(len(data), MAX_SEGMENTS)).round().astype(int)
        yield from (data[0, index]["waveform"].numpy() for index in chosen)
        return
    trees = list(find_layout(Path(folder)).stems.values())
    names = [name for name in trees[0] if all(name in files for files in trees)]
    if not names or len(trees) != len(stems):
        raise InputError(f"{folder}: has {len(names)} clips of {len(trees)} stems, not of {len(stems)}; see --stems")
    for name in names:
        yield np.stack([read_audio(files[name], 0, audio.segment_samples, audio.sample_rate) for files in trees])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for folder, use in {"data": "to learn from", "held-back": "data to test on", "folder": "generated stems"}.items():
        parser.add_argument(f"--{folder}", required=True, help=use)
    parser.add_argument("--stems", nargs="+", default=DEFAULT_STEMS, help="the stems, in order (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    arguments = parser.parse_args()
    stems, audio = arguments.stems, clip_format(arguments.folder)
    classifier = train(read_clips(arguments.data, stems, audio), stems, audio)
    results = {}
    for title, folder in {"held-back data": arguments.held_back, "generated": arguments.folder}.items():
        results[title] = share(classifier, read_clips(folder, stems, audio), stems, audio)
        print(report(title, results[title]))
    if arguments.json:
        write_json(arguments.json, results)


if __name__ == "__main__":
    run_command(main)
