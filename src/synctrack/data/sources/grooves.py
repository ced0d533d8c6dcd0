"""Procedural songs with known beats: random tempo, meter, key, chords, patterns and swing, played by all stems.

All stems follow one beat grid, so that a data set of them teaches a model to synchronise its stems.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from synctrack.audio.beat_files import BEATS_FILE, write_beats
from synctrack.audio.files import MOST_SAMPLES, MOST_SECONDS
from synctrack.bounds import LARGEST_SEED
from synctrack.data.songs import SongReport
from synctrack.data.sources.groove_patterns import DRUMS, FILL_DRUMS, PENTATONIC, PLAYED, PROGRESSIONS
from synctrack.data.sources.synthesis import hit, place, tone
from synctrack.data.writing import scaled_to_peak, write_songs, write_stems
from synctrack.errors import InputError
from synctrack.seeding import item_seed

STEMS = ("bass", "drums", *(name for name in PLAYED if name != "bass"))
DEFAULT_STEMS = ("bass", "drums", "guitar", "piano")
METERS = tuple(DRUMS)
BPM_RANGE = (70.0, 160.0)
SLOWEST, FASTEST = 20, 400
LOWEST_RATE, HIGHEST_RATE = 8000, 384_000
KEYS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
STEPS_PER_BEAT = 4
SECTION_BARS = 8
LATEST_START = 0.5  # seconds; the first beat lies before
RING = 4.0  # beats that a drum may ring
LEVELS = {"bass": 0.5, "drums": 0.8, "guitar": 0.2, "piano": 0.25, "strings": 0.1, "lead": 0.25}
LOWEST_PITCH = {"bass": 31, "guitar": 45, "piano": 52, "strings": 55, "lead": 69}
STRUM_SECONDS = 0.012  # from one string to the next
MOST_SONGS = 1_000_000
PEAK = 0.9  # of the loudest stem or the mix


@dataclass(frozen=True)
class Groove:
    """A song: stems (n,) float32 by stem name, and its times in seconds, known exactly."""

    stems: dict[str, np.ndarray]
    bpm: float  # mean over the song's beats
    meter: int  # beats per bar, each a quarter
    key: str
    swing: float  # where the second eighth of a beat falls, 0.5 = straight
    beats: np.ndarray
    downbeats: np.ndarray


class _Note(NamedTuple):
    position: float  # beats from the song's first
    length: float  # beats
    sound: int | str  # MIDI pitch or drum
    velocity: float
    delay: float = 0.0  # seconds


class _Song:
    """What all stems share: the beat grid, the meter, the chords and the seed of each stem."""

    def __init__(self, seed: int, seconds: float, meters: Sequence[int], drift: float, bpm: Sequence[float]):
        rng = np.random.default_rng(item_seed(seed, 0))
        self.meter = int(rng.choice(meters))
        self.tonic, self.mode = int(rng.integers(12)), str(rng.choice(list(PROGRESSIONS)))
        progressions = PROGRESSIONS[self.mode]
        self.progression = progressions[rng.integers(len(progressions))]
        self.swing = float(rng.choice([0.5, 0.5, rng.uniform(0.54, 0.67)]))
        mean_bpm = float(np.exp(rng.uniform(*np.log(bpm))))
        first = rng.uniform(0.0, LATEST_START)
        count = int(seconds * bpm[1] * (1 + drift) / 60) + 12  # a bar and the longest note beyond the end
        # Drift: the tempo wanders between random values, one every eight beats, within ± `drift`.
        knots = rng.uniform(-drift, drift, count // 8 + 2)
        tempo = mean_bpm * (1 + np.interp(np.arange(count) / 8, np.arange(len(knots)), knots))
        self.grid = first + np.concatenate([[0.0], np.cumsum(60.0 / tempo)])
        self.bars = int(np.searchsorted(self.grid, seconds)) // self.meter + 1
        self.seed = seed

    def beat(self, bar: int, step: int) -> float:
        """Where a sixteenth of a bar lies, in beats from the song's first."""
        return bar * self.meter + step / STEPS_PER_BEAT

    def time(self, position: float) -> float:
        """Seconds at a position in beats; swing makes the second half of each beat late."""
        beat = int(position)
        part = position - beat
        swung = part * 2 * self.swing if part < 0.5 else 1 - (1 - part) * 2 * (1 - self.swing)
        return self.grid[beat] + swung * (self.grid[beat + 1] - self.grid[beat])

    def chord(self, bar: int) -> tuple[int, int]:
        """Root pitch class and third (semitones) of a bar."""
        root, third = self.progression[bar % len(self.progression)]
        return (self.tonic + root) % 12, third


