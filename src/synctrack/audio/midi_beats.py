"""Beats of MIDI files: read from tempo map and time signatures, and written as a tempo map with a marker for each bar.

Reading needs mido, of the extra `midi`; writing needs nothing. Format: MIDI Manufacturers Association, "Standard MIDI
Files 1.0", 1988 (RP-001).
"""

from __future__ import annotations

import re
import struct
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from synctrack.audio.beats import LONGEST_SECONDS, Beats
from synctrack.errors import InputError, needs_extra
from synctrack.files import atomic_path, require_ordinary

if TYPE_CHECKING:
    import mido

# What MIDI assumes where a file says nothing: 120 quarters per minute, 4/4.
DEFAULT_TEMPO = 500_000
MOST_BEATS = 1_000_000
LARGEST_FILE = 2 * 2**20  # bytes
LONGEST_DELTA = 2**28 - 1
"""Ticks between two events: RP-001 limits variable-length numbers to four bytes."""
ENDLESS_NUMBER = re.compile(rb"[\x80-\xff]{4096}")
"""Bytes of a variable-length number that does not end, which takes mido a time that grows with its square."""
MAX_DENOMINATOR = 64
# A beat that is followed by a new time signature within this share of itself is the signature's first beat, misplaced.
MISPLACED = 1 / 8

TICKS_PER_QUARTER = 480
MAX_TEMPO = 2**24 - 1  # microseconds per quarter
SHORTEST_BEAT = 1000  # microseconds
MAX_NUMERATOR = 255
SHORT_LEAD_IN = 250_000  # microseconds
TEMPO_TOLERANCE = (
    49  # microseconds by which a beat may be off, so that a steady tempo stays one tempo; rounding adds 0.5
)

# Markers of the files that we write. `lead-in` stands before the first beat, `pickup` before the first downbeat;
# `beats` where no downbeats are known.
LEAD_IN, PICKUP, NO_BARS = "lead-in", "pickup", "beats"
OUR_MARKER = re.compile(rf"{LEAD_IN}|{PICKUP}|{NO_BARS}|bar \d+")


def import_mido() -> ModuleType:
    """The package mido. Raises InputError, naming the extra `midi`, where it is not installed."""
    with needs_extra("midi", "MIDI files"):
        import mido
    return mido


def read_midi_file(path: str | Path) -> mido.MidiFile:
    """Read a MIDI file that counts in beats.

    Raises:
        InputError: missing, no MIDI, damaged, larger than 2 MiB, counted in film frames, or a set of separate songs
            (type 2); or mido is not installed.
    """
    mido, path = import_mido(), Path(path)
    content = _content(path)
    try:
        song = mido.MidiFile(str(path), BytesIO(content), clip=True)
    except Exception as error:
        # A damaged file can raise any exception; the file is at fault in each case.
        raise InputError(f"{path}: is not a readable MIDI file ({error or type(error).__name__})") from error
    if song.ticks_per_beat <= 0 or song.type == 2:
        raise InputError(f"{path}: counts film frames or holds separate songs: it has no beats")
    if max((message.time for track in song.tracks for message in track), default=0) > LONGEST_DELTA:
        raise InputError(f"{path}: has more ticks between two events than MIDI can state; it is taken as damaged")
    return song


def _content(path: Path) -> bytes:
    """The bytes of a MIDI file, unless reading them as MIDI would take for ever."""
    require_ordinary(path)
    try:
        if path.stat().st_size > LARGEST_FILE:
            limit = f"{LARGEST_FILE >> 20} MiB, some 300,000 notes"
            raise InputError(f"{path}: is larger than {limit}; cut it, or leave it out")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: is not a readable MIDI file ({error.strerror or error})") from error
    if ENDLESS_NUMBER.search(content):
        raise InputError(f"{path}: is not a readable MIDI file (it holds a number of thousands of bytes)")
    return content


