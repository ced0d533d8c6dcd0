"""What `synctrack check` detects: songs with one stem of four shifted, or drifting, by a known amount.

Songs are grooves and, with --midi, song folders that `prepare_data.py midi` rendered. Every fault is put into every
stem, early and late, and looked for in two ways: in the song alone, and in a folder in which each song has a fault of
some stem, whose usual lags are found as `synctrack check` finds them. Faultless songs count false alarms. Onsets are
kept under --out, one file for each song, named by its content, so that an interrupted run resumes. Writes
detection.json and prints tables: in how many per cent of the songs the right stem is named / and its offset is right
within 10 ms, its drift within 0.1 %.
"""

import argparse
import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from tqdm import tqdm

from synctrack.audio.files import audio_info, read_audio
from synctrack.data.sources.grooves import render_groove
from synctrack.errors import InputError, run_command
from synctrack.files import atomic_path, sha256, write_json
from synctrack.metrics.beats.layout import find_layout
from synctrack.metrics.check.folder import check_songs
from synctrack.metrics.check.timing import StemTiming, check_song
from synctrack.metrics.onsets import FileOnsets, onsets_of

SAMPLE_RATE = 16000
MARGIN = 0.5  # seconds rendered beyond the end, for stems that are early
FIRST_SEED = 7000
OFFSETS = (0.02, 0.05, 0.1, 0.2, 0.3)
DRIFTS = (0.002, 0.005, 0.01, 0.03)
SIZES = [("offset", size) for size in OFFSETS] + [("drift", size) for size in DRIFTS]
OFFSET_TOLERANCE, DRIFT_TOLERANCE = 0.01, 0.001

Stems = Mapping[str, np.ndarray]
Song = dict[Any, Any]


def shifted(samples: np.ndarray, fault: str, amount: float, length: int) -> np.ndarray:
    """(length,) samples with a fault: moment t is moved to t + amount, or to t (1 + amount)."""
    if fault == "offset":
        late = round(amount * SAMPLE_RATE)
        moved = np.pad(samples, (max(late, 0), 0))[max(-late, 0) :]
    else:
        moved = soxr.resample(samples, SAMPLE_RATE, SAMPLE_RATE * (1 + amount), quality="MQ")
    return np.pad(moved, (0, max(0, length - len(moved))))[:length]


def song_onsets(stems: Stems, seconds: float, number: int) -> Song:
    """(stem, fault, size) → (amount, onsets), with size 0 and no fault for the stems as they are."""
    length = round(seconds * SAMPLE_RATE)
    signs = np.random.default_rng([FIRST_SEED, number])
    found: Song = {}
    for stem, samples in stems.items():
        found[stem, "none", 0.0] = 0.0, onsets_of(samples[:length], SAMPLE_RATE)
        for fault, size in SIZES:
            amount = size * signs.choice([-1, 1])
            found[stem, fault, size] = amount, onsets_of(shifted(samples, fault, amount, length), SAMPLE_RATE)
    return found


def groove_stems(seed: int, seconds: float) -> Stems:
    return render_groove(seed, seconds + MARGIN, SAMPLE_RATE).stems


def folder_songs(folder: Path, seconds: float) -> list[Mapping[str, Path]]:
    """Stem → file, of the songs of a folder that last for `seconds` in every stem."""
    layout = find_layout(folder)
    songs = [{stem: files[song] for stem, files in layout.stems.items() if song in files} for song in layout.songs]
    return [song for song in songs if song and all(audio_info(path).seconds >= seconds for path in song.values())]


def read_stems(song: Mapping[str, Path], seconds: float) -> Stems:
    samples = {stem: audio_info(path).num_samples_at(SAMPLE_RATE) for stem, path in song.items()}
    wanted = round((seconds + MARGIN) * SAMPLE_RATE)
    return {stem: read_audio(path, 0, min(samples[stem], wanted), SAMPLE_RATE) for stem, path in song.items()}


def content_of(song: Mapping[str, Path]) -> str:
    """A name for the content of a song's files: other audio, or other names of stems, give another."""
    files = "".join(f"{stem}\0{sha256(path)}\0" for stem, path in song.items())
    return hashlib.sha256(files.encode()).hexdigest()[:16]


def kept(path: Path, make) -> Song:
    """What is kept at `path`, or else what `make` gives, kept there."""
    if not path.is_file():
        song = make()
        with atomic_path(path) as temporary:
            temporary.write_bytes(pickle.dumps(song))
    return pickle.loads(path.read_bytes())


def named(timings: Mapping[str, StemTiming]) -> str | None:
    """The stem that is said to be out of time with the most confidence; None where none is."""
    faulty = [stem for stem, timing in timings.items() if timing.faulty]
    return max(faulty, key=lambda stem: timings[stem].confidence, default=None)


