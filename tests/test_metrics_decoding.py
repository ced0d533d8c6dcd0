"""Decoding and resampling: against ffmpeg where it is installed, and by known signals."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.metrics_corpus import write_corpus
from synctrack.metrics.beats.madmom.decoding import SAMPLE_RATE, as_madmom_reads, decode
from synctrack.metrics.beats.madmom.models import import_madmom
from synctrack.metrics.beats.madmom.resampling import resample
from synctrack.metrics.beats.madmom.tracker import MadmomTracker

pytestmark = pytest.mark.medium

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def ffmpeg_samples(path: Path) -> np.ndarray:
    command = ["ffmpeg", "-v", "quiet", "-i", path, "-f", "s16le", "-ac", "1", "-ar", "44100", "pipe:1"]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, "<i2")


@needs_ffmpeg
def test_samples_are_ffmpegs_to_a_step_and_for_sixteen_bits_exactly(tmp_path):
    for path in write_corpus(tmp_path, 12, seed=3, longest=1.0):
        info = soundfile.info(path)
        if info.samplerate == SAMPLE_RATE and info.format.startswith("WAV") and info.subtype != "PCM_24":
            continue
        expected = ffmpeg_samples(path).astype(float)
        found = as_madmom_reads(decode(path)) * 32767.0
        allowed = 0.01 if info.subtype == "PCM_16" and info.frames > 64 else 1.01
        np.testing.assert_allclose(found, expected, rtol=0, atol=allowed, err_msg=path.name)


@needs_ffmpeg
@pytest.mark.slow
def test_beats_are_madmoms_in_95_of_100_files_that_madmom_reads_through_ffmpeg(tmp_path):
    import_madmom()
    from madmom.features.downbeats import DBNDownBeatTrackingProcessor, RNNDownBeatProcessor

    decoder = DBNDownBeatTrackingProcessor([3, 4], 30, 300, fps=100, transition_lambda=100)
    same = []
    for path in write_corpus(tmp_path, 100, seed=4, longest=10.24):
        if soundfile.info(path).duration > 0.02:
            expected = decoder(RNNDownBeatProcessor()(str(path)))[:, 0]
            same.append(np.array_equal(MadmomTracker().track_file(path).beats["corrected"], expected))
    assert len(same) > 90
    assert np.mean(same) >= 0.95


@pytest.mark.parametrize("sixteen_bit", [True, False])
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 48000, 96000])
def test_a_tone_keeps_its_frequency_and_level(rate, sixteen_bit):
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)
    out = resample(tone, rate, SAMPLE_RATE, sixteen_bit)
    assert len(out) == SAMPLE_RATE
    expected = np.sin(2 * np.pi * 1000 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    np.testing.assert_allclose(out[500:-500], expected[500:-500], atol=3e-3)


@pytest.mark.parametrize("length", [0, 1, 2, 20])
def test_the_shortest_sounds_keep_a_constant_level(length):
    out = resample(np.full(length, 0.5), 16000, SAMPLE_RATE, False)
    assert len(out) == -(-length * 441 // 160)
    np.testing.assert_allclose(out, 0.5, atol=3e-3)


def test_channels_are_averaged(tmp_path):
    left = np.random.default_rng(0).uniform(-0.4, 0.4, 4410)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, -left], axis=1), SAMPLE_RATE, subtype="FLOAT")
    np.testing.assert_allclose(as_madmom_reads(decode(tmp_path / "stereo.wav")), 0, atol=1e-7)
    assert decode(tmp_path / "stereo.wav").peak == pytest.approx(np.abs(left).max())
