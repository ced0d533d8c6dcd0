"""Slakh2100, raw or redux → stems by instrument class: sums of the rendered stems that metadata.yaml lists."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from synctrack.audio.files import audio_info, read_audio
from synctrack.data.shards import Shard
from synctrack.data.songs import LeftOutError, MissingStem, SongReport, require_stems
from synctrack.data.sources.instruments import StemMap, load_stem_map
from synctrack.data.sources.slakh_beats import add_beats, complete_beats, has_midi, mido_is_missing
from synctrack.data.writing import made_of, write_songs, write_stems
from synctrack.documents import has_form, read_yaml
from synctrack.errors import InputError, say
from synctrack.files import check_file_name, sha256, write_json

METADATA_FILE = "metadata.yaml"
METADATA_HASH = "metadata_sha256"
TRACK_FILE = "track.json"
"""Of each song: its gain, which files each stem is the sum of, and of which metadata it was made."""
METADATA = {"stems": {str: {"inst_class": object, "audio_rendered": object}}}
"""What is read of a song's metadata.yaml, see `has_form`."""
SPLITS = ("train", "validation", "test")


class _Options(NamedTuple):
    stems: StemMap
    sample_rate: int
    missing_stem: MissingStem
    suffix: str


def write_slakh(
    root: str | Path,
    out: str | Path,
    splits: Sequence[str] = SPLITS,
    sample_rate: int = 16000,
    stem_map: str | Path | None = None,
    missing_stem: MissingStem = "skip",
    file_format: Literal["wav", "flac"] = "wav",
    workers: int | None = None,
    shard: Shard | None = None,
) -> SongReport:
    """Sum the songs of `root`/<split> into `out`/<split>: a 16-bit file for each stem, track.json and beats.json.

    Beats are those of all_src.mid, or of the files in MIDI/, as far as the audio goes; songs without MIDI have none.
    Where mido is not installed, no song has any; a later run adds them to songs that are complete.

    All stems of a song have the length of its longest. Where a sum would clip, one gain (in track.json) holds for
    all stems of the song. Stems with `audio_rendered: false` count as absent.

    Args:
        stem_map: YAML file, see `load_stem_map`.
        missing_stem: whether a song without one of the stems is left out or gets a silent one.
        shard: write its share of the songs of each split alone.

    Raises:
        InputError: no such split, a split without songs; or as `write_songs` and `load_stem_map`.
    """
    options = _Options(load_stem_map(stem_map), sample_rate, missing_stem, f".{file_format}")
    for split in splits:
        check_file_name(split, "--split")
    songs = {split: _song_folders(Path(root), split) for split in splits}
    _say_if_mido_is_missing(songs)
    report = SongReport()
    holds, write = [*(f"{stem}{options.suffix}" for stem in options.stems), TRACK_FILE], partial(_write_song, options)
    for split, jobs in songs.items():
        folder = Path(out, split)
        made = write_songs(folder, options._asdict(), jobs, write, workers, lambda job: holds, _is_of, shard=shard)
        report.add(made)
        report.notes += complete_beats(folder, jobs if shard is None else shard.jobs(jobs))
    return report


def _say_if_mido_is_missing(songs: dict[str, dict[str, Path]]) -> None:
    reason = mido_is_missing()
    if reason and any(has_midi(source) for jobs in songs.values() for source in jobs.values()):
        say(f"no song gets a beats.json: {reason}, and run this again to add them")


def _song_folders(root: Path, split: str) -> dict[str, Path]:
    if not (root / split).is_dir():
        raise InputError(f"{root / split}: no such folder; --root is the folder that holds {', '.join(SPLITS)}")
    # Only folders with metadata are songs: some copies keep a folder `omitted` among them.
    folders = {path.parent.name: path.parent for path in sorted((root / split).glob(f"*/{METADATA_FILE}"))}
    if not folders:
        raise InputError(f"{root / split}: holds no song folder with a metadata.yaml")
    return folders


def _write_song(options: _Options, folder: Path, source: Path) -> None:
    sources = _sources(source, options.stems)
    missing = [stem for stem, files in sources.items() if not files]
    require_stems(source, missing, len(sources), options.missing_stem)
    try:
        every = [file for files in sources.values() for file in files]
        samples = {file: audio_info(file).num_samples_at(options.sample_rate) for file in every}
        length = max(samples.values())
        sums = {stem: np.zeros(length, dtype=np.float32) for stem in sources}
        for stem, files in sources.items():
            for file in files:
                sums[stem][: samples[file]] += read_audio(file, 0, samples[file], options.sample_rate)
    except InputError as error:
        raise LeftOutError("unreadable", str(error)) from error
    gain = 1.0 / max(1.0, *(float(np.abs(wave).max()) for wave in sums.values()))
    stems = {stem: wave * np.float32(gain) for stem, wave in sums.items()}
    write_stems(folder, stems, options.sample_rate, options.suffix)
    names = {stem: [file.stem for file in files] for stem, files in sources.items()}
    write_json(folder / TRACK_FILE, {"gain": gain, "sources": names, METADATA_HASH: sha256(source / METADATA_FILE)})
    # MIDI files that cannot be used are reported once all songs are written.
    add_beats(folder, source, length / options.sample_rate)


def _is_of(folder: Path, source: Path) -> bool:
    return made_of(folder / TRACK_FILE, METADATA_HASH, source / METADATA_FILE)


def _sources(source: Path, stems: StemMap) -> dict[str, list[Path]]:
    """The files that make up each stem."""
    path = source / METADATA_FILE
    try:
        metadata = read_yaml(path)
        if not has_form(metadata, METADATA):
            raise InputError(f"{path}: lists no stems with their inst_class")
        rendered = {name: entry["inst_class"] for name, entry in metadata["stems"].items() if entry["audio_rendered"]}
        for name in rendered:
            check_file_name(name, f"{path}: stems")
    except InputError as error:
        raise LeftOutError("unreadable", str(error)) from error
    return {
        stem: [source / "stems" / f"{name}.flac" for name in sorted(rendered) if rendered[name] in families]
        for stem, families in stems.items()
    }
