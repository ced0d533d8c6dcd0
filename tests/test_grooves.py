"""Grooves: deterministic for a seed, in time with their stated beats, in tune and below full scale."""

import librosa
import mir_eval
import numpy as np
import pytest

from synctrack.audio.files import write_wav
from synctrack.data.sources.groove_patterns import DRUMS, PLAYED
from synctrack.data.sources.grooves import DEFAULT_STEMS, STEMS, render_groove
from synctrack.data.sources.synthesis import VOICES, tone
from synctrack.errors import InputError
from synctrack.metrics.beats.madmom.tracker import MadmomTracker


def _struck(wave: np.ndarray, times: np.ndarray, sample_rate: int = 16000) -> float:
    """Share of `times` (seconds) at which the wave suddenly grows: its energy in the 20 ms after and before."""
    width = sample_rate // 50
    energy = np.concatenate([[0.0], np.cumsum(wave.astype(np.float64) ** 2)])
    at = np.round(times * sample_rate).astype(int)
    at = at[(at >= width) & (at + width < len(energy))]
    before, after = energy[at] - energy[at - width], energy[at + width] - energy[at]
    return float(np.mean(after > 2.0 * before))


def test_seed_decides_everything():
    first, again, other = (render_groove(seed, 5.0, 16000) for seed in (7, 7, 8))
    assert tuple(first.stems) == DEFAULT_STEMS
    for stem, wave in first.stems.items():
        assert wave.dtype == np.float32
        assert wave.shape == (80000,)
        np.testing.assert_array_equal(wave, again.stems[stem])
        assert np.abs(wave).max() > 0.05
        assert not np.array_equal(wave, other.stems[stem])
    assert (first.bpm, first.key) != (other.bpm, other.key)


