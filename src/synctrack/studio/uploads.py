"""Files that a person gives: taken up to a size, decoded by soundfile, kept in the session's folder by our own names.

The name that a file had is never used for a path; it is only shown.
"""

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from synctrack.audio.beat_files import read_beats
from synctrack.audio.files import audio_info
from synctrack.errors import InputError
from synctrack.studio.sessions import Session

MAX_AUDIO_BYTES = 64 * 2**20
MAX_BEATS_BYTES = 2**20
MAX_VALUES = 2**27  # samples of all channels, once decoded
MAX_CHANNELS = 16
RATES = (4000, 384_000)  # Hz
MOST_FILES = 100
BEAT_SUFFIXES = (".json", ".txt", ".beats", ".mid", ".midi")
FORMATS = {"WAV": ".wav", "WAVEX": ".wav", "FLAC": ".flac", "OGG": ".ogg", "MP3": ".mp3", "AIFF": ".aiff"}
"""libsndfile's name of a container that is taken -> suffix."""
TOKEN = re.compile(r"\d{3}\.[a-z0-9]{2,5}")
KINDS = ("audio", "beats")


@dataclass(frozen=True)
class Upload:
    """A file that was taken: its name in the session, and what to say of it."""

    token: str
    text: str


async def take_upload(
    session: Session, kind: str, shown: str, chunks: AsyncIterable[bytes], max_seconds: float
) -> Upload:
    """Take a file up.

    Args:
        session: that it belongs to.
        kind: `audio` or `beats`.
        shown: the name that it had, for messages, and for the suffix of a file of beats.
        chunks: its content.
        max_seconds: of audio.

    Raises:
        InputError: it is too large or too long, cannot be decoded, or the session has too many files.
    """
    if kind not in KINDS:
        raise InputError(f"upload: {kind!r} must be one of {', '.join(KINDS)}")
    shown = "".join(letter for letter in shown if letter.isprintable())[-80:] or "file"
    suffix = Path(shown).suffix.lower()
    if kind == "beats" and suffix not in BEAT_SUFFIXES:
        raise InputError(f"{shown}: is not a file of beats; its name must end in {', '.join(BEAT_SUFFIXES)}")
    folder = session.folder / "uploads"
    _check_room(folder)
    limit = MAX_AUDIO_BYTES if kind == "audio" else MAX_BEATS_BYTES
    # Made here and not in the system's folder: nothing is written outside the session's.
    handle, name = tempfile.mkstemp(prefix=".incoming-", suffix=suffix if kind == "beats" else "", dir=folder)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            await _receive(file, chunks, limit, shown)
        # In a thread: the pages of others go on meanwhile.
        return await asyncio.to_thread(_checked, path, folder, kind, suffix, shown, max_seconds)
    except OSError as error:
        raise InputError(f"{shown}: cannot be kept ({error.strerror or error}); is there room?") from error
    finally:
        path.unlink(missing_ok=True)


def _checked(path: Path, folder: Path, kind: str, suffix: str, shown: str, max_seconds: float) -> Upload:
    if kind == "beats":
        text = _check_beats(path, shown)
    else:
        text, suffix = _check_audio(path, shown, max_seconds), _audio_suffix(path)
    return Upload(_keep(path, folder, suffix), text)


def find_upload(session: Session, token: str) -> Path:
    """The file of a token that `take_upload` gave. Raises InputError where there is none."""
    if isinstance(token, str) and TOKEN.fullmatch(token):
        path = session.folder / "uploads" / token
        if path.is_file():
            return path
    raise InputError("upload: the file is gone; give it again")


def _check_room(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); free or choose another place") from error
    if sum(1 for _ in folder.iterdir()) >= MOST_FILES:
        raise InputError(f"upload: the session holds {MOST_FILES} files, as many as there may be; open a new session")


async def _receive(file: BinaryIO, chunks: AsyncIterable[bytes], limit: int, shown: str) -> None:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise InputError(f"{shown}: is larger than {limit >> 20} MiB; give a shorter part of it, or FLAC")
        file.write(chunk)
    if not size:
        raise InputError(f"{shown}: is empty; give another file")


def _check_audio(path: Path, shown: str, max_seconds: float) -> str:
    """Decode all of a file, in blocks, and say what it is."""
    try:
        info = audio_info(path)
        with soundfile.SoundFile(path) as file:
            if file.format not in FORMATS:
                raise InputError(f"{shown}: is {file.format}; give WAV, FLAC, Ogg, MP3 or AIFF")
            channels = file.channels
            if channels > MAX_CHANNELS or not RATES[0] <= file.samplerate <= RATES[1]:
                raise InputError(f"{shown}: has {channels} channels at {file.samplerate} Hz, which is out of bounds")
            if info.seconds > max_seconds or info.num_samples * channels > MAX_VALUES:
                raise InputError(f"{shown}: is {info.seconds:.0f} s long; up to {max_seconds:g} s are taken")
            if not all(np.isfinite(block).all() for block in file.blocks(2**18, dtype="float32")):
                raise InputError(f"{shown}: holds samples that are not numbers; give another file")
    except (InputError, soundfile.SoundFileError) as error:
        raise InputError(str(error).replace(str(path), shown)) from error
    return f"{shown}: {info.seconds:.2f} s at {info.sample_rate} Hz"


def _audio_suffix(path: Path) -> str:
    with soundfile.SoundFile(path) as file:
        return FORMATS[file.format]


def _check_beats(path: Path, shown: str) -> str:
    try:
        beats = read_beats(path)
    except InputError as error:
        raise InputError(str(error).replace(str(path), shown)) from error
    return f"{shown}: {len(beats.beats)} beats at {beats.bpm:.1f} BPM"


def _keep(path: Path, folder: Path, suffix: str) -> str:
    """Give a checked file a name of its own: the first number that is free."""
    for number in range(1, 1000):
        token = f"{number:03d}{suffix}"
        if any(folder.glob(f"{number:03d}.*")):
            continue
        try:
            (folder / token).touch(exist_ok=False)
        except FileExistsError:
            continue
        path.replace(folder / token)
        return token
    raise InputError("upload: the session holds too many files; open a new session")
