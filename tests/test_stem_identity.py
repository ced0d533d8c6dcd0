"""experiments/stem_identity.py names stems as it should."""

import json
from pathlib import Path

import numpy as np
import pytest

import stem_identity
from helpers.commands import run_in
from helpers.small_model import STEMS
from synctrack.audio.files import write_wav
from synctrack.audio.mel import AudioFormat
from synctrack.data.sources.grooves import write_grooves
from synctrack.metrics.stem_identity import features, share, train

pytestmark = pytest.mark.medium

AUDIO = AudioFormat(frames=512)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Grooves for training in `train`, others in `test`, and those of `test` as stem folders in `clips`."""
    folder = tmp_path_factory.mktemp("stems")
    write_grooves(folder / "train", 8, 2.1 * AUDIO.segment_seconds, AUDIO.sample_rate, seed=0, workers=0)
    write_grooves(folder / "test", 6, 1.1 * AUDIO.segment_seconds, AUDIO.sample_rate, seed=1, workers=0)
    for number, clip in enumerate(stem_identity.read_clips(folder / "test", STEMS, AUDIO)):
        for i, wave in enumerate(clip):
            write_wav(folder / "clips" / f"stem_{i}" / f"{number}.wav", wave, AUDIO.sample_rate)
    return folder


@pytest.fixture(scope="module")
def classifier(data):
    return train(stem_identity.read_clips(data / "train", STEMS, AUDIO), STEMS, AUDIO)


def named(classifier, clips) -> dict:
    return share(classifier, clips, STEMS, AUDIO)


def read(folder: Path) -> list[np.ndarray]:
    return list(stem_identity.read_clips(folder, STEMS, AUDIO))


def test_gain_does_not_change_the_features(data):
    for wave in read(data / "test")[0]:
        plain = features(wave, AUDIO)
        for gain in (0.01, 3.0, -1.0):
            np.testing.assert_allclose(features(np.float32(gain) * wave, AUDIO), plain, atol=1e-3)


def test_held_out_stems_are_classified_correctly(classifier, data):
    result = named(classifier, read(data / "test"))
    assert result["share"] >= 0.9
    assert result["clips"] == 6
    assert result["silent"] == 0
    assert np.sum(result["confusion"], axis=1).tolist() == 4 * [6]


def test_clips_read_from_stem_folders_equal_their_data(classifier, data):
    assert stem_identity.clip_format(data / "clips") == AUDIO
    assert stem_identity.clip_format(data / "test") == AudioFormat()
    np.testing.assert_allclose(np.stack(read(data / "clips")), np.stack(read(data / "test")), atol=2**-15)


def test_faint_noise_does_not_decide(classifier, data):
    generator = np.random.default_rng(0)
    noisy = [
        clip + generator.normal(0, 0.03 * clip.std(), clip.shape).astype(np.float32) for clip in read(data / "test")
    ]
    assert named(classifier, noisy)["share"] >= 0.9


def test_permuted_stems_are_misclassified(classifier, data):
    right = named(classifier, read(data / "test"))["stems"]
    swapped = named(classifier, [clip[[1, 0, 2, 3]] for clip in read(data / "test")])
    assert swapped["stems"]["bass"] <= 0.1
    assert swapped["stems"]["drums"] <= 0.1
    assert swapped["stems"]["piano"] == right["piano"]
    assert named(classifier, [np.roll(clip, 1, axis=0) for clip in read(data / "test")])["share"] <= 0.1


def test_silence_is_misclassified_and_noise_is_assigned_to_one_stem(classifier):
    samples = AUDIO.segment_samples
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 4, samples)).astype(np.float32)
    assert named(classifier, noise)["share"] == pytest.approx(0.25)
    silence = named(classifier, np.zeros((2, 4, samples), np.float32))
    assert silence["share"] == 0
    assert silence["silent"] == 8
    assert silence["confusion"] == 4 * [[0, 0, 0, 0, 2]]
    assert np.isfinite(features(np.zeros(samples, np.float32), AUDIO)).all()


def test_the_command_prints_both_shares(data, tmp_path):
    folders = ["--data", data / "train", "--held-back", data / "test", "--folder", data / "clips"]
    printed = run_in(tmp_path, "experiments/stem_identity.py", *folders, "--json", "named.json").stdout
    assert printed.count("classified correctly, chance 25%; 6 clips x 4 stems, 0 silent") == 2
    results = json.loads((tmp_path / "named.json").read_text())
    assert list(results) == ["held-back data", "generated"]
    assert results["generated"]["share"] >= 0.9


def test_wrong_folders_are_named(data, fail):
    folders = ["--data", data / "train", "--held-back", data / "test", "--folder"]
    line = fail("experiments/stem_identity.py", *folders, data / "clips", "--stems", "bass", "drums")
    assert line == f"error: {data / 'clips'}: has 6 clips of 4 stems, not of 2; see --stems"
    line = fail("experiments/stem_identity.py", *folders, "gone")
    assert line == "error: gone: is not a folder; name one of generated stems, or a data set"
