"""The audio of a report page: FLAC in base 64, of the songs that fit."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from synctrack.audio.files import read_channels
from synctrack.metrics.beats.layout import Layout

MEGABYTE = 2**20
MISFITS = 3  # songs too large for the room left, one after another, after which no further one is tried


def choose(order: Sequence[str]) -> list[str]:
    """The songs in the order in which audio is embedded: worst, best, middle, and so on between."""
    left, chosen = list(order), []
    while left:
        turn = len(chosen) % 3
        chosen.append(left.pop((0, len(left) - 1, len(left) // 2)[turn]))
    return chosen


def flac_url(path: Path) -> tuple[str, int]:
    """A file as a data URL of FLAC, 16 bit, channels averaged; and its sample rate.

    Raises:
        InputError: the file cannot be read.
    """
    file, buffer = read_channels(path), io.BytesIO()
    mono = np.clip(np.nan_to_num(file.samples.mean(axis=1)), -1, 1)
    soundfile.write(buffer, mono, file.sample_rate, "PCM_16", format="FLAC")
    return "data:audio/flac;base64," + base64.b64encode(buffer.getvalue()).decode(), file.sample_rate


def song_audio(song: str, folder: Layout, reference: Layout | None) -> dict[str, Any]:
    """What the player needs to play a song: `stems` and, where the reference has it, `target`; and their `rate`.

    Args:
        song: its name.
        folder: files of the songs.
        reference: files of the targets; None without.

    Raises:
        InputError: a file cannot be read.
    """
    audio, rates = {}, []
    for side, layout in {"stems": folder, **({"target": reference} if reference else {})}.items():
        encoded = {stem: flac_url(files[song]) for stem, files in layout.stems.items() if song in files}
        if encoded:
            audio[side] = {stem: url for stem, (url, _) in encoded.items()}
            rates += [rate for _, rate in encoded.values()]
    return {**audio, "rate": max(rates)}


def embed_audio(
    order: Sequence[str], folder: Layout | None, reference: Layout | None, max_mb: float
) -> dict[str, dict[str, Any]]:
    """Song → `song_audio`, of the songs that fit into `max_mb` megabytes, taken as `choose` says.

    Args:
        order: the songs from worst to best.
        folder: their files; None gives no audio.
        reference: files of the targets, where there are any.
        max_mb: of the text of the page that audio may take.

    Raises:
        InputError: a file cannot be read.
    """
    audio: dict[str, dict[str, Any]] = {}
    room, misfits = max_mb * MEGABYTE, 0
    for song in choose(order) if folder is not None and max_mb > 0 else ():
        found = song_audio(song, folder, reference)
        size = sum(len(url) for side in ("stems", "target") for url in found.get(side, {}).values())
        if size <= room:
            room, misfits, audio[song] = room - size, 0, found
        else:
            misfits += 1
        if misfits == MISFITS:
            break
    return audio
