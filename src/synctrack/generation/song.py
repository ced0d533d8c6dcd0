"""A song: stems that belong together, in memory and as a folder of audio files with `song.json`.

song/bass.wav, song/drums.wav, …   one file for each stem
song/mix.wav                       their sum
song/song.json                     stems, sample rate, gain, beats and how the song was made; written last

For music programs (`daw=True`) the files are 01_bass.wav, …, 00_mix.wav and 00_beats.mid.
"""

import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from synctrack.audio.beat_files import Beats, write_midi_beats
from synctrack.audio.files import BLOCK, audio_info, new_waveforms, peak_gain, read_audio, write_audio
from synctrack.bounds import MIX, check_stems
from synctrack.documents import has_form, read_json
from synctrack.errors import InputError
from synctrack.files import check_file_name, write_json
from synctrack.generation.daw import at_rate, daw_names, from_first_bar
from synctrack.generation.timing import beats_json
from synctrack.manifest import SONG_FILE

logger = logging.getLogger(__name__)

FORMAT = 1
FILE_FORMATS = {
    "wav16": (".wav", "PCM_16"),
    "wav24": (".wav", "PCM_24"),
    "float": (".wav", "FLOAT"),
    "flac": (".flac", "PCM_24"),
}
"""Name of a file format -> suffix and libsndfile's sample type."""
FACTS = {"format": int, "file_format": str, "stems": [str], "sample_rate": int, "num_samples": int}
"""What each song.json holds, see `has_form`."""