def test_stem_is_the_same_whichever_others_play():
    four, two, six = (render_groove(5, 8.0, 16000, stems) for stems in (DEFAULT_STEMS, ("piano", "bass"), STEMS))
    assert set(six.stems) == {"bass", "drums", "guitar", "piano", "strings", "lead"}
    for other in (two, six):
        ratio = np.abs(four.stems["piano"]).max() / np.abs(other.stems["piano"]).max()
        np.testing.assert_allclose(other.stems["piano"] * ratio, four.stems["piano"], atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_drums_have_onsets_on_the_beats(seed):
    groove = render_groove(seed, 20.0, 16000, stems=["drums"], drift=0.04)
    drums = groove.stems["drums"]
    assert _struck(drums, groove.beats) > 0.9
    assert _struck(drums, groove.downbeats) > 0.9
    # A grid that is wrong by a third of a sixteenth must not pass as well.
    assert _struck(drums, groove.beats + 5.0 / groove.bpm) < 0.2


def _changed(wave: np.ndarray, times: np.ndarray, sample_rate: int = 16000) -> float:
    """Mean cosine distance (0 to 1) of the spectra of the 64 ms before and after each of `times`."""
    width = 1024 * sample_rate // 16000
    unlike = []
    for at in np.round(times * sample_rate).astype(int):
        if width <= at < len(wave) - width:
            before, after = np.abs(np.fft.rfft(np.stack([wave[at - width : at], wave[at : at + width]])))
            unlike.append(1 - before @ after / (np.linalg.norm(before) * np.linalg.norm(after) + 1e-9))
    return float(np.mean(unlike))


@pytest.mark.parametrize("stem", STEMS)
def test_all_stems_begin_their_bars_together(stem):
    groove = render_groove(3, 20.0, 16000, stems=[stem])
    wave = groove.stems[stem]
    late = groove.downbeats + 1 / 8 * 60 / groove.bpm
    assert _changed(wave, groove.downbeats) > 1.5 * _changed(wave, late)


def test_tempo_is_steady_unless_it_drifts():
    steady = np.diff(render_groove(2, 60.0, 8000, ["bass"]).beats)
    np.testing.assert_allclose(steady, steady[0], rtol=1e-6)
    drifting = render_groove(2, 60.0, 8000, ["bass"], drift=0.05)
    intervals = np.diff(drifting.beats)
    assert 0.01 < intervals.std() / intervals.mean() < 0.05
    assert intervals.max() / intervals.min() < 1.05 / 0.95
    assert 60.0 / intervals.mean() == pytest.approx(drifting.bpm, rel=1e-3)


def test_tempi_meters_and_swing_vary_within_their_ranges():
    grooves = [render_groove(seed, 4.0, 8000, ["bass"]) for seed in range(300)]
    tempi = [groove.bpm for groove in grooves]
    assert 70 <= min(tempi) < 80
    assert 140 < max(tempi) <= 160
    assert {groove.meter for groove in grooves} == {3, 4}
    assert 0.25 < np.mean([groove.swing > 0.5 for groove in grooves]) < 0.45
    assert len({groove.key for groove in grooves}) > 15
    assert {render_groove(seed, 2.0, 8000, ["bass"], meters=[3]).meter for seed in range(8)} == {3}


def test_every_bar_has_its_meter_of_beats():
    groove = render_groove(4, 30.0, 8000, ["bass"], meters=[3])
    assert groove.beats[0] == groove.downbeats[0] < 0.5
    assert groove.beats[-1] < 30.0
    np.testing.assert_array_equal(groove.beats[::3], groove.downbeats)


def test_swing_delays_the_second_eighth():
    seed = next(seed for seed in range(50) if render_groove(seed, 1.0, 8000, ["bass"]).swing > 0.6)
    groove = render_groove(seed, 20.0, 16000, stems=["drums"])
    beat = 60.0 / groove.bpm
    assert _struck(groove.stems["drums"], groove.beats + groove.swing * beat) > 0.6
    assert _struck(groove.stems["drums"], groove.beats + 0.5 * beat) < 0.2


def test_stems_and_mix_do_not_clip():
    for seed in range(3):
        stems = render_groove(seed, 10.0, 16000, STEMS).stems
        assert max(np.abs(wave).max() for wave in [*stems.values(), sum(stems.values())]) == pytest.approx(
            0.9, abs=1e-3
        )


@pytest.mark.medium
@pytest.mark.parametrize("instrument", VOICES)
@pytest.mark.parametrize("pitch", [45, 69])
@pytest.mark.parametrize("rate", [8000, 44100])
def test_voices_are_in_tune(instrument, pitch, rate):
    wave = tone(instrument, pitch, rate)
    assert np.abs(wave).max() == pytest.approx(1.0)
    pitches = librosa.yin(wave[: rate // 2], fmin=60, fmax=700, sr=rate, frame_length=4096)
    assert np.median(pitches) == pytest.approx(440 * 2 ** ((pitch - 69) / 12), rel=0.012)


def test_patterns_fill_their_bars():
    for meter in (3, 4):
        lines = [line for kit in DRUMS[meter] for line in kit.values()]
        lines += [pattern for patterns in PLAYED.values() for pattern in patterns[meter]]
        assert {len(line) for line in lines} == {4 * meter}
        assert all(kit["kick"][0] == "x" for kit in DRUMS[meter])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stems": ("bass", "kazoo")}, "stems: bass, kazoo: choose"),
        ({"stems": ("bass", "bass")}, "each once"),
        ({"stems": ()}, "stems: none"),
        ({"meters": (5,)}, "meters: 5"),
        ({"drift": 0.7}, r"drift: 0\.7"),
        ({"seconds": 0.0}, r"seconds: 0\.0 is not between 1 and"),
        ({"sample_rate": 4000}, "rate: 4000 is not between 8000 and"),
    ],
)
def test_grooves_out_of_bounds_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        render_groove(**{"seed": 0, "seconds": 5.0, "sample_rate": 16000} | arguments)


@pytest.mark.slow
def test_beat_tracker_detects_the_beats(tmp_path):
    """Half and double tempo are a tracker's usual mistakes, hence the mean over some songs."""
    tracker, scores = MadmomTracker(), []
    for seed in range(6):
        groove = render_groove(seed, 20.0, 16000)
        for name, wave in (("drums", groove.stems["drums"]), ("mix", sum(groove.stems.values()))):
            write_wav(tmp_path / f"{name}.wav", wave, 16000)
            detected = tracker.track_file(tmp_path / f"{name}.wav").beats["corrected"]
            scores.append(mir_eval.beat.f_measure(groove.beats, detected))
    assert np.mean(scores) > 0.9
