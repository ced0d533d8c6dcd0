"""Finds the songs of a data set: root folders of song folders, each with one file per stem."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from synctrack.audio.beat_files import BEATS_FILE
from synctrack.audio.mel import AudioFormat
from synctrack.data.audio_index import AudioIndex
from synctrack.errors import InputError

STEM_SUFFIXES = (".wav", ".flac")
MissingStem = Literal["skip", "silent"]


@dataclass(frozen=True)
class SongFolder:
    """One song: a file per stem (None is silence) and how many samples all have at the model's rate.

    Attributes:
        beats: its beats.json; None where there is none.
    """

    name: str
    files: tuple[Path | None, ...]
    samples: int
    beats: Path | None = None


class LeftOutError(Exception):
    """A song is left out of the data set; the arguments are the kind of reason, and one line that explains it."""


@dataclass
class SongReport:
    """What was kept and what was left out: a count for each kind and one line for each song; notes on what was kept."""

    songs: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: "SongReport") -> None:
        self.songs += other.songs
        self.left_out += other.left_out
        self.lines += other.lines
        self.notes += other.notes

    def leave_out(self, reason: LeftOutError) -> None:
        kind, line = reason.args
        self.left_out[kind] += 1
        self.lines.append(line)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
        return f"{self.songs} songs" + (f"; left out: {counts}" if counts else "")


@dataclass(frozen=True)
class SongRules:
    """Which songs a data set takes."""

    stems: Sequence[str]
    audio: AudioFormat
    missing_stem: MissingStem
    unreadable: Literal["skip", "refuse"]
    max_seconds: float


def find_songs(roots: Sequence[Path], rules: SongRules) -> tuple[list[SongFolder], SongReport]:
    """Songs that hold a segment or more, in the order of the roots and then by name.

    Where roots share a song name, all names are preceded by their root's position, from 1.

    Raises:
        InputError: a root is missing or holds no song that the rules take; a song's stems differ in length;
            a stem is there twice; a file is unreadable and the rules refuse it.
    """
    if not roots:
        raise InputError("no data folder is named; name one or more folders of song folders")
    folders = [_song_folders(root) for root in roots]
    names = [folder.name for of_root in folders for folder in of_root]
    # Names that differ in case alone are one folder on some systems.
    of_roots = [{folder.name.casefold() for folder in of_root} for of_root in folders]
    shared = len(set().union(*of_roots)) < sum(map(len, of_roots))
    songs, report = [], SongReport()
    with tqdm(total=len(names), desc="scanning songs", unit="song", delay=1.0) as bar:
        for position, (root, of_root) in enumerate(zip(roots, folders, strict=True), start=1):
            index, before = AudioIndex(root), len(songs)
            try:
                for folder in of_root:
                    name = f"{position}_{folder.name}" if shared else folder.name
                    try:
                        songs.append(_read_song_folder(name, folder, index, rules))
                    except LeftOutError as reason:
                        report.leave_out(reason)
                    bar.update()
            finally:
                # Also where a song is refused or the scan is interrupted, which may have taken an hour.
                index.save()
            if len(songs) == before:
                raise InputError(f"{root}: none of its {len(of_root)} folders is usable ({report.lines[-1]})")
    report.songs = len(songs)
    return songs, report


def require_stems(place: Path, missing: Sequence[str], wanted: int, policy: MissingStem) -> None:
    """Leave out a song that lacks stems, unless the policy lets them be silent and there are others."""
    if missing and (policy == "skip" or len(missing) == wanted):
        raise LeftOutError("with missing stems", f"{place}: has no {', '.join(missing)}")


def _song_folders(root: Path) -> list[Path]:
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"{root}: is not a readable folder; name a folder of song folders") from error
    if not folders:
        raise InputError(f"{root}: holds no song folder; each song needs a folder with a file for each stem")
    return folders


def _read_song_folder(name: str, folder: Path, index: AudioIndex, rules: SongRules) -> SongFolder:
    files = tuple(_stem_file(folder, stem) for stem in rules.stems)
    missing = [stem for stem, file in zip(rules.stems, files, strict=True) if file is None]
    require_stems(folder, missing, len(files), rules.missing_stem)
    try:
        infos = {file.stem: index.info(file) for file in files if file is not None}
    except InputError as error:
        if rules.unreadable == "refuse":
            raise
        raise LeftOutError("unreadable", str(error)) from error
    shortest = min(info.seconds for info in infos.values())
    # Stems may have different rates, hence lengths that differ by less than a sample of the lowest.
    tolerance = 1.0 / min(info.sample_rate for info in infos.values())
    if max(info.seconds for info in infos.values()) - shortest > tolerance:
        listed = ", ".join(f"{stem} {info.seconds:.4f} s" for stem, info in infos.items())
        raise InputError(f"{folder}: its stems differ in length ({listed}); cut or pad them to one length")
    samples = min(info.num_samples_at(rules.audio.sample_rate) for info in infos.values())
    if samples < rules.audio.segment_samples:
        raise LeftOutError("too short", f"{folder}: {shortest:.2f} s, a segment has {rules.audio.segment_seconds:g} s")
    if shortest >= rules.max_seconds:
        raise LeftOutError("too long", f"{folder}: {shortest:.2f} s, the limit is {rules.max_seconds:g} s")
    beats = folder / BEATS_FILE
    return SongFolder(name, files, samples, beats if beats.is_file() else None)


def _stem_file(folder: Path, stem: str) -> Path | None:
    candidates = [folder / f"{stem}{suffix}" for suffix in STEM_SUFFIXES]
    files = [file for file in candidates if file.is_file()]
    if len(files) > 1:
        raise InputError(f"{folder}: holds {stem} twice ({', '.join(f.name for f in files)}); remove one")
    return files[0] if files else None