def render_groove(
    seed: int,
    seconds: float,
    sample_rate: int,
    stems: Sequence[str] = DEFAULT_STEMS,
    meters: Sequence[int] = METERS,
    drift: float = 0.0,
    bpm: Sequence[float] = BPM_RANGE,
) -> Groove:
    """Compose and play the song of a seed.

    A stem is the same whichever others play, up to the common gain that keeps stems and mix below full scale.

    Args:
        drift: the tempo wanders by up to this share of itself (0.05: ± 5 %).
        bpm: lowest and highest mean tempo.

    Raises:
        InputError: an unknown stem or meter, a drift outside [0, 0.5), a tempo outside [20, 400], or no time or
            rate at all.
    """
    _check(stems, meters, seconds, sample_rate, drift, bpm)
    song = _Song(seed, seconds, meters, drift, bpm)
    stems = {stem: _play(stem, song, round(seconds * sample_rate), sample_rate) for stem in stems}
    beats = song.grid[song.grid < seconds]
    return Groove(
        stems=scaled_to_peak(stems, PEAK),
        bpm=60.0 / float(np.diff(song.grid[: max(2, len(beats))]).mean()),
        meter=song.meter,
        key=f"{KEYS[song.tonic]} {song.mode}",
        swing=song.swing,
        beats=beats,
        downbeats=beats[:: song.meter],
    )


def write_grooves(
    out: str | Path,
    songs: int,
    seconds: float,
    sample_rate: int,
    seed: int,
    stems: Sequence[str] = DEFAULT_STEMS,
    meters: Sequence[int] = METERS,
    drift: float = 0.0,
    bpm: Sequence[float] = BPM_RANGE,
    workers: int | None = None,
) -> SongReport:
    """Write `songs` grooves as stem folders: a 16-bit WAV for each stem, and beats.json.

    Song i depends on (seed, i) and the other arguments alone; complete songs are kept (see `write_songs`).

    Raises:
        InputError: as `render_groove` and `write_songs`, no songs, or songs that may have fewer than two beats.
    """
    _check(stems, meters, seconds, sample_rate, drift, bpm)
    if LATEST_START + 60.0 / (bpm[0] * (1 - drift)) >= seconds:
        raise InputError(f"seconds: {seconds} may be too short for two beats at {bpm[0]:g} BPM; make it longer")
    if not 1 <= songs <= MOST_SONGS or not 0 <= seed <= LARGEST_SEED:
        raise InputError(
            f"songs {songs}, seed {seed}: a data set needs 1 to {MOST_SONGS} songs and a seed of 0 to {LARGEST_SEED}"
        )
    options = {"seconds": seconds, "sample_rate": sample_rate, "drift": drift}
    options |= {"meters": list(meters), "bpm": list(bpm)}
    jobs = {f"Groove{song:05d}": item_seed(seed, song) for song in range(songs)}
    # `tracks` is the name of the stems in manifests since the first version.
    settings = {"seed": seed, "tracks": list(stems), **options}
    write = partial(_write_groove, options | {"stems": list(stems)})
    holds = [*(f"{stem}.wav" for stem in stems), BEATS_FILE]
    return write_songs(out, settings, jobs, write, workers, lambda job: holds)


def _write_groove(options: dict[str, Any], folder: Path, seed: int) -> None:
    groove = render_groove(seed, **options)
    write_stems(folder, groove.stems, options["sample_rate"])
    facts = {"tempo": groove.bpm, "meter": groove.meter, "key": groove.key, "swing": groove.swing}
    write_beats(folder, groove.beats, groove.downbeats, facts)


def _check(
    stems: Sequence[str],
    meters: Sequence[int],
    seconds: float,
    sample_rate: int,
    drift: float,
    bpm: Sequence[float],
) -> None:
    if not stems or not set(stems) <= set(STEMS) or len(set(stems)) < len(stems):
        raise InputError(f"stems: {', '.join(stems) or 'none'}: choose some of {', '.join(STEMS)}, each once")
    if not meters or not set(meters) <= set(METERS):
        raise InputError(f"meters: {', '.join(map(str, meters)) or 'none'}: choose some of {METERS}")
    if not 0.0 <= drift < 0.5:
        raise InputError(f"drift: {drift} is not in [0, 0.5), the share by which the tempo may wander")
    if not SLOWEST <= bpm[0] <= bpm[1] <= FASTEST:
        raise InputError(f"bpm: {bpm[0]:g} to {bpm[1]:g}: give the lowest tempo first, {SLOWEST} to {FASTEST}")
    if not 1.0 <= seconds <= MOST_SECONDS:
        raise InputError(f"seconds: {seconds} is not between 1 and {MOST_SECONDS}")
    if seconds * sample_rate > MOST_SAMPLES:
        raise InputError(f"seconds: {seconds} at {sample_rate} Hz are more than {MOST_SAMPLES} samples")
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise InputError(f"rate: {sample_rate} is not between {LOWEST_RATE} and {HIGHEST_RATE} Hz")


