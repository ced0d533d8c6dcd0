"""The audio of a report page: FLAC in base 64, of the songs that fit."""

import base64
import io
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from synctrack.audio.files import read_channels
from synctrack.metrics.beats.layout import Layout
from synctrack.metrics.compare import match_stems

MEGABYTE = 2**20
FEWEST = 3  # songs for which there is room, however long they are: the worst, the best and one more
HIGHEST_RATE = 192_000  # Hz; players and FLAC know few beyond, and no ear hears them
MISFITS = 3  # songs too large for the room left, one after another, after which no further one is tried


def choose(order: Sequence[str]) -> list[str]:
    """The songs in the order in which audio is embedded: worst, best, middle, and so on between."""
    left, chosen = list(order), []
    while left:
        turn = len(chosen) % 3
        chosen.append(left.pop((0, len(left) - 1, len(left) // 2)[turn]))
    return chosen


def flac_url(path: Path, seconds: float | None = None) -> tuple[str, int]:
    """A file as a data URL of FLAC, 16 bit, channels averaged; and its sample rate.

    Args:
        path: of the file.
        seconds: of its beginning that are taken; all where None.

    Raises:
        InputError: the file cannot be read.
    """
    file, buffer = read_channels(path), io.BytesIO()
    samples = file.samples if seconds is None else file.samples[: max(1, round(seconds * file.sample_rate))]
    mono, rate = samples.mean(axis=1), min(file.sample_rate, HIGHEST_RATE)
    if rate != file.sample_rate:
        mono = soxr.resample(mono, file.sample_rate, rate)
    soundfile.write(buffer, np.clip(mono, -1, 1), rate, "PCM_16", format="FLAC")
    return "data:audio/flac;base64," + base64.b64encode(buffer.getvalue()).decode(), rate


def _encode(sides: Mapping[str, Mapping[str, Path]], seconds: float | None) -> dict[str, Any]:
    encoded = {side: {stem: flac_url(path, seconds) for stem, path in files.items()} for side, files in sides.items()}
    audio = {side: {stem: url for stem, (url, _) in stems.items()} for side, stems in encoded.items()}
    return {**audio, "rate": max(rate for stems in encoded.values() for _, rate in stems.values())}


def _size(audio: Mapping[str, Any]) -> int:
    return sum(len(url) for side in ("stems", "target") for url in audio.get(side, {}).values())


def song_audio(song: str, folder: Layout, reference: Layout | None, most: float = math.inf) -> dict[str, Any]:
    """What the player needs to play a song: `stems`, `target` where the reference has it, and the `rate` of both.

    Args:
        song: its name.
        folder: files of the songs.
        reference: files of the targets, with the same stems; None without.
        most: bytes of the page that it may take. A longer song is cut to its beginning, of `seconds`.

    Raises:
        InputError: a file cannot be read.
    """
    sides = {"stems": {stem: files[song] for stem, files in folder.stems.items() if song in files}}
    if reference is not None:
        theirs = match_stems(list(folder.stems), list(reference.stems))
        found = {stem: reference.stems[theirs[stem]] for stem in folder.stems}
        sides["target"] = {stem: files[song] for stem, files in found.items() if song in files}
    sides = {side: files for side, files in sides.items() if files}
    audio = _encode(sides, None)
    size = _size(audio)
    if size > most:
        longest = max(len(file.samples) / file.sample_rate for file in map(read_channels, sides["stems"].values()))
        # A little less, as the beginning may be louder than the rest.
        seconds = 0.9 * longest * most / size
        audio = {**_encode(sides, seconds), "seconds": seconds}
    return audio


def embed_audio(
    order: Sequence[str],
    folder: Layout | None,
    reference: Layout | None,
    max_mb: float,
    last: Collection[str] = (),
) -> dict[str, dict[str, Any]]:
    """Song → `song_audio`, of the songs that fit into `max_mb` megabytes, taken as `choose` says.

    Songs so long that not even FEWEST would fit are cut to their beginnings.

    Args:
        order: the songs from worst to best.
        folder: their files; None gives no audio.
        reference: files of the targets, where there are any.
        max_mb: of the text of the page that audio may take.
        last: songs that come after all others, such as those without scores, which are neither best nor worst.

    Raises:
        InputError: a file cannot be read.
    """
    chosen = [*choose([song for song in order if song not in last]), *(song for song in order if song in last)]
    audio: dict[str, dict[str, Any]] = {}
    room, misfits = max_mb * MEGABYTE, 0
    most = room / max(1, min(FEWEST, len(order)))
    for song in chosen if folder is not None and max_mb > 0 else ():
        found = song_audio(song, folder, reference, most)
        size = _size(found)
        if size <= room:
            room, misfits, audio[song] = room - size, 0, found
        else:
            misfits += 1
        if misfits == MISFITS:
            break
    return audio


def audio_lines(order: Sequence[str], audio: Mapping[str, Mapping[str, Any]], max_mb: float) -> list[str]:
    """What the page says of the audio that is not in it; nothing where all is.

    Args:
        order: the songs.
        audio: of `embed_audio`.
        max_mb: what it was given.
    """
    lines, left_out = [], len(order) - len(audio)
    if left_out:
        which = "the worst, the best and a sample of the others fill" if audio else "none fits into"
        lines.append(f"{left_out} of {len(order)} songs have no audio here: {which} {max_mb:g} MB (--max-mb).")
    cut = sum("seconds" in found for found in audio.values())
    if cut:
        songs = "1 song is cut to its beginning" if cut == 1 else f"{cut} songs are cut to their beginnings"
        lines.append(f"{songs}, to fit into {max_mb:g} MB (--max-mb).")
    return lines
