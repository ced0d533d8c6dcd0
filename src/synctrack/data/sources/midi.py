"""MIDI files → stems by General MIDI family, rendered with FluidSynth, and the beats of their tempo maps."""

from __future__ import annotations

import errno
import math
import os
import shutil
import signal
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from synctrack.audio.beat_files import BEATS_FILE, Beats, write_beats
from synctrack.audio.files import audio_info, read_audio
from synctrack.audio.midi_beats import beat_times, read_midi_file
from synctrack.config import MAX_SECONDS
from synctrack.data.shards import Shard
from synctrack.data.songs import LeftOutError, MissingStem, SongReport, require_stems
from synctrack.data.sources.instruments import DRUMS, FAMILIES, StemMap, load_stem_map
from synctrack.data.sources.slakh_beats import steady_facts
from synctrack.data.writing import made_of, scaled_to_peak, write_songs, write_stems
from synctrack.errors import InputError
from synctrack.files import sha256

try:
    import mido
except ModuleNotFoundError:
    # It belongs to the extra `midi`; only reading MIDI files needs it.
    mido = None

DEFAULT_SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
SUSTAIN_PEDAL, ALL_SOUND_OFF = 64, 120
DRUM_CHANNEL = 9
MIDI_HASH = "midi_sha256"
"""Key of beats.json: of which file the song was made."""
# FluidSynth reads its samples without a low-pass: at a lower rate they would alias.
RENDER_RATE = 44100
LONGEST_SECONDS = 3600.0  # beyond it a file is taken as damaged
LONGEST_RENDERING = 1800  # seconds
RENDERED_BYTES = 8  # of a sample in two channels
LONGEST_SONG_NAME = 240  # bytes; file systems take 255, and an incomplete song's folder has a longer name
PEAK = 0.9  # of the loudest stem or the mix


class _Rendering(NamedTuple):
    program: str
    soundfont: Path
    stems: StemMap
    sample_rate: int
    missing_stem: MissingStem
    max_seconds: float


def write_midi(
    midi: str | Path,
    out: str | Path,
    soundfont: str | Path = DEFAULT_SOUNDFONT,
    sample_rate: int = 16000,
    stem_map: str | Path | None = None,
    missing_stem: MissingStem = "skip",
    max_seconds: float = MAX_SECONDS,
    workers: int | None = None,
    shard: Shard | None = None,
) -> SongReport:
    """Render every MIDI file under `midi` to a song folder: a 16-bit WAV for each stem, and beats.json.

    Args:
        stem_map: YAML file, see `load_stem_map`.
        missing_stem: whether a song without one of the stems is left out or gets a silent one.
        max_seconds: songs of this length or more are left out before they are rendered; data sets leave them out too.
        shard: render its share of the songs alone.

    Raises:
        InputError: `max_seconds` is not a number above 0, no FluidSynth, soundfont or MIDI file; or as `write_songs`
            and `load_stem_map`.
    """
    if mido is None:
        raise InputError("MIDI files: need mido; pip install 'synctrack[midi]'")
    if not 0 < max_seconds < math.inf:
        raise InputError(f"--max-seconds {max_seconds}: is not a number above 0")
    program = shutil.which("fluidsynth")
    if program is None:
        raise InputError("fluidsynth: is not installed; install it (Debian: apt-get install fluidsynth)")
    soundfont, jobs = Path(soundfont), _midi_files(Path(midi))
    rendering = _Rendering(program, soundfont, load_stem_map(stem_map), sample_rate, missing_stem, max_seconds)
    settings = {
        "sample_rate": sample_rate,
        "stems": rendering.stems,
        "missing_stem": missing_stem,
        "soundfont": _soundfont_hash(soundfont),
    }
    if max_seconds != MAX_SECONDS:
        # Folders written before this option existed have the default.
        settings["max_seconds"] = max_seconds
    holds, write = [*(f"{stem}.wav" for stem in rendering.stems), BEATS_FILE], partial(_write_song, rendering)
    return write_songs(out, settings, jobs, write, workers, lambda job: holds, _is_of, shard=shard)


def _midi_files(folder: Path) -> dict[str, Path]:
    """MIDI files by song name: their path below `folder`, joined by underscores."""
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; name a folder of MIDI files")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".mid", ".midi") and path.is_file())
    if not files:
        raise InputError(f"{folder}: holds no MIDI file (.mid or .midi)")
    named: dict[str, Path] = {}
    taken: dict[str, Path] = {}
    for path in files:
        name = "_".join(path.relative_to(folder).with_suffix("").parts).lstrip(".")
        # Names that differ in case alone are one folder on some systems.
        if name.casefold() in taken:
            raise InputError(f"{path}: would be the same song as {taken[name.casefold()]}; rename one")
        try:
            length = len(name.encode())
        except UnicodeEncodeError as error:
            raise InputError(f"{path}: its name is not valid text; rename it") from error
        if length > LONGEST_SONG_NAME:
            raise InputError(f"{path}: its folders and name joined are too long for a folder; shorten them")
        named[name] = taken[name.casefold()] = path
    return named


def _soundfont_hash(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path}: no such soundfont; name one (Debian: apt-get install fluid-soundfont-gm)")
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"sfbk":
            raise InputError(f"{path}: is not a soundfont; name an SF2 or SF3 file")
    return sha256(path)