def _play(stem: str, song: _Song, samples: int, sample_rate: int) -> np.ndarray:
    rng = np.random.default_rng(item_seed(song.seed, 1 + STEMS.index(stem)))
    notes = _drum_notes(song, rng) if stem == "drums" else _pitched_notes(stem, song, rng)
    wave = np.zeros(samples, dtype=np.float32)
    for note in notes:
        start = song.time(note.position) + note.delay
        length = song.time(note.position + note.length) - start
        sound = hit(note.sound, sample_rate) if stem == "drums" else tone(stem, note.sound, sample_rate)
        gain = np.float32(LEVELS[stem] * note.velocity)
        place(wave, sound * gain, round(start * sample_rate), max(0, round(length * sample_rate)), sample_rate // 100)
    return wave


def _drum_notes(song: _Song, rng: np.random.Generator) -> list[_Note]:
    notes = []
    for bar in range(song.bars):
        if bar % SECTION_BARS == 0:
            pattern = DRUMS[song.meter][rng.integers(len(DRUMS[song.meter]))]
            notes.append(_Note(song.beat(bar, 0), RING, "crash", 0.4))
        # Every fourth bar ends in a fill of one beat, every section in one of two.
        filled = 0
        if bar % SECTION_BARS == SECTION_BARS - 1:
            filled = 2 * STEPS_PER_BEAT
        elif bar % 4 == 3:
            filled = STEPS_PER_BEAT
        kept = STEPS_PER_BEAT * song.meter - filled
        for drum, line in pattern.items():
            level = {"hat": 0.3, "open": 0.35}.get(drum, 1.0)
            for step in range(kept):
                if line[step] == "x":
                    accent = 1.0 if step % STEPS_PER_BEAT == 0 else 0.75
                    velocity = level * accent * rng.uniform(0.85, 1.0)
                    notes.append(_Note(song.beat(bar, step), RING, drum, velocity))
        for step in range(filled):
            if step % STEPS_PER_BEAT == 0 or rng.random() < 0.7:
                drum = FILL_DRUMS[step * len(FILL_DRUMS) // filled]
                notes.append(_Note(song.beat(bar, kept + step), RING, drum, rng.uniform(0.6, 0.9)))
    return notes


def _pitched_notes(stem: str, song: _Song, rng: np.random.Generator) -> list[_Note]:
    patterns = PLAYED[stem][song.meter]
    notes, melody = [], 4
    for bar in range(song.bars):
        if bar % SECTION_BARS == 0:
            pattern = patterns[rng.integers(len(patterns))]
        onsets = [step for step, gesture in enumerate(pattern) if gesture != "."]
        for step, following in zip(onsets, [*onsets[1:], len(pattern)], strict=True):
            melody = int(np.clip(melody + rng.integers(-2, 3), 0, 9))
            pitches = _pitches(stem, song, bar, pattern[step], melody)
            velocity = rng.uniform(0.8, 1.0) * (1.0 if step % STEPS_PER_BEAT == 0 else 0.8)
            strum = STRUM_SECONDS if pattern[step] in "DU" else 0.0
            start, length = song.beat(bar, step), (following - step) / STEPS_PER_BEAT
            notes += [_Note(start, length, pitch, velocity, n * strum) for n, pitch in enumerate(pitches)]
    return notes


def _pitches(stem: str, song: _Song, bar: int, gesture: str, melody: int) -> list[int]:
    """MIDI pitches of a gesture, in the order in which they sound."""
    root, third = song.chord(bar)
    lowest = LOWEST_PITCH[stem]
    if gesture == "*":
        scale = [(song.tonic + step) % 12 for step in PENTATONIC[song.mode]]
        return [_rising(scale, lowest)[melody]]
    if stem == "bass":
        base = lowest + (root - lowest) % 12
        return [base + (0, 7, 12)[int(gesture) - 1]]
    chord = _rising([root, (root + third) % 12, (root + 7) % 12], lowest)[:5]
    if gesture.isdigit():
        return [chord[int(gesture) - 1]]
    return chord[::-1] if gesture == "U" else chord


def _rising(pitch_classes: Sequence[int], lowest: int) -> list[int]:
    return [pitch for pitch in range(lowest, lowest + 36) if pitch % 12 in pitch_classes]
