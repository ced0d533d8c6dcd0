"""Which files of a folder are the stems of which song, found from the names.

A folder holds one sub-folder for each stem (`stem_0`, `stem_1` … or `bass`, `drums` …) with one audio file for each
song, or one sub-folder for each song with one audio file for each stem, or is itself one song. A `mix` is not a stem.
What can be read both ways is refused, with both readings.
"""

import re
import unicodedata
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from synctrack.errors import InputError

MIX_NAMES = ("mix", "mixture", "master")
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
LAYOUTS = ("auto", "stems", "songs", "song")
"""How files are sorted: one folder for each stem, or for each song, or one song whose stems they are; `auto` decides by
the names."""
STEM_NAMES = frozenset(
    {"bass", "drums", "drum", "guitar", "piano", "vocals", "vocal", "voice", "other", "accompaniment", "strings"}
    | {"lead", "synth", "keys", "keyboard", "organ", "brass", "winds", "woodwinds", "percussion", "pad", "melody"}
    | {"kick", "snare", "chords", "pipe", "reed", "ethnic"}
)
"""Names that are taken as those of stems, besides stem_0, stem_1, …; a number before or after does not matter."""


@dataclass(frozen=True)
class Layout:
    """The files of a folder.

    Attributes:
        kind: `stems`, `songs`, or `song` where the folder itself is one.
        stems: stem → song → audio file, mixes left out.
        left_out: stem → why it is not among `stems`.
        mixes: song → audio file, where there are mixes.
    """

    kind: str
    stems: Mapping[str, Mapping[str, Path]]
    left_out: Mapping[str, str] = field(default_factory=dict)
    mixes: Mapping[str, Path] = field(default_factory=dict)

    @property
    def songs(self) -> list[str]:
        """Every song that any stem has, numbers in order."""
        return sorted({song for files in self.stems.values() for song in files}, key=natural)

    def without(self, paths: Container[str]) -> "Layout":
        """The same without the files of these paths, such as unreadable ones."""
        stems = {
            stem: {song: path for song, path in files.items() if str(path) not in paths}
            for stem, files in self.stems.items()
        }
        return replace(self, stems=stems)

    def describe(self) -> str:
        """What was taken as stems and as songs, in one line."""
        how = {
            "stems": "one folder for each stem",
            "songs": "one folder for each song",
            "song": "the folder is one song",
        }
        songs = self.songs
        shown = ", ".join(songs[:3]) + (f" … {songs[-1]}" if len(songs) > 3 else "")
        line = (
            f"layout: {how[self.kind]}; {len(self.stems)} stems: {', '.join(self.stems)}; {len(songs)} songs: {shown}"
        )
        return line + "".join(f"; left out: {stem} ({reason})" for stem, reason in self.left_out.items())


def natural(name: str) -> list[int | str]:
    """Sorting key that puts stem_10 after stem_9."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _plain(name: str) -> str:
    """A name in lower case, without numbers and marks around it."""
    return re.sub(r"^[\d\W_]+|[\d\W_]+$", "", name.lower())


def is_stem_name(name: str) -> bool:
    """Whether a name is one that files of stems have: `stem_3`, `bass`, `02 Bass`, `guitar_1`, `track 2`."""
    return is_stem_folder(name) or re.fullmatch(r"track[_ -]?\d+", name.lower()) is not None


def is_stem_folder(name: str) -> bool:
    """Whether a name is one that folders of stems have; `Track00001` is a song of Slakh as well."""
    return _plain(name) in STEM_NAMES or re.fullmatch(r"stem[_ -]?\d+", name.lower()) is not None


def is_mix(name: str) -> bool:
    """Whether a name is that of the sum of all stems: `mix`, `00_mix`, `Mixture`."""
    return _plain(name) in MIX_NAMES


def audio_files(folder: Path) -> dict[str, Path]:
    """Name → audio file, of the files directly in `folder`.

    Raises:
        InputError: two files differ only in their suffix.
    """
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: natural(path.name)):
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith("."):
            # The same ä may be one character or two, depending on the system that wrote the name.
            name = _normal(path, path.stem)
            if name in files:
                raise InputError(f"{path}: {files[name].name} beside it has the same name; keep one of them")
            files[name] = path
    return files


def _normal(path: Path, name: str) -> str:
    """A name of `path` in one spelling. Raises InputError where it cannot be written as text."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: its name is not UTF-8; rename it") from error
    return unicodedata.normalize("NFC", name)