def _write_song(rendering: _Rendering, folder: Path, path: Path) -> None:
    try:
        song = read_midi_file(path)
        beats, downbeats = beat_times(song)
    except InputError as error:
        raise LeftOutError("unreadable", str(error)) from error
    if len(beats) < 2 or not 1.0 <= song.length <= LONGEST_SECONDS:
        raise LeftOutError("of odd length", f"{path}: has {len(beats)} beats in {song.length:.1f} s")
    if song.length >= rendering.max_seconds:
        limit = f"{song.length:.1f} s, the limit is {rendering.max_seconds:g} s (--max-seconds)"
        raise LeftOutError("too long", f"{path}: {limit}")
    samples = round(song.length * rendering.sample_rate)
    parts = {stem: _only(song, families) for stem, families in rendering.stems.items()}
    require_stems(path, [stem for stem, part in parts.items() if part is None], len(parts), rendering.missing_stem)
    silence = np.zeros(samples, dtype=np.float32)
    stems = {stem: _render(rendering, part, folder, samples, path) if part else silence for stem, part in parts.items()}
    write_stems(folder, scaled_to_peak(stems, PEAK), rendering.sample_rate)
    write_beats(folder, beats, downbeats, steady_facts(Beats(beats, downbeats)) | {MIDI_HASH: sha256(path)})


def _is_of(folder: Path, path: Path) -> bool:
    return made_of(folder / BEATS_FILE, MIDI_HASH, path)


def _only(song: mido.MidiFile, families: tuple[str, ...]) -> mido.MidiFile | None:
    """The song with the notes of these families alone, everything else in place; None if it has none."""
    programs, waiting, found = dict.fromkeys(range(16), 0), 0, False
    track = mido.MidiTrack()
    for message in mido.merge_tracks(song.tracks):
        if message.type == "program_change":
            programs[message.channel] = message.program
        if message.type == "note_on" and message.velocity > 0:
            drums = message.channel == DRUM_CHANNEL
            family = DRUMS if drums else FAMILIES[programs[message.channel] // 8]
            if family not in families:
                waiting += message.time
                continue
            found = True
        track.append(message.copy(time=message.time + waiting))
        waiting = 0
    _end_sounds(track)
    return mido.MidiFile(type=0, ticks_per_beat=song.ticks_per_beat, tracks=[track]) if found else None


def _end_sounds(track: mido.MidiTrack) -> None:
    """End with the song what its notes and pedals leave sounding, which FluidSynth would render for ever."""
    held, pedals = set(), set()
    for message in track:
        if message.type in ("note_on", "note_off"):
            sounds = message.type == "note_on" and message.velocity > 0
            (held.add if sounds else held.discard)((message.channel, message.note))
        elif message.type == "control_change" and message.control == SUSTAIN_PEDAL:
            (pedals.add if message.value >= 64 else pedals.discard)(message.channel)
    channels = sorted(pedals | {channel for channel, _ in held})
    if channels:
        end = track.pop()
        for channel in channels:
            track.append(mido.Message("control_change", channel=channel, control=ALL_SOUND_OFF, time=end.time))
            end = end.copy(time=0)
        track.append(end)


def _render(rendering: _Rendering, part: mido.MidiFile, folder: Path, samples: int, path: Path) -> np.ndarray:
    """A part as FluidSynth plays it, (samples,); `path` is the song's file, for messages."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        score, sound = Path(place, "score.mid"), Path(place, "sound.wav")
        try:
            part.save(score)
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            raise LeftOutError("unreadable", f"{path}: holds events that cannot be written ({error})") from error
        _play(rendering, score, sound, path, samples)
        available = min(samples, audio_info(sound).num_samples_at(rendering.sample_rate))
        wave = read_audio(sound, 0, available, rendering.sample_rate)
    return np.pad(wave, (0, samples - available))


def _play(rendering: _Rendering, score: Path, sound: Path, path: Path, samples: int) -> None:
    options = ["-ni", "-q", "-r", str(RENDER_RATE), "-T", "wav", "-O", "float", "-F", sound]
    command = [rendering.program, *options, rendering.soundfont, score]
    try:
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=LONGEST_RENDERING)
    except subprocess.TimeoutExpired as error:
        reason = f"FluidSynth has not finished it in {LONGEST_RENDERING} s"
        raise LeftOutError("not rendered", f"{path}: {reason}") from error
    # FluidSynth ends with status 0 even if it could not read the soundfont or write the file.
    problem = next((line for line in result.stderr.splitlines() if "error" in line), None)
    if sound.exists() and not result.returncode and not problem:
        return
    problem = problem or f"status {result.returncode}"
    if "soundfont" in problem.lower():
        raise InputError(f"{rendering.soundfont}: cannot be rendered with ({problem})")
    wanted = RENDERED_BYTES * RENDER_RATE * samples // rendering.sample_rate
    # Windows knows no such signal.
    too_large = getattr(signal, "SIGXFSZ", None)
    if (too_large and result.returncode == -too_large) or shutil.disk_usage(score.parent).free < wanted:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    raise LeftOutError("not rendered", f"{path}: FluidSynth cannot render it ({problem})")