def beat_times(song: mido.MidiFile, seconds: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Beats and downbeats in seconds, by the song's tempo map and time signatures.

    A beat is the signature's denominator; in compound time (6/8, 9/8, 12/8, ...) three of them. Files written by
    `write_midi_beats` give the beats that were written: its markers tell what is no beat or no downbeat.

    Args:
        seconds: where the beats end, before or beyond the song's own end; the end of its last event where None.

    Raises:
        InputError: a tempo of 0, a time signature of a denominator above 64, or more beats or seconds than a song has.
    """
    where = str(song.filename or "MIDI song")
    tempos, signatures, markers, end = _events(song, where)
    per_tick = np.array([tempo for _, tempo in tempos]) / 1e6 / song.ticks_per_beat
    starts = np.array([tick for tick, _ in tempos], dtype=np.float64)
    passed = np.concatenate([[0.0], np.cumsum(np.diff(starts) * per_tick[:-1])])
    if seconds is not None:
        region = np.searchsorted(passed, seconds, side="right") - 1
        end = starts[region] + (seconds - passed[region]) / per_tick[region]
    beats, downbeats = _grid(signatures, end, song.ticks_per_beat, where)
    texts = _marked(beats, markers)
    beats = beats[texts != LEAD_IN]
    downbeats = downbeats[~np.isin(_marked(downbeats, markers), (LEAD_IN, PICKUP, NO_BARS))]

    def times(ticks: np.ndarray) -> np.ndarray:
        # Of several changes at one tick, the last holds.
        region = np.searchsorted(starts, ticks, side="right") - 1
        return passed[region] + (ticks - starts[region]) * per_tick[region]

    if len(beats) and times(beats)[-1] > LONGEST_SECONDS:
        raise InputError(f"{where}: its last beat is at {times(beats)[-1]:g} s; it is taken as damaged")
    return times(beats), times(downbeats)


def write_midi_beats(path: str | Path, beats: Beats) -> None:
    """Write beats as a Standard MIDI File without notes, from which music programs take tempo, meter and bars.

    Each beat is a quarter. Beats lie within 0.05 ms of where they are in `beats`, over any length: the tempo changes
    where it has to, at most once a beat. Each bar has a marker, `bar 1` and so on. What precedes the first beat is a
    bar of its own with the marker `lead-in`, and beats before the first downbeat are one with the marker `pickup`;
    beats without downbeats are bars of one quarter after the marker `beats`. `beat_times` reads all of this back.

    Raises:
        InputError: two beats lie less than 1 ms or more than 16.7 s apart, the first lies beyond 1677 s, a bar has more
            than 255 beats, or the place cannot be written.
    """
    track, before = bytearray(), 0
    for tick, event in _beat_events(beats, str(path)):
        track += _variable_length(tick - before) + event
        before = tick
    header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, TICKS_PER_QUARTER)
    with atomic_path(path) as temporary:
        temporary.write_bytes(header + struct.pack(">4sI", b"MTrk", len(track)) + track)


def _events(
    song: mido.MidiFile, where: str
) -> tuple[list[tuple[int, int]], list[tuple[int, int, int]], list[tuple[int, str]], int]:
    """Tempos, time signatures and our markers, each with its tick, in order; and the tick of the last event."""
    tempos, signatures, markers, tick = [(0, DEFAULT_TEMPO)], [(0, 4, 4)], [], 0
    for message in import_mido().merge_tracks(song.tracks):
        tick += message.time
        if message.type == "set_tempo":
            if message.tempo == 0:
                raise InputError(f"{where}: has a tempo of 0 microseconds per quarter; it is taken as damaged")
            tempos.append((tick, message.tempo))
        elif message.type == "time_signature" and message.numerator:
            if message.denominator > MAX_DENOMINATOR:
                raise InputError(f"{where}: has a time signature in 1/{message.denominator}; it is taken as damaged")
            signatures.append((tick, message.numerator, message.denominator))
        elif message.type == "marker" and OUR_MARKER.fullmatch(message.text):
            markers.append((tick, message.text))
    # Ours always number the bars, or say that there are none; others may use the same words for something else.
    ours = any(text == NO_BARS or text.startswith("bar ") for _, text in markers)
    return tempos, signatures, markers if ours else [], tick


def _grid(
    signatures: list[tuple[int, int, int]], end: float, ticks_per_quarter: int, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Beats and downbeats in ticks."""
    beats, downbeats, count = [], [], 0.0
    following = [start for start, *_ in signatures[1:]]
    for (start, numerator, denominator), stop in zip(signatures, [*following, end], strict=True):
        compound = denominator >= 8 and numerator > 3 and numerator % 3 == 0
        beat = ticks_per_quarter * 4 / denominator * (3 if compound else 1)
        last = min(stop - beat * MISPLACED, end) if stop < end else end
        count += max(0.0, last - start) / beat
        if count > MOST_BEATS:
            raise InputError(f"{where}: holds more than {MOST_BEATS} beats; it is taken as damaged")
        beats.append(np.arange(start, last, beat))
        downbeats.append(np.arange(start, last, ticks_per_quarter * 4 / denominator * numerator))
    return np.concatenate(beats), np.concatenate(downbeats)


def _marked(ticks: np.ndarray, markers: list[tuple[int, str]]) -> np.ndarray:
    """For each tick the text of the last of our markers at or before it, or nothing."""
    texts = np.array(["", *(text for _, text in markers)])
    return texts[np.searchsorted([tick for tick, _ in markers], ticks, side="right")]


def _beat_events(beats: Beats, where: str) -> list[tuple[int, bytes]]:
    """All events with their ticks, in order, the end of the track included."""
    targets = [round(time * 1e6) for time in beats.beats.tolist()]
    lengths = np.diff(targets)
    if lengths.min() < SHORTEST_BEAT or lengths.max() > MAX_TEMPO:
        apart = f"beats lie {lengths.min() / 1e6:g} to {lengths.max() / 1e6:g} s apart"
        raise InputError(f"{where}: {apart}; a MIDI file takes {SHORTEST_BEAT / 1e6:g} to {MAX_TEMPO / 1e6:g} s")
    events, start, now = _lead_in(targets[0], int(np.median(lengths)), where)
    for beat, tempo in _tempo_changes(targets, now):
        events.append((start + beat * TICKS_PER_QUARTER, _tempo(tempo)))
    meter_before = None
    for beat, meter, text in _bars(beats):
        tick = start + beat * TICKS_PER_QUARTER
        if meter > MAX_NUMERATOR:
            raise InputError(f"{where}: has a bar of {meter} beats; a MIDI file takes {MAX_NUMERATOR} at most")
        if meter != meter_before:
            events.append((tick, _time_signature(meter, 4)))
        events.append((tick, _marker(text)))
        meter_before = meter
    events.sort(key=lambda event: event[0])
    return [*events, (start + len(targets) * TICKS_PER_QUARTER, _meta(0x2F, b""))]


def _lead_in(first: int, length: int, where: str) -> tuple[list[tuple[int, bytes]], int, int]:
    """Events of a bar of `first` microseconds before the first beat; the tick and the microsecond at which it ends.

    The bar is of quarters of about the song's beat, `length`; or one 64th where it is short, since music programs take
    tempi up to about 1000 BPM.
    """
    if first == 0:
        return [], 0, 0
    count, denominator = (1, 64) if first < SHORT_LEAD_IN else (min(100, max(1, round(first / length))), 4)
    tempo = round(first / count * denominator / 4)
    if tempo > MAX_TEMPO:
        raise InputError(f"{where}: the first beat is at {first / 1e6:g} s; a MIDI file takes 1677 s at most")
    events = [(0, _tempo(tempo)), (0, _time_signature(count, denominator)), (0, _marker(LEAD_IN))]
    return events, count * TICKS_PER_QUARTER * 4 // denominator, tempo * count * 4 // denominator


def _tempo_changes(targets: list[int], now: int) -> list[tuple[int, int]]:
    """Beat and tempo of each change: each tempo holds for as many beats as it keeps within the tolerance.

    Args:
        targets: where the beats should be, in microseconds.
        now: where the first of them is.
    """
    changes, beat = [], 0
    while beat < len(targets) - 1:
        lowest, highest, best, count = 1, MAX_TEMPO, 1, 0
        for following in range(beat + 1, len(targets)):
            passed = targets[following] - now
            lowest = max(lowest, -((TEMPO_TOLERANCE - passed) // (count + 1)))
            highest = min(highest, (passed + TEMPO_TOLERANCE) // (count + 1))
            if lowest > highest:
                break
            count += 1
            best = min(max(round(passed / count), lowest), highest)
        changes.append((beat, best))
        now += best * count
        beat += count
    return changes


def _bars(beats: Beats) -> list[tuple[int, int, str]]:
    """First beat, number of beats and marker of each bar."""
    firsts = np.searchsorted(beats.beats, beats.downbeats).tolist()
    if not firsts:
        return [(0, 1, NO_BARS)]
    meters = np.diff([*firsts, len(beats.beats)]).tolist()
    if len(meters) > 1:
        # The last bar may be cut short by the song's end.
        meters[-1] = max(meters[-2:])
    pickup = [(0, firsts[0], PICKUP)] if firsts[0] else []
    return pickup + [(*bar, f"bar {n}") for n, bar in enumerate(zip(firsts, meters, strict=True), start=1)]


def _tempo(microseconds: int) -> bytes:
    return _meta(0x51, microseconds.to_bytes(3, "big"))


def _time_signature(numerator: int, denominator: int) -> bytes:
    clocks_per_click, notated_32nds_per_quarter = max(1, 96 // denominator), 8
    power = denominator.bit_length() - 1
    return _meta(0x58, bytes([numerator, power, clocks_per_click, notated_32nds_per_quarter]))


def _marker(text: str) -> bytes:
    return _meta(0x06, text.encode("ascii"))


def _meta(kind: int, data: bytes) -> bytes:
    return bytes([0xFF, kind]) + _variable_length(len(data)) + data


def _variable_length(value: int) -> bytes:
    """A whole number in groups of seven bits, the highest first; all but the last have the eighth bit set."""
    groups = [value & 0x7F]
    while value > 0x7F:
        value >>= 7
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))
