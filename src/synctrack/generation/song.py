"""A song: stems that belong together, in memory and as a folder of audio files with `song.json`.

song/bass.wav, song/drums.wav, …   one file for each stem
song/mix.wav                       their sum
song/song.json                     stems, sample rate, gain and how the song was made; written last
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synctrack.audio.files import audio_info, peak_gain, read_audio, write_audio
from synctrack.errors import InputError
from synctrack.files import check_file_name, write_json

SONG_FILE = "song.json"
MIX = "mix"
FORMAT = 1
FILE_FORMATS = {
    "wav16": (".wav", "PCM_16"),
    "wav24": (".wav", "PCM_24"),
    "float": (".wav", "FLOAT"),
    "flac": (".flac", "PCM_24"),
}
"""Name of a file format -> suffix and libsndfile's sample type."""


@dataclass(frozen=True, eq=False)
class Song:
    """Stems that play together.

    Attributes:
        waveforms: stem -> float32 (num_samples,), full scale 1, all of one length.
        sample_rate: Hz.
        info: how the song was made, as JSON: model, seed, sampling, gain and more.

    Raises:
        InputError: there is no stem, or stems differ in length or have more than one axis.

    Example:
        >>> import numpy as np
        >>> from synctrack import Song
        >>> song = Song({"bass": np.zeros(16000, np.float32), "drums": np.ones(16000, np.float32)}, 16000)
        >>> song.stems, song.seconds, song["drums"].shape
        (('bass', 'drums'), 1.0, (16000,))
    """

    waveforms: Mapping[str, np.ndarray]
    sample_rate: int
    info: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shapes = {stem: np.shape(wave) for stem, wave in self.waveforms.items()}
        if not shapes or len(set(shapes.values())) > 1 or len(next(iter(shapes.values()))) != 1:
            raise InputError(f"song: its stems have the shapes {shapes}; each must be (num_samples,), all equal")

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the stems, in order."""
        return tuple(self.waveforms)

    @property
    def num_samples(self) -> int:
        """Samples of each stem."""
        return len(next(iter(self.waveforms.values())))

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.num_samples / self.sample_rate

    @property
    def mix(self) -> np.ndarray:
        """The sum of the stems, float32 (num_samples,)."""
        return np.sum(list(self.waveforms.values()), axis=0, dtype=np.float32)

    def __getitem__(self, stem: str) -> np.ndarray:
        """The waveform of a stem, float32 (num_samples,). Raises KeyError that lists the stems."""
        if stem not in self.waveforms:
            raise KeyError(f"{stem!r}: the song's stems are {', '.join(self.stems)}")
        return self.waveforms[stem]

    def __repr__(self) -> str:
        return f"Song({', '.join(self.stems)}; {self.seconds:.2f} s at {self.sample_rate} Hz)"

    def within_peak(self) -> "Song":
        """The song with one gain for all stems, at most 1, that keeps stems and mix at or below -1 dBFS.

        The gain is multiplied into `info["gain"]`.
        """
        gain = peak_gain([*self.waveforms.values(), self.mix])
        waveforms = {stem: np.asarray(wave, np.float32) * np.float32(gain) for stem, wave in self.waveforms.items()}
        return Song(waveforms, self.sample_rate, self.info | {"gain": gain * self.info.get("gain", 1.0)})

    def save(self, folder: str | Path, file_format: str = "wav16") -> Path:
        """Write one file for each stem, the mix and `song.json` into `folder`.

        Args:
            folder: made where it is not there; files of the same names are replaced.
            file_format: `wav16`, `wav24`, `float` or `flac` (24 bit). Stems whose sum would clip are written with a
                common gain, see `within_peak`; `float` files are too, as players clip them.

        Returns:
            The folder.

        Raises:
            InputError: the format is unknown, a stem's name is not a file name, or the folder cannot be written.
        """
        if file_format not in FILE_FORMATS:
            raise InputError(f"format: {file_format!r} must be one of {', '.join(FILE_FORMATS)}")
        folder, (suffix, subtype) = Path(folder), FILE_FORMATS[file_format]
        for stem in self.stems:
            if check_file_name(stem, "stem").lower() == MIX:
                raise InputError(f"stem: {stem!r} is the name of the mix; use another")
        song = self.within_peak()
        for name, waveform in {**song.waveforms, MIX: song.mix}.items():
            write_audio(folder / f"{name}{suffix}", waveform, song.sample_rate, subtype)
        facts = {"format": FORMAT, "stems": list(song.stems), "sample_rate": song.sample_rate}
        facts |= {"num_samples": song.num_samples, "seconds": song.seconds, "file_format": file_format}
        write_json(folder / SONG_FILE, {**facts, **song.info})
        return folder


def load_song(folder: str | Path) -> Song:
    """Read what `Song.save` wrote.

    Raises:
        InputError: there is no song, `song.json` is damaged, or a file is missing, damaged, or of another rate or
            length.
    """
    folder = Path(folder)
    facts = _read_facts(folder / SONG_FILE)
    suffix, _ = FILE_FORMATS[facts["file_format"]]
    rate, num_samples = facts["sample_rate"], facts["num_samples"]
    waveforms = {}
    for stem in facts["stems"]:
        path = folder / f"{check_file_name(stem, str(folder / SONG_FILE))}{suffix}"
        found = audio_info(path)
        if found != (rate, num_samples):
            raise InputError(
                f"{path}: has {found.num_samples} samples at {found.sample_rate} Hz, not {num_samples} at {rate}"
            )
        waveforms[stem] = read_audio(path, 0, num_samples, rate)
    own = ("format", "stems", "sample_rate", "num_samples", "seconds", "file_format")
    return Song(waveforms, rate, {key: value for key, value in facts.items() if key not in own})


def load_songs(folder: str | Path) -> list[Song]:
    """Read all songs of a folder that `synctrack generate` wrote, or the one song that the folder is.

    Returns:
        The songs, in the order of their folders' names.

    Raises:
        InputError: the folder holds no song, or one of them is damaged.

    Example:
        >>> from synctrack import load_songs
        >>> for song in load_songs("out"):  # doctest: +SKIP
        ...     print(song.stems, song.seconds)
    """
    folder = Path(folder)
    if (folder / SONG_FILE).is_file():
        return [load_song(folder)]
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name one that synctrack generate wrote")
    songs = sorted(path.parent for path in folder.glob(f"*/{SONG_FILE}"))
    if not songs:
        raise InputError(f"{folder}: holds no {SONG_FILE}, neither itself nor in its folders; is it a song's folder?")
    return [load_song(song) for song in songs]


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; name a folder that Song.save or synctrack generate wrote") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from error
    whole = isinstance(facts, dict) and facts.get("format") == FORMAT and facts.get("file_format") in FILE_FORMATS
    stems = facts.get("stems") if whole else None
    named = isinstance(stems, list) and stems and all(isinstance(stem, str) for stem in stems)
    counts = whole and all(type(facts.get(key)) is int and facts[key] > 0 for key in ("sample_rate", "num_samples"))
    if not (named and counts and len(set(stems)) == len(stems)):
        raise InputError(f"{path}: is damaged or of another version; generate the song again")
    return facts
