"""A small synthesiser: pitched voices as sums of decaying partials, drums as shaped noise and falling tones.

Sounds depend on nothing but their name, pitch and rate, so that each is computed once and then placed.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

HIGHEST = 0.45  # of the sample rate: partials above are left out


@dataclass(frozen=True)
class Voice:
    """The sound of an instrument: amplitudes, decay and tuning of its partials."""

    partials: int
    tilt: float  # partial k has amplitude k ** -tilt
    decay: float  # seconds in which the fundamental falls to 1/e
    damping: float  # partial k falls 1 + damping * (k - 1) times as fast
    attack: float = 0.002  # seconds to full strength
    pluck: float = 0.5  # where the string is struck, as a share of its length; weakens partials with a node there
    detune: float = 0.0  # cents between the two strings of a note
    stretch: float = 0.0  # inharmonicity of stiff strings
    vibrato: float = 0.0  # depth in cents, 5.5 times a second


VOICES = {
    "bass": Voice(partials=10, tilt=1.1, decay=0.9, damping=0.9, pluck=0.28),
    "guitar": Voice(partials=16, tilt=0.7, decay=0.6, damping=0.35, pluck=0.13, stretch=3e-5),
    "piano": Voice(partials=12, tilt=1.4, decay=1.1, damping=0.5, pluck=0.41, detune=3.0, stretch=2e-4),
    "strings": Voice(partials=14, tilt=1.0, decay=9.0, damping=0.0, attack=0.06, pluck=0.09, detune=8.0, vibrato=9.0),
    "lead": Voice(partials=9, tilt=0.9, decay=3.0, damping=0.1, attack=0.008, vibrato=14.0),
}


@lru_cache(maxsize=256)
def tone(instrument: str, pitch: int, sample_rate: int) -> np.ndarray:
    """A note of one of `VOICES` at a MIDI pitch, until it has decayed, at most 4 s: float32 (n,), peak 1."""
    voice = VOICES[instrument]
    t = np.arange(int(min(4.0, 4 * voice.decay) * sample_rate)) / sample_rate
    wave = np.zeros_like(t)
    for cents in {-voice.detune / 2, voice.detune / 2}:
        frequency = 440.0 * 2 ** ((pitch - 69 + cents / 100) / 12)
        # Vibrato sets in slowly; its phase is the integral of a frequency that wavers by `vibrato` cents.
        waver = np.log(2) / 1200 * voice.vibrato / (2 * np.pi * 5.5) * np.sin(2 * np.pi * 5.5 * t) * np.minimum(t, 1)
        for k in range(1, voice.partials + 1):
            multiple = k * np.sqrt(1 + voice.stretch * k * k)
            if frequency * multiple > HIGHEST * sample_rate:
                break
            strength = abs(np.sin(np.pi * k * voice.pluck)) * k**-voice.tilt
            decay = voice.decay / (1 + voice.damping * (k - 1))
            audible = slice(int(7 * decay * sample_rate))  # then it has decayed to a thousandth
            phase = 2 * np.pi * frequency * multiple * (t + waver)[audible]
            wave[audible] += strength * np.exp(-t[audible] / decay) * np.sin(phase)
    wave *= np.minimum(t / voice.attack, 1.0)
    return _peak_one(wave)


@lru_cache(maxsize=32)
def hit(drum: str, sample_rate: int) -> np.ndarray:
    """A stroke on a drum or cymbal (`kick`, `snare`, `hat`, `open`, `crash`, `high`, `low`): float32 (n,), peak 1."""
    t = np.arange(int(0.9 * sample_rate)) / sample_rate
    noise = np.random.default_rng(0).standard_normal(len(t))
    bright = np.diff(noise, 2, append=[0.0, 0.0])
    if drum == "kick":
        wave = _falling_tone(t, 48.0, 110.0, 0.03) * np.exp(-t / 0.11) + 0.05 * bright * np.exp(-t / 0.002)
    elif drum in ("high", "low"):
        base = 160.0 if drum == "high" else 95.0
        wave = _falling_tone(t, base, base / 2, 0.05) * np.exp(-t / 0.13) + 0.03 * bright * np.exp(-t / 0.004)
    elif drum == "snare":
        shell = np.sin(2 * np.pi * 185.0 * t) + 0.6 * np.sin(2 * np.pi * 331.0 * t)
        wave = 0.5 * shell * np.exp(-t / 0.05) + 0.35 * np.diff(noise, append=0.0) * np.exp(-t / 0.08)
    else:
        wave = bright * np.exp(-t / {"hat": 0.025, "open": 0.14, "crash": 0.3}[drum])
    return _peak_one(wave)


def place(wave: np.ndarray, sound: np.ndarray, start: int, length: int, fade: int) -> None:
    """Add a sound to a waveform (n,) from sample `start` on; after `length` samples it is faded out over `fade`."""
    if length + fade < len(sound):
        sound = sound[: length + fade].copy()
        sound[length:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    part = wave[start : start + len(sound)]
    part += sound[: len(part)]


def _falling_tone(t: np.ndarray, base: float, drop: float, seconds: float) -> np.ndarray:
    """A sine that falls from `base + drop` to `base` Hz, by 1/e of the drop in `seconds`."""
    return np.sin(2 * np.pi * (base * t + drop * seconds * (1 - np.exp(-t / seconds))))


def _peak_one(wave: np.ndarray) -> np.ndarray:
    return (wave / np.abs(wave).max()).astype(np.float32)