def is_right(timing: StemTiming, fault: str, amount: float) -> bool:
    """Whether the size that was found is within the tolerance."""
    if fault == "offset":
        return bool(abs(timing.offset - amount) <= OFFSET_TOLERANCE and timing.drift == 0)
    return bool(abs(timing.drift - amount) <= DRIFT_TOLERANCE)


def faultless(song: Song) -> dict[str, FileOnsets]:
    return {stem: onsets for (stem, fault, _), (_, onsets) in song.items() if fault == "none"}


def measure(songs: list[Song], kind: str) -> list[dict[str, Any]]:
    """One row for each song, stem and fault, and one for each faultless song."""
    plain = {str(number): faultless(song) for number, song in enumerate(songs)}
    _, usual_plain = check_songs(plain)
    mixed, draw = {}, np.random.default_rng(FIRST_SEED)
    for number, song in enumerate(songs):
        stems = list(plain[str(number)])
        stem = stems[draw.integers(len(stems))]
        fault, size = SIZES[draw.integers(len(SIZES))]
        mixed[str(number)] = {**plain[str(number)], stem: song[stem, fault, size][1]}
    _, usual_mixed = check_songs(mixed)
    rows = []
    for number, song in enumerate(tqdm(songs, desc=f"check {kind}", unit="song", disable=None)):
        stems = plain[str(number)]
        for way, usual in (("alone", None), ("folder", usual_plain)):
            alarms = [stem for stem, timing in check_song(stems, usual).items() if timing.faulty]
            rows.append({"kind": kind, "way": way, "song": number, "fault": "none", "alarms": alarms})
        for (stem, fault, size), (amount, onsets) in song.items():
            if fault == "none":
                continue
            for way, usual in (("alone", None), ("folder", usual_mixed)):
                timings = check_song({**stems, stem: onsets}, usual)
                found = named(timings) == stem
                row = {"kind": kind, "way": way, "song": number, "stem": stem, "fault": fault, "size": size}
                row |= {"amount": amount, "named": found, "right": found and is_right(timings[stem], fault, amount)}
                rows.append({**row, "finding": timings[stem].as_dict(), "said": named(timings)})
    return rows


def percent(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "-"
    return f"{100 * np.mean([row['named'] for row in rows]):.0f} / {100 * np.mean([row['right'] for row in rows]):.0f}"


def print_tables(rows: list[dict[str, Any]]) -> None:
    """A table for each kind and way, and a line of totals and false alarms."""
    for kind, way in dict.fromkeys((row["kind"], row["way"]) for row in rows):
        mine = [row for row in rows if (row["kind"], row["way"]) == (kind, way)]
        faulty = [row for row in mine if row["fault"] != "none"]
        heads = [f"{1000 * size:.0f} ms" if fault == "offset" else f"{100 * size:g} %" for fault, size in SIZES]
        print(f"\n| {kind}, {way} | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
        for stem in sorted({row["stem"] for row in faulty}):
            cells = [
                percent([r for r in faulty if (r["stem"], r["fault"], r["size"]) == (stem, *size)]) for size in SIZES
            ]
            print(f"| {stem} | {' | '.join(cells)} |")
        alarms = [bool(row["alarms"]) for row in mine if row["fault"] == "none"]
        offsets, drifts = ([row for row in faulty if row["fault"] == fault] for fault in ("offset", "drift"))
        print(f"offsets {percent(offsets)}, drifts {percent(drifts)}; false alarms in {sum(alarms)} of {len(alarms)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grooves", type=int, default=10, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first groove (default: %(default)s)")
    parser.add_argument("--midi", type=Path, metavar="FOLDER", help="of songs rendered from MIDI files")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each song (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/check_detection"), help="(default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.grooves < (0 if arguments.midi else 1):
        raise InputError(f"--grooves {arguments.grooves}: must be 1 or more, or 0 with --midi")
    if not 5 <= arguments.seconds <= 600:
        raise InputError(f"--seconds {arguments.seconds}: must be from 5 to 600")
    seconds, first, rows = arguments.seconds, arguments.seed, []
    seeds = range(first, first + arguments.grooves)
    makers = {"grooves": [(str(seed), lambda seed=seed: groove_stems(seed, seconds)) for seed in seeds]}
    if arguments.midi:
        songs = folder_songs(arguments.midi, seconds)
        makers["rendered MIDI"] = [(content_of(song), lambda song=song: read_stems(song, seconds)) for song in songs]
    for kind, songs in makers.items():
        place = arguments.out / f"{kind.replace(' ', '_')}_{seconds:g}s"
        onsets = [
            kept(place / f"{number:04d}_{name}.pickle", lambda m=make, n=number: song_onsets(m(), seconds, n))
            for number, (name, make) in enumerate(tqdm(songs, desc=f"onsets of {kind}", unit="song", disable=None))
        ]
        rows += measure(onsets, kind) if onsets else []
    write_json(arguments.out / "detection.json", rows)
    print_tables(rows)
    print(f"written: {arguments.out / 'detection.json'}")


if __name__ == "__main__":
    run_command(main)
