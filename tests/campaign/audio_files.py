"""Audio files and folders of them: damaged, no audio, of absurd rates and lengths, no ordinary files, odd names."""

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

from campaign.cases import GENERATE, QUICK, TRAIN, Case


def _wav(
    rate: int = 16000,
    channels: int = 1,
    bits: int = 16,
    audio_format: int = 1,
    data: bytes = bytes(32000),
    claimed: int | None = None,
) -> bytes:
    """A WAV file whose header says what it is told to."""
    block = max(1, channels * bits // 8)
    form = struct.pack("<HHIIHH", audio_format, channels, rate, (rate * block) % 2**32, block, bits)
    size = len(data) if claimed is None else claimed
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


NAN = struct.pack("<f", float("nan"))
FILES: dict[str, bytes] = {
    "empty": b"",
    "text": b"hello",
    "random bytes": bytes(range(256)) * 8,
    "only a head": _wav(data=b"")[:20],
    "no samples": _wav(data=b""),
    "one third": _wav(data=bytes(1000), claimed=3000),
    "rate zero": _wav(rate=0),
    "rate 1 Hz": _wav(rate=1),
    "rate 2 GHz": _wav(rate=2_000_000_000),
    "no channels": _wav(channels=0),
    "2,000 channels": _wav(channels=2000, data=bytes(8000)),
    "unknown format": _wav(audio_format=0x7777),
    "0 bits": _wav(bits=0),
    "NaN": _wav(bits=32, audio_format=3, data=8000 * NAN),
    "infinite": _wav(bits=32, audio_format=3, data=8000 * struct.pack("<f", float("inf"))),
    "FLAC's head": b"fLaC" + bytes(200),
    "MP3's head": b"ID3\x03" + bytes(2000),
}

SEPARATE = ("synctrack", "separate", "bad.wav", "--out", "out", *QUICK)
GIVEN = (*GENERATE, "--given", "drums=bad.wav")
SCORE = ("synctrack", "score", "--strict", "songs")
SCORE_ALL = ("synctrack", "score", "songs")
CHECK = ("synctrack", "check", "songs")
REFUSE = (*TRAIN, "data.params.unreadable=refuse", "data.params.path.train_data=songs")
SKIP = (*TRAIN, "data.params.path.train_data=songs")


def _songs(content: bytes | None, every: bool = False) -> Callable[[Path, Path], None]:
    """Two songs, a file of one damaged, or every file of both; None leaves a pipe in its place."""

    def prepare(folder: Path, shared: Path) -> None:
        for song in ("a", "b"):
            shutil.copytree(shared / "data/train/Groove00000", folder / "songs" / song)
        chosen = folder.glob("songs/*/*.wav") if every else [folder / "songs/a/bass.wav"]
        for path in list(chosen):
            path.unlink()
            if content is None:
                os.mkfifo(path)
            else:
                path.write_bytes(content)

    return prepare


def _single(kind: str) -> Callable[[Path, Path], None]:
    def prepare(folder: Path, _: Path) -> None:
        path = folder / "bad.wav"
        if kind == "a pipe":
            os.mkfifo(path)
        elif kind == "a folder":
            path.mkdir()
        elif kind == "a link to nothing":
            path.symlink_to("nowhere.wav")
        elif kind == "a link to itself":
            path.symlink_to("bad.wav")
        else:
            path.symlink_to(kind)

    return prepare


def _odd_name(name: bytes) -> Callable[[Path, Path], None]:
    def prepare(folder: Path, shared: Path) -> None:
        shutil.copytree(shared / "data/train/Groove00000", folder / "songs/a")
        shutil.copytree(shared / "data/train/Groove00000", os.fsdecode(os.fsencode(folder / "songs") + b"/" + name))
        (folder / "songs/a/bass.wav").write_bytes(b"hello")
        Path(os.fsdecode(os.fsencode(folder / "songs") + b"/" + name), "bass.wav").write_bytes(b"hello")

    return prepare


def cases() -> list[Case]:
    """All of them."""
    found = []
    for name, content in FILES.items():
        files = {"bad.wav": content}
        found.append(Case(f"mix: {name}", SEPARATE, ("bad.wav",), files))
        found.append(Case(f"given: {name}", GIVEN, ("bad.wav",), files))
        found.append(Case(f"every file of a training: {name}", SKIP, ("songs",), prepare=_songs(content, every=True)))
        found.append(
            Case(f"every file of songs to score: {name}", SCORE_ALL, ("songs",), prepare=_songs(content, True))
        )
        found.append(Case(f"every file of songs to check: {name}", CHECK, ("songs",), prepare=_songs(content, True)))
        if name not in ("NaN", "infinite"):
            found.append(Case(f"a file of a training: {name}", REFUSE, ("bass.wav",), prepare=_songs(content)))
        found.append(Case(f"a file to score: {name}", SCORE, ("bass.wav",), prepare=_songs(content)))
    for kind in ("a pipe", "a folder", "a link to nothing", "a link to itself", "/dev/zero", "/dev/null", "/dev/stdin"):
        found.append(Case(f"mix: {kind}", SEPARATE, ("bad.wav",), prepare=_single(kind)))
        found.append(Case(f"given: {kind}", GIVEN, ("bad.wav",), prepare=_single(kind)))
    for what, command in (("training", REFUSE), ("score", SCORE), ("check", CHECK)):
        found.append(Case(f"pipes for stems: {what}", command, ("songs",), prepare=_songs(None, every=True)))
    for name in (b"caf\xe9", b"a\nb", b"\xff\xfe", 250 * b"n"):
        shown = repr(name)[:20]
        for what, command in (("training", REFUSE), ("score", SCORE)):
            case = Case(f"folder called {shown}: {what}", command, ("bass.wav", "songs"), prepare=_odd_name(name))
            found.append(case)
    return found
