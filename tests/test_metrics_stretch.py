"""Stretching of stems: identity, pitch, places of attacks, channels, edges."""

import numpy as np
import pytest

from synctrack.metrics.check.stretch import SEARCH, stretch

RATE = 16000


def test_factor_one_changes_nothing():
    noise = np.random.default_rng(0).normal(size=(RATE, 2))
    np.testing.assert_allclose(stretch(noise, RATE, 1.0), noise, atol=1e-12)


@pytest.mark.parametrize("factor", [0.97, 0.998, 1.01, 1.25])
def test_length_follows_the_factor_and_the_pitch_does_not(factor):
    tone = np.sin(2 * np.pi * 440 * np.arange(4 * RATE) / RATE)
    slower = stretch(tone, RATE, factor)
    assert slower.shape == (round(len(tone) / factor),)
    spectrum = np.abs(np.fft.rfft(slower * np.hanning(len(slower)), 16 * RATE))
    assert np.argmax(spectrum) / 16 == pytest.approx(440, abs=1)
    assert np.abs(slower[RATE // 2 : -RATE // 2]).max() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("factor", [0.98, 1.003, 1.03])
def test_attacks_stay_short_and_are_where_they_belong(factor):
    times = np.arange(0.4, 9.5, 0.37)
    decay = np.random.default_rng(1).normal(size=800) * np.exp(-np.arange(800) / 100)
    wave = np.zeros(10 * RATE)
    for time in times:
        wave[round(time * RATE) : round(time * RATE) + 800] += decay
    moved = stretch(wave, RATE, factor)
    for time in times / factor:
        around = np.abs(moved[round((time - 0.05) * RATE) : round((time + 0.05) * RATE)])
        start = np.argmax(around > 0.5 * around.max()) / RATE - 0.05
        assert abs(start) < SEARCH + 0.001
        # Nothing before the attack, which a phase vocoder would smear over its window.
        assert around[: round((0.05 + start - 0.002) * RATE)].max() < 0.05 * around.max()


def test_channels_are_moved_alike():
    noise = np.random.default_rng(2).normal(size=2 * RATE)
    both = stretch(np.stack([noise, -0.5 * noise], axis=1), RATE, 1.02)
    np.testing.assert_allclose(both[:, 1], -0.5 * both[:, 0], atol=1e-12)


@pytest.mark.parametrize("length", [1, 100, 5000])
def test_short_and_silent_waves_have_their_length(length):
    for wave in (np.zeros(length), np.ones(length)):
        stretched = stretch(wave, RATE, 0.9)
        assert stretched.shape == (round(length / 0.9),)
        assert np.isfinite(stretched).all()
    assert not stretch(np.zeros(length), RATE, 0.9).any()
