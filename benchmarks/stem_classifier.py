"""Do generated stems sound like the tracks they stand for? A small classifier, trained on data, names each stem.

    python benchmarks/stem_classifier.py --data TRAIN --held-back TEST --folder GENERATED [--json FILE]
        [--stems bass drums guitar piano]

TRAIN and TEST are data sets (<song>/<stem>.wav), GENERATED is what eval_synctrack.py writes (stem_0/, stem_1/ ...);
either form may stand for the other. Prints the share of stems that are named rightly, of TEST, which says how far the
classifier can be trusted, and of GENERATED; and which tracks were taken for which. It is a logistic regression on mean,
spread and movement of each mel band, whatever the loudness. A silent stem counts as named wrongly.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from data_sources.grooves import FOUR_TRACKS
from eval_metrics.beats import find_stems
from eval_metrics.summary import SILENCE_PEAK, bootstrap_interval
from synctrack.audio import AudioFormat, LogMel, audio_info, read_audio
from synctrack.data.dataset import StemDataset
from synctrack.errors import InputError, run_command
from synctrack.files import write_json

MAX_SEGMENTS = 1000  # of a data set, spread over it evenly
LOUDNESS = 0.1  # root mean square that stems are brought to
RANGE = np.log(100)  # 40 dB below a mel's loudest point: the faint noise of a vocoder lies deeper and must not decide
REACH = 4.0  # standard deviations

_log_mel = cache(LogMel)


def _is_silent(waveform: np.ndarray) -> bool:
    return bool(np.abs(waveform).max() < SILENCE_PEAK)


def _is_tree(folder: Any) -> bool:
    return isinstance(folder, str | Path) and Path(folder, "stem_0").is_dir()


def features(waveform: np.ndarray, audio: AudioFormat) -> np.ndarray:
    """Waveform (n,) -> (3 · n_mels,): mean, standard deviation and mean step over time of each log-mel band."""
    level = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))
    mel = _log_mel(audio)(torch.from_numpy(waveform * (LOUDNESS / max(level, 1e-9)))).numpy()
    mel = np.maximum(mel, mel.max() - RANGE)
    mel -= mel.mean()
    return np.concatenate([mel.mean(axis=0), mel.std(axis=0), np.abs(np.diff(mel, axis=0)).mean(axis=0)])


def train(clips: Iterable[np.ndarray], stems: Sequence[str], audio: AudioFormat) -> Pipeline:
    """Learn the stems from clips (s, n) of music; silent stems teach nothing.

    Raises:
        InputError: a stem is silent in all clips.
    """
    heard = [(features(wave, audio), i) for clip in clips for i, wave in enumerate(clip) if not _is_silent(wave)]
    if unheard := [stem for i, stem in enumerate(stems) if i not in {label for _, label in heard}]:
        raise InputError(f"training data: {', '.join(unheard)} is silent in all clips; name other data or stems")
    # Generated stems can lie far from all data; no single band may decide alone then.
    bound = FunctionTransformer(np.clip, kw_args={"a_min": -REACH, "a_max": REACH})
    classifier = make_pipeline(StandardScaler(), bound, LogisticRegression(C=0.1, max_iter=1000))
    return classifier.fit(*zip(*heard, strict=True))


def share(classifier: Pipeline, clips: Iterable[np.ndarray], stems: Sequence[str], audio: AudioFormat) -> dict:
    """Name each stem of the clips (s, n) -> the `share` named rightly and what is behind it.

    `confusion` has a row for each stem: how often it got each name, in the order of `stems`, or was silent.
    """
    silence = len(stems)

    def name(wave: np.ndarray) -> int:
        return silence if _is_silent(wave) else int(classifier.predict([features(wave, audio)])[0])

    named = np.array([[name(wave) for wave in clip] for clip in clips])
    right = named == np.arange(silence)
    return {
        "share": float(right.mean()),
        "interval_95": bootstrap_interval(lambda rounds: right[rounds].mean(axis=(1, 2)), len(right), seed=0),
        "stems": dict(zip(stems, right.mean(axis=0).tolist(), strict=True)),
        "clips": len(named),
        "silent": int((named == silence).sum()),
        "confusion": [np.bincount(column, minlength=silence + 1).tolist() for column in named.T],
    }


def clip_format(folder: str | Path) -> AudioFormat:
    """Rate and length of the clips of a generated tree; the paper's for a data set, whose songs have any length."""
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: is no folder; name one of generated stems, or a data set")
    if not _is_tree(folder):
        return AudioFormat()
    info = audio_info(next(iter(find_stems(Path(folder))["stem_0"].values())))
    rate = min(info.sample_rate, AudioFormat.sample_rate)
    return AudioFormat(rate, f_max=rate / 2, frames=info.frames_at(rate) // AudioFormat.hop_length)


def read_clips(folder: str | Path | Sequence[str], stems: Sequence[str], audio: AudioFormat) -> Iterator[np.ndarray]:
    """The clips (s, n) of a generated tree, or segments of one data set or several; raises InputError for neither."""
    if not _is_tree(folder):
        data = StemDataset(folder, stems, audio, shift=False, seed=0)
        chosen = np.linspace(0, len(data) - 1, min(len(data), MAX_SEGMENTS)).round().astype(int)
        yield from (data[0, index]["waveform"].numpy() for index in chosen)
        return
    trees = list(find_stems(Path(folder)).values())
    names = [name for name in trees[0] if all(name in files for files in trees)]
    if not names or len(trees) != len(stems):
        raise InputError(f"{folder}: has {len(names)} clips of {len(trees)} stems, not of {len(stems)}; see --stems")
    for name in names:
        yield np.stack([read_audio(files[name], 0, audio.segment_samples, audio.sample_rate) for files in trees])


def report(title: str, result: dict[str, Any]) -> str:
    """A result of `share` as a line and an aligned table."""
    counts = f"{result['clips']} clips x {len(result['stems'])} stems, {result['silent']} silent"
    interval = " to ".join(f"{bound:.1%}" for bound in result["interval_95"])
    line = f"{title}: {result['share']:.1%} ({interval}) named rightly, chance {1 / len(result['stems']):.0%}; {counts}"
    rows = [["named", *result["stems"], "silent", "right"]]
    for (stem, right), names in zip(result["stems"].items(), result["confusion"], strict=True):
        rows.append([stem, *map(str, names), f"{right:.0%}"])
    return "\n".join([line, *("".join(cell.rjust(10) for cell in row) for row in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for folder, use in {"data": "to learn from", "held-back": "data to test on", "folder": "generated stems"}.items():
        parser.add_argument(f"--{folder}", required=True, help=use)
    parser.add_argument("--stems", nargs="+", default=FOUR_TRACKS, help="the tracks, in order (default: %(default)s)")
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