def _children(folder: Path) -> dict[str, dict[str, Path]]:
    """Name → audio files, of the sub-folders, hidden ones left out."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    children: dict[str, dict[str, Path]] = {}
    for path in sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: natural(path.name)):
        name = _normal(path, path.name)
        if name in children:
            raise InputError(f"{path}: another folder beside it has the same name, written otherwise; rename one")
        if not name.startswith("."):
            children[name] = audio_files(path)
    return children


def _is_mix_folder(name: str, files: Iterable[str]) -> bool:
    """Whether a folder holds mixes of songs, as `mix/song.wav`; `mixture_001/bass.wav` is of a song called so."""
    return is_mix(name) and not any(map(is_stem_folder, files))


def _is_numbered(name: str) -> bool:
    return re.fullmatch(r"stem_\d+", name) is not None


def layout_of(folder: Path) -> str:
    """Whether the sub-folders of `folder` are stems (`stems`) or songs (`songs`), or it is one song itself (`song`).

    Raises:
        InputError: the folder is missing, or its names can be read both ways or in neither.
    """
    children = {name: files for name, files in _children(folder).items() if not _is_mix_folder(name, files)}
    direct = [name for name in audio_files(folder) if not is_mix(name)]
    if len(direct) > 1 and 2 * sum(map(is_stem_name, direct)) >= len(direct):
        return "song"
    if any(map(_is_numbered, children)):
        _refuse_songs_beside_stems(folder, children)
        return "stems"
    children = {name: [file for file in files if not is_mix(file)] for name, files in children.items() if files}
    if not children:
        return "stems"
    return _by_names(folder, children)


def _refuse_songs_beside_stems(folder: Path, children: Mapping[str, Iterable[str]]) -> None:
    numbered = [name for name in children if _is_numbered(name)]
    for name, files in children.items():
        if name not in numbered and any(map(is_stem_name, files)) and not is_stem_folder(name):
            raise InputError(
                f"{folder}: holds stems ({', '.join(numbered)}) and songs ({name}) side by side; "
                "move the one or the other away, or add --layout stems or --layout songs"
            )


def _by_names(folder: Path, children: Mapping[str, Sequence[str]]) -> str:
    """`stems` or `songs`, from the names of sub-folders and of the files in them."""
    stem_like = [name for name in children if is_stem_folder(name)]
    inside = sorted({file for files in children.values() for file in files}, key=natural)
    known = [file for file in inside if is_stem_name(file)]
    song_like = [name for name, files in children.items() if files and 2 * sum(map(is_stem_name, files)) >= len(files)]
    only_stems = [name for name in stem_like if name not in song_like]
    only_songs = [name for name in song_like if name not in stem_like]
    if only_stems and only_songs:
        raise InputError(
            f"{folder}: mixes two layouts: {only_stems[0]} looks like a stem that holds songs, {only_songs[0]} like a "
            "song that holds stems; sort them, or add --layout stems or --layout songs"
        )
    share_of_children, share_of_files = len(stem_like) / len(children), len(known) / max(len(inside), 1)
    if share_of_files >= 0.5 > share_of_children:
        return "songs"
    if share_of_children >= 0.5 > share_of_files:
        return "stems"
    raise InputError(
        f"{folder}: may be read in two ways: stems {_some(children)}, each with the songs {_some(inside)}; or songs "
        f"{_some(children)}, each with the stems {_some(inside)}; add --layout stems or --layout songs"
    )


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:4]) + (f" … ({len(names)})" if len(names) > 4 else "")


def find_layout(folder: str | Path, layout: str = "auto", stems: Sequence[str] | None = None) -> Layout:
    """The stems of a folder and their files.

    Args:
        folder: as the module's text describes.
        layout: one of `LAYOUTS`. `auto` takes folders called stem_*, or by known names of stems, as stems, and
            folders whose files have such names as songs.
        stems: take these alone, in this order; all where None.

    Raises:
        InputError: the folder is missing, its layout is ambiguous, it has fewer than two stems or lacks one of
            `stems`, or one of its stem_* folders holds no audio.
    """
    folder = Path(folder)
    kind = layout_of(folder) if layout == "auto" else layout
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    left_out: dict[str, str] = {}
    if kind == "stems":
        found, mixes, left_out = _stem_folders(folder)
    else:
        found, mixes, left_out = _song_folders(folder, kind)
    if stems is not None:
        missing = [stem for stem in stems if stem not in found]
        if missing:
            raise InputError(f"--stems: {folder} has no {', '.join(missing)}; its stems are {', '.join(found)}")
        left_out |= {stem: "not among --stems" for stem in found if stem not in stems}
        found = {stem: found[stem] for stem in stems}
    if len(found) < 2:
        what = "stem folder" if kind == "stems" else "stem"
        raise InputError(
            f"{folder}: holds only one {what} ({', '.join(found) or 'none'}); two or more are compared"
            if found
            else f"{folder}: holds no {what} with audio files ({' '.join(AUDIO_SUFFIXES)})"
        )
    return Layout(kind, found, left_out, mixes)


def _song_folders(folder: Path, kind: str) -> tuple[dict[str, dict[str, Path]], dict[str, Path], dict[str, str]]:
    """Stem → song → file, song → mix, and what is left out → why; stems that differ in case alone are one."""
    songs = {unicodedata.normalize("NFC", folder.resolve().name): audio_files(folder)}
    left_out = {}
    if kind == "songs":
        songs = _children(folder)
        mixed = {name: files for name, files in songs.items() if _is_mix_folder(name, files)}
        of_songs = {file for name, files in songs.items() if name not in mixed for file in files}
        if of_songs:
            # A song may be called a mixture; its files are then called as those of other songs.
            mixed = {name: files for name, files in mixed.items() if of_songs.isdisjoint(files)}
            left_out = {name: "holds mixes" for name, files in mixed.items() if files}
            songs = {name: files for name, files in songs.items() if name not in mixed}
    stems: dict[str, dict[str, Path]] = {}
    spelling: dict[str, str] = {}
    mixes: dict[str, Path] = {}
    for song, files in songs.items():
        for name, path in files.items():
            if is_mix(name):
                mixes[song] = path
                continue
            stem = spelling.setdefault(name.lower(), name)
            if song in stems.get(stem, {}):
                raise InputError(f"{path}: {stems[stem][song].name} beside it is the same stem; keep one of them")
            stems.setdefault(stem, {})[song] = path
    return dict(sorted(stems.items(), key=lambda item: natural(item[0]))), mixes, left_out


def _stem_folders(folder: Path) -> tuple[dict[str, dict[str, Path]], dict[str, Path], dict[str, str]]:
    """Stem → song → file, song → mix, and what is left out → why.

    Where there are sub-folders named stem_*, they are the stems; otherwise all that hold audio, the mix excepted.
    """
    children = _children(folder)
    numbered = [name for name in children if _is_numbered(name)]
    named = [name for name, files in children.items() if files and not _is_mix_folder(name, files)]
    stems = {name: children[name] for name in numbered or named}
    left_out = {name: f"beside {numbered[0]} …" for name in named if name not in stems}
    kinds = " ".join(AUDIO_SUFFIXES)
    for name, files in stems.items():
        if not files:
            raise InputError(f"{folder / name}: holds no audio file ({kinds})")
    if not stems:
        deeper = next((p.parent for p in folder.glob("*/*/*") if p.suffix.lower() in AUDIO_SUFFIXES), None)
        hint = f"; name a folder above {deeper.name}, such as {deeper.parent}" if deeper else ""
        raise InputError(
            f"{folder}: holds no stem folder (stem_0, stem_1 …, or bass, drums …) with audio files ({kinds}){hint}"
        )
    mixes = next((files for name, files in children.items() if _is_mix_folder(name, files)), {})
    return stems, mixes, left_out
