"""Deterministic stand-ins for pretrained weights and inputs: each value follows from a tensor's name alone.

The golden outputs under `tests/fixtures/` were made with these values, so a test fills a model by name, runs it and
compares. Normal numbers come from PCG64 seeded with the CRC-32 of the name, in float64, cast to float32 last.
"""

import math
import zlib

import numpy as np


def fill(key: str, shape: tuple[int, ...], prefix: str = "") -> np.ndarray:
    """The weight `prefix + key`, float32 of `shape`; KeyError for names that are not weights (schedules, scales)."""
    shape = tuple(shape)
    leaf = key.rpartition(".")[2]
    if leaf == "switcher":
        return np.eye(*shape, dtype=np.float32)[:, ::-1].copy()
    values = _normal(prefix + key, shape)
    if key.endswith("weight_g"):
        values = 0.5 + 0.1 * np.abs(values)
    elif len(shape) >= 2:
        values = values / math.sqrt(math.prod(shape[1:]))
    elif len(shape) == 1 and leaf == "weight":
        values = 1.0 + 0.1 * values
    elif len(shape) == 1 and leaf.endswith("bias"):
        values = 0.1 * values
    else:
        raise KeyError(f"{key} {shape}: the filler has no rule for it")
    return values.astype(np.float32)


def noise(label: str, shape: tuple[int, ...], mean: float = 0.0, std: float = 1.0) -> np.ndarray:
    """The input called `label`: normal noise, float32 of `shape`."""
    return (mean + std * _normal(label, tuple(shape))).astype(np.float32)


def chirp_wave() -> np.ndarray:
    """10.24 s at 16 kHz, float32 (163840,): a chirp from 50 to 7000 Hz at half scale and some noise."""
    samples, rate = 163840, 16000
    seconds = np.arange(samples, dtype=np.float64) / rate
    start_hz, slope = 50.0, (7000.0 - 50.0) / (samples / rate)
    cycles = start_hz * seconds + 0.5 * slope * seconds**2
    tone = 0.5 * np.sin(2.0 * math.pi * cycles)
    return (tone + 0.05 * _normal("wave.chirp.noise", (samples,))).astype(np.float32)


def _normal(name: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)
