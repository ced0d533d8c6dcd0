"""Varied audio for the metrics' tests: grooves, tunes, noise, silence and clicks of many lengths, rates and formats."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from synctrack.data.sources.grooves import render_groove
from synctrack.data.sources.synthesis import place, tone

# Beginnings of compositions, as MIDI pitch and length in beats.
TUNES = {
    "Beethoven, Ode to Joy": (
        "64 1 64 1 65 1 67 1 67 1 65 1 64 1 62 1 60 1 60 1 62 1 64 1 64 1.5 62 .5 62 2 "
        "64 1 64 1 65 1 67 1 67 1 65 1 64 1 62 1 60 1 60 1 62 1 64 1 62 1.5 60 .5 60 2"
    ),
    "Petzold, Minuet in G": (
        "74 1 67 .5 69 .5 71 .5 72 .5 74 1 67 1 67 1 76 1 72 .5 74 .5 76 .5 78 .5 79 1 67 1 67 1 "
        "72 1 74 .5 72 .5 71 .5 69 .5 71 1 72 .5 71 .5 69 .5 67 .5 66 1 67 .5 69 .5 71 .5 67 .5 69 3"
    ),
    "Bach, Prelude in C": " ".join(
        f"{pitch} .25"
        for chord in ("60 64 67 72 76", "60 62 69 74 77", "59 62 67 74 77", "60 64 67 72 76", "60 64 69 76 81")
        for pitch in (lambda c: 2 * [c[0], c[1], c[2], c[3], c[4], c[2], c[3], c[4]])(chord.split())
    ),
    "Frère Jacques": (
        "60 1 62 1 64 1 60 1 60 1 62 1 64 1 60 1 64 1 65 1 67 2 64 1 65 1 67 2 67 .5 69 .5 67 .5 65 .5 64 1 60 1 "
        "67 .5 69 .5 67 .5 65 .5 64 1 60 1 60 1 55 1 60 2 60 1 55 1 60 2"
    ),
    "Beethoven, Für Elise": (
        "76 .5 75 .5 76 .5 75 .5 76 .5 71 .5 74 .5 72 .5 69 1.5 60 .5 64 .5 69 .5 71 1.5 64 .5 68 .5 71 .5 72 1.5 "
        "64 .5 76 .5 75 .5 76 .5 75 .5 76 .5 71 .5 74 .5 72 .5 69 1.5 60 .5 64 .5 69 .5 71 1.5 64 .5 72 .5 71 .5 69 2"
    ),
}


def clicks(times: np.ndarray, seconds: float, sample_rate: int) -> np.ndarray:
    """A decaying 1 kHz blip at each time: (n,) float."""
    samples = np.zeros(round(seconds * sample_rate))
    t = np.arange(round(0.03 * sample_rate)) / sample_rate
    blip = 0.8 * np.sin(2 * np.pi * 1000 * t) * np.exp(-t / 0.006)
    for time in times:
        begin = round(time * sample_rate)
        part = blip[: max(0, len(samples) - begin)]
        samples[begin : begin + len(part)] += part
    return samples


def render_tune(title: str, bpm: float, seconds: float, sample_rate: int, instrument: str) -> np.ndarray:
    """One of TUNES, repeated: (n,) float32."""
    score = np.array(TUNES[title].split(), float).reshape(-1, 2)
    samples = np.zeros(round(seconds * sample_rate), np.float32)
    beat, note = 0.0, 0
    while beat * 60 / bpm < seconds:
        pitch, length = score[note % len(score)]
        start, held = round(beat * 60 / bpm * sample_rate), round(length * 60 / bpm * sample_rate)
        place(samples, tone(instrument, int(pitch), sample_rate) * np.float32(0.4), start, held, sample_rate // 100)
        beat, note = beat + length, note + 1
    return samples


def sounds(count: int, seed: int, longest: float) -> Iterator[tuple[str, np.ndarray, int]]:
    """`count` varied sounds of up to `longest` seconds: name, samples (n,) or (n, 2), sample rate from 8 to 48 kHz."""
    generator = np.random.default_rng(seed)
    rates = (44100, 16000, 22050, 48000, 8000, 44100, 32000)
    lengths = (10.24, 5.0, 10.24, 3.0, 20.0)
    for number in range(count):
        rate, seconds = rates[number % len(rates)], lengths[number % len(lengths)]
        kind = ("groove", "groove", "tune", "drums", "mix", "stereo", "tune", "noise", "clicks", "edge")[number % 10]
        if kind == "edge":
            kind = ("silence", "milliseconds", "minute", "quiet")[number // 10 % 4]
        seconds = {"milliseconds": generator.uniform(0.002, 0.06), "minute": 60.0}.get(kind, seconds)
        seconds = min(seconds, longest)
        yield f"{number:03d} {kind} {rate}", _sound(kind, seconds, rate, number, generator), rate


def _sound(kind: str, seconds: float, rate: int, number: int, generator: np.random.Generator) -> np.ndarray:
    if kind in ("noise", "milliseconds"):
        return 0.1 * generator.standard_normal(round(seconds * rate))
    if kind == "silence":
        return np.zeros(round(seconds * rate))
    if kind == "clicks":
        interval = generator.uniform(0.25, 1.2)
        times = np.arange(0.1, seconds, interval) + generator.normal(0, 0.01, len(np.arange(0.1, seconds, interval)))
        return clicks(times, seconds, rate)
    if kind == "tune":
        title, instrument = list(TUNES)[number % len(TUNES)], ("piano", "guitar", "bass", "lead")[number % 4]
        return render_tune(title, generator.uniform(60, 180), seconds, rate, instrument)
    stems = render_groove(number, seconds, rate, drift=(0.0, 0.08)[number % 2]).stems
    if kind == "drums":
        return stems["drums"]
    if kind in ("mix", "minute"):
        return sum(stems.values()) / 2
    if kind == "stereo":
        return np.stack([stems["guitar"], stems["piano"]], axis=1)
    samples = list(stems.values())[number % 4]
    return samples * 1e-3 if kind == "quiet" else samples


def write_corpus(folder: Path, count: int, seed: int, longest: float = 60.0) -> list[Path]:
    """Write `count` varied files into `folder`: WAV of 16, 24 and 32 bits and of floats, and FLAC.

    Args:
        seed: of the noise, and of where the clicks fall.
        longest: seconds to which longer sounds are cut.
    """
    forms = (
        ("wav", "PCM_16"),
        ("wav", "PCM_16"),
        ("flac", "PCM_16"),
        ("wav", "PCM_24"),
        ("wav", "FLOAT"),
        ("wav", "PCM_32"),
    )
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, (name, samples, rate) in enumerate(sounds(count, seed, longest)):
        suffix, subtype = forms[number % len(forms)]
        path = folder / f"{name} {subtype}.{suffix}"
        soundfile.write(path, np.clip(samples, -1, 1), rate, subtype=subtype)
        paths.append(path)
    return paths