@dataclass(frozen=True, eq=False)
class Song:
    """Stems that play together.

    Attributes:
        waveforms: stem -> float32 (num_samples,), full scale 1, all of one length.
        sample_rate: Hz.
        info: how the song was made, as JSON: model, seed, sampling, gain and more. Songs that keep given audio have a
            `mix_gain`, and their stems are written as they are.
        beats: of the song, where they are known.

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
    beats: Beats | None = None

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
    def loops(self) -> bool:
        """Whether the end goes over into the beginning, as `info` says."""
        steering = self.info.get("steering")
        return isinstance(steering, Mapping) and steering.get("loop") is True

    @property
    def gain(self) -> float:
        """What the stems were multiplied by after generation, as `info` says; 1 where it does not."""
        return float(self.info.get("gain", 1.0))

    @property
    def mix(self) -> np.ndarray:
        """The sum of the stems, float32 (num_samples,), times `info["mix_gain"]` where there is one."""
        mix, gain = new_waveforms((self.num_samples,)), np.float32(self.info.get("mix_gain", 1.0))
        for begin in range(0, self.num_samples, BLOCK):
            block = [wave[begin : begin + BLOCK] for wave in self.waveforms.values()]
            mix[begin : begin + BLOCK] = np.sum(block, axis=0, dtype=np.float32) * gain
        return mix

    @property
    def sha256(self) -> str:
        """The hexadecimal SHA-256 of the stems' float32 samples, in the order of the stems' names."""
        digest = hashlib.sha256()
        for stem in sorted(self.stems):
            digest.update(np.ascontiguousarray(self.waveforms[stem], np.float32).tobytes())
        return digest.hexdigest()

    def __getitem__(self, stem: str) -> np.ndarray:
        """The waveform of a stem, float32 (num_samples,). Raises KeyError that lists the stems."""
        if stem not in self.waveforms:
            raise KeyError(f"{stem!r}: the song's stems are {', '.join(self.stems)}")
        return self.waveforms[stem]

    def __repr__(self) -> str:
        return f"Song({', '.join(self.stems)}; {self.seconds:.2f} s at {self.sample_rate} Hz)"

    def within_peak(self) -> "Song":
        """The song with one gain for all stems, at most 1, that keeps stems and mix at or below -1 dBFS.

        The gain is multiplied into `info["gain"]`. A song that has a `mix_gain` keeps its stems: only that is lowered.
        """
        if "mix_gain" in self.info:
            return replace(self, info=self.info | {"mix_gain": self.info["mix_gain"] * peak_gain([self.mix])})
        gain, waveforms = peak_gain([*self.waveforms.values(), self.mix]), {}
        for stem, wave in self.waveforms.items():
            waveforms[stem] = wave if gain == 1 and wave.dtype == np.float32 else new_waveforms((self.num_samples,))
            np.multiply(wave, np.float32(gain), out=waveforms[stem], casting="unsafe")
        return replace(self, waveforms=waveforms, info=self.info | {"gain": gain * self.gain})

    def save(
        self, folder: str | Path, file_format: str = "wav16", *, daw: bool = False, sample_rate: int | None = None
    ) -> Path:
        """Write one file for each stem, the mix and `song.json` into `folder`.

        Args:
            folder: made where it is not there; files of the same names are replaced.
            file_format: `wav16`, `wav24`, `float` or `flac` (24 bit). One gain keeps stems and mix at or below -1 dBFS
                in all of them, see `within_peak`; a song with a `mix_gain` keeps its stems, and what is beyond full
                scale is clipped unless the format is `float`.
            daw: for music programs: names that sort well, such as `01_bass.wav`; where the beats are known, whole bars
                from the first downbeat on, and a MIDI file with tempo map and a marker for each bar.
            sample_rate: of the files, in Hz; by default the song's.

        Returns:
            The folder.

        Raises:
            InputError: the format or the rate is unknown, a stem's name is not a file name, or the folder cannot be
                written.
        """
        if file_format not in FILE_FORMATS:
            raise InputError(f"format: {file_format!r} must be one of {', '.join(FILE_FORMATS)}")
        try:
            check_stems("stems", self.stems)
        except ValueError as error:
            raise InputError(str(error)) from error
        song = self if sample_rate in (None, self.sample_rate) else at_rate(self, sample_rate)
        names = {name: name for name in (*self.stems, MIX)}
        if daw:
            song, names = from_first_bar(song), daw_names(self.stems, MIX)
        return _write(song.within_peak(), Path(folder), file_format, names, daw)


def _write(song: Song, folder: Path, file_format: str, names: Mapping[str, str], daw: bool) -> Path:
    (suffix, subtype), exact = FILE_FORMATS[file_format], "mix_gain" in song.info
    for name in song.stems:
        path = folder / f"{names[name]}{suffix}"
        if exact and file_format != "float" and peak_gain([song[name]], 0.0) < 1:
            logger.warning("%s: exceeds full scale and is clipped; format float keeps it as it is", path)
        write_audio(path, song[name], song.sample_rate, subtype, exact)
    write_audio(folder / f"{names[MIX]}{suffix}", song.mix, song.sample_rate, subtype)
    if daw and song.beats is not None:
        write_midi_beats(folder / "00_beats.mid", song.beats)
    facts = {"format": FORMAT, "stems": list(song.stems), "sample_rate": song.sample_rate}
    facts |= {"num_samples": song.num_samples, "seconds": song.seconds, "file_format": file_format}
    if daw:
        facts["files"] = {name: f"{names[name]}{suffix}" for name in (*song.stems, MIX)}
    if song.beats is not None:
        facts["beats"] = beats_json(song.beats)
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
    rate, num_samples = facts["sample_rate"], facts["num_samples"]
    waveforms = {}
    for stem, path in _audio_paths(folder, facts, facts["stems"]).items():
        found = audio_info(path)
        if found != (rate, num_samples):
            raise InputError(
                f"{path}: has {found.num_samples} samples at {found.sample_rate} Hz, not {num_samples} at {rate}"
            )
        waveforms[stem] = read_audio(path, 0, num_samples, rate)
    own = ("format", "stems", "sample_rate", "num_samples", "seconds", "file_format", "files", "beats")
    info = {key: value for key, value in facts.items() if key not in own}
    return Song(waveforms, rate, info, _read_beats(folder / SONG_FILE, facts.get("beats")))


def is_whole(folder: str | Path) -> bool:
    """Whether a folder holds all of a song that `Song.save` wrote into it, mix included, and none of it is damaged."""
    folder = Path(folder)
    try:
        facts = _read_facts(folder / SONG_FILE)
        found = {audio_info(path) for path in _audio_paths(folder, facts, (*facts["stems"], MIX)).values()}
    except InputError:
        return False
    return found == {(facts["sample_rate"], facts["num_samples"])}


def _audio_paths(folder: Path, facts: dict[str, Any], names: Sequence[str]) -> dict[str, Path]:
    """The files of stems, and of the mix, in a song's folder."""
    suffix, _ = FILE_FORMATS[facts["file_format"]]
    files = {name: facts.get("files", {}).get(name, f"{name}{suffix}") for name in names}
    return {name: folder / check_file_name(file, str(folder / SONG_FILE)) for name, file in files.items()}


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
    if not path.exists():
        raise InputError(f"{path}: no such file; name a folder that Song.save or synctrack generate wrote")
    facts = read_json(path)
    known = has_form(facts, FACTS) and facts["format"] == FORMAT and facts["file_format"] in FILE_FORMATS
    known = known and has_form(facts.get("files", {}), {str: str})
    if not (known and facts["stems"] and len(set(facts["stems"])) == len(facts["stems"])):
        raise InputError(f"{path}: is damaged or of another version; generate the song again")
    counts = facts["sample_rate"] > 0 and facts["num_samples"] > 0
    if not counts or not all(_is_gain(facts.get(key, 1.0)) for key in ("gain", "mix_gain")):
        raise InputError(f"{path}: is damaged or of another version; generate the song again")
    return facts


def _is_gain(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf


def _read_beats(path: Path, stored: Any) -> Beats | None:
    if stored is None:
        return None
    try:
        return Beats(stored["beats"], stored["downbeats"])
    except (LookupError, TypeError, InputError) as error:
        raise InputError(f"{path}: its beats are damaged ({error}); generate the song again") from error
