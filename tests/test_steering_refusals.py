"""Wrong input to steering: one clear line each, from Python and from the command."""

import sys

import numpy as np
import pytest

from helpers.commands import only_error
from helpers.steered import ALL, NOTHING, RATE, noise_song, save_steered, steered_model
from synctrack import Song
from synctrack.audio.beat_files import regular_beats
from synctrack.cli import main as command
from synctrack.errors import InputError
from synctrack.generation.request import Request

pytestmark = pytest.mark.medium

SONG = noise_song(2.56, beats=regular_beats(180, 3, 2.56))
WAVE = SONG["drums"]
NAN = float("nan")


@pytest.fixture(scope="module")
def model():
    return steered_model()


@pytest.fixture(scope="module")
def plain():
    return steered_model(NOTHING)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_steered(tmp_path_factory.mktemp("model") / "model.safetensors", ALL, trained_bpm=[70, 160])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"given": {"violin": WAVE}}, "given: 'violin' is not a stem of the model; its stems are bass, drums, guitar"),
        ({"given": {"drums": WAVE[:319]}}, r"given drums: is 0.039875 s long; it must have 0.04 s, a frame"),
        ({"given": {"drums": 0 * WAVE}}, "given drums: is silent"),
        ({"given": {"drums": WAVE + np.float32(NAN)}}, "given drums: holds samples that are not numbers"),
        ({"given": {"drums": "gone.wav"}}, "gone.wav: is not there"),
        ({"given": {"drums": (WAVE, 3)}}, "at 1000 to 768000 Hz"),
        ({"given": {"drums": np.zeros((8000, 2))}}, r"must be \(channels, num_samples\)"),
        ({"given": {"drums": object()}}, "must be a path, an array"),
        ({"given": {"drums": (1, 2, 3)}}, "given drums: must be a path, an array of samples, or a pair"),
        ({"given": "drums.wav"}, "given: must say which stem is which audio"),
        ({"given": {"drums": (WAVE * 2**15).astype(np.int16)}}, "given drums: holds int16, of which the scale is not"),
        ({"given": {"drums": WAVE * 2**15}}, r"given drums: reaches \d+\.?\d*; full scale is 1"),
        ({"level": 0.5}, "level: is the gain that given stems have"),
        ({"given": {"drums": WAVE}, "level": NAN}, "level: nan is not a number above 0"),
        ({"method": "masks"}, "method: says how a mix is separated"),
        ({"seconds": "2"}, "seconds: 2 is not a number above 0"),
        ({"bpm": 60, "seconds": 0.3}, "bpm: a song of 0.3 s holds 1 beats; 2 or more are needed; make it longer"),
        ({"bpm": 60, "seconds": 1e-4}, "bpm: a song of 0.000125 s holds 1 beats"),
        ({"beats": regular_beats(60, 4, 9), "seconds": 0.4}, "beats: a song of 0.4 s holds 1 beats"),
        ({"steps": 2.5}, "steps: 2.5 is not a whole number between 1"),
        ({"steps": 0}, "steps: 0 is not a whole number between 1"),
        ({"given": dict.fromkeys(SONG.stems, WAVE)}, "nothing is left to generate"),
        ({"bpm": 120, "beats": "x.json"}, "bpm, beats: say the tempo by one of them"),
        ({"bpm": NAN}, "bpm: nan is not between 10 and 1000"),
        ({"bpm": 0}, "bpm: 0 is not between"),
        ({"meter": 3}, "meter: goes with bpm"),
        ({"bpm": 120, "meter": 0}, "meter: 0 is not a whole number"),
        ({"beats": "gone.json"}, "gone.json: cannot be read"),
        ({"beats": [0.5]}, r"beats: \[0.5\] are not beats \(holds 1 beats"),
        ({"beats": np.array([1.0, 0.5])}, "are not beats .*ascend"),
        ({"beats": 5}, "beats: 5 are not beats"),
        ({"loop": 1}, "loop: 1 is not True or False"),
        ({"original": SONG, "redo": 5}, "redo: 5 is not a name of a stem"),
        ({"original": SONG, "redo": [5]}, "is not a name of a stem"),
        ({"original": SONG, "redo": "piano", "mix": WAVE}, "mix: does not go with a song that is there"),
        ({"original": SONG, "bars": (1, float("inf"))}, "two whole numbers such as 5-8"),
        ({"original": Song(SONG.waveforms, RATE), "strength": 0.5, "guidance": 3}, "model is told nothing"),
        ({"original": Song(SONG.waveforms, RATE), "strength": 0.5, "resampling": 2}, "where nothing is known"),
        ({"bars": 2}, "bars: how long a bar is follows from the tempo"),
        ({"bars": 2, "bpm": 100, "seconds": 3}, "bars, seconds: say the length by one"),
        ({"bars": "2-3", "bpm": 100}, "is a part of a song that is there"),
        ({"bars": 0, "bpm": 100}, "bars: 0 is not between 1"),
        ({"bars": 9000, "bpm": 10}, "up to 3600 s are possible"),
        ({"redo": "piano"}, "redo: changes a song that is there"),
        ({"extend": 3}, "extend: changes a song that is there"),
        ({"strength": 0.3}, "strength: changes a song that is there"),
        ({"original": SONG}, "original: say what to change"),
        ({"original": SONG, "redo": "violin"}, "redo: 'violin' is not a stem of the song; its stems are bass"),
        ({"original": SONG, "redo": list(SONG.stems)}, "nothing of the song would stay"),
        ({"original": SONG, "bars": "2-9"}, "bars: 2-9 are asked for, but the song has 3 bars"),
        ({"original": SONG, "bars": "x"}, "two whole numbers such as 5-8"),
        ({"original": SONG, "bars": "3-2"}, "bars: 3-2 is not a range"),
        ({"original": SONG, "span": "2.0"}, "span: 2.0 is not two numbers of seconds"),
        ({"original": SONG, "span": (9, 12)}, "span: begins at 9 s, but the song is 2.56 s long"),
        ({"original": SONG, "span": (0, NAN)}, "is not a range of seconds"),
        ({"original": SONG, "span": "1-2", "bars": "1-2"}, "bars, span: say the part by one"),
        ({"original": SONG, "extend": -1}, "extend: -1 is not a number above 0"),
        ({"original": SONG, "extend": 1e-5}, "extend: 1e-05 s is less than a sample"),
        ({"original": SONG, "redo": "piano", "span": "1-1.00001"}, "span: 1-1.00001 is less than a sample"),
        ({"original": SONG, "extend": 3600}, "up to 3600 s are possible"),
        ({"original": SONG, "extend": 3, "redo": "piano"}, "extend: does not go with redo"),
        ({"original": SONG, "seconds": 3, "redo": "piano"}, "seconds: does not go with a song that is there"),
        ({"original": SONG, "given": {"drums": WAVE}, "redo": "piano"}, "given: does not go with a song"),
        ({"original": SONG, "loop": True, "redo": "piano"}, "loop: does not go with a song"),
        ({"original": SONG, "strength": 1.5}, "strength: 1.5 is not between 0 and 1"),
        ({"original": SONG, "strength": {"drums": NAN}}, "strength: drums=nan is not between 0 and 1"),
        ({"original": SONG, "strength": {"violin": 0.5}}, "strength: 'violin' is not a stem"),
        ({"original": SONG, "strength": 0}, "the song would stay as it is"),
        ({"original": SONG, "strength": 0.01}, "strength: leaves none of 20 steps"),
        ({"original": "gone", "extend": 3}, "gone/song.json: no such file"),
        ({"original": 3, "extend": 3}, "must be a Song or the folder of one"),
        ({"original": Song({"a": WAVE}, RATE), "extend": 3}, "has the stems a, the model bass, drums"),
        ({"original": Song(SONG.waveforms, 44100), "extend": 3}, "is at 44100 Hz, the model at 8000 Hz"),
        ({"mix": WAVE, "given": {"drums": WAVE}}, "mix: does not go with given or loop"),
        ({"guidance": NAN}, "guidance: nan is not between 0 and 20"),
        ({"guidance": 3}, "guidance: has no effect where the model is told nothing"),
        ({"resampling": 2}, "resampling: has no effect where nothing is known"),
        ({"resampling": 2.5}, "resampling: 2.5 is not a whole number from 0"),
        ({"best_of": 0}, "best_of: 0 is not a whole number from 1"),
        ({"long": "forever"}, "long: 'forever' must be one of windows, whole"),
    ],
)
def test_wrong_input_is_one_clear_error(model, settings, message):
    with pytest.raises(InputError, match=message):
        model.check(**settings)


def test_guidance_without_anything_told_is_refused(plain):
    """The beats only say where the bars are: this model cannot be told a click, and nothing is known either."""
    with pytest.raises(InputError, match="guidance: has no effect where the model is told nothing"):
        plain.check(original=SONG, bars="2-2", bpm=180, meter=3, guidance=3)


def test_beats_may_be_a_list_of_seconds(model):
    plan = model.check(beats=[0.0, 0.5, 1.0], seconds=1.28).plan
    np.testing.assert_array_equal(plan.beats.beats, [0.0, 0.5, 1.0])
    assert len(plan.beats.downbeats) == 0


def test_unknown_setting_is_a_type_error(model):
    with pytest.raises(TypeError, match="unknown setting 'tempo'"):
        model.generate(tempo=120)


@pytest.mark.parametrize("times", [[0.5, 0.4], [1.0], [0.0, float("inf")]])
def test_beats_that_are_none_are_refused(model, tmp_path, times):
    path = tmp_path / "beats.json"
    path.write_text(str(times).replace("inf", "1e999"))
    with pytest.raises(InputError, match=r"beats\.json"):
        model.check(beats=path)


def test_model_without_click_or_mix_says_why_and_what_works(plain):
    with pytest.raises(InputError, match=r"cannot be told a tempo .*can be told nothing.*give a stem that keeps"):
        plain.check(bpm=120)
    with pytest.raises(InputError, match=r"cannot separate .*A mix is no part of the stems"):
        plain.separate(WAVE)


def test_tempo_that_a_model_was_not_trained_on_is_a_warning_with_the_range(checkpoint, caplog):
    from synctrack import SyncTrack

    model = SyncTrack.from_pretrained(checkpoint, device="cpu")
    model.check(bpm=100)
    assert "was trained on" not in caplog.text
    model.check(bpm=200)
    assert "200 BPM: the model was trained on 70 to 160 BPM" in caplog.text


def test_request_does_not_change_with_its_callers_lists():
    redo = ["piano"]
    request = Request(original=SONG, redo=redo)
    redo.append("bass")
    assert request.redo == ["piano"]


COMMANDS = [
    (["--given", "drums"], "--given drums: must be like drums=drums.wav"),
    (["--given", "drums=a.wav", "drums=b.wav"], "--given: names drums twice"),
    (["--given", "violin=a.wav"], "'violin' is not a stem of the model"),
    (["--bars", "four", "--bpm", "120"], "--bars 'four': is not a whole number of bars"),
    (["--bars", "0", "--bpm", "120"], "bars: 0 is not between 1"),
    (["--bars", "9" * 5000, "--bpm", "120"], "is not a whole number of bars"),
    (["--bpm", "nan"], "bpm: nan is not between"),
    (["--strength", "much", "--from", "x"], "--strength much: is not a number"),
    (["--from", "gone", "--extend", "2"], "no such file"),
    (["--sample-rate", "12"], "--sample-rate: '12' is not a whole number from 8000 to 384000"),
    (["--best-of", "0"], "best_of: 0"),
]


@pytest.mark.parametrize(("options", "message"), COMMANDS)
def test_wrong_command_ends_with_one_line_and_status_2(checkpoint, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    arguments = ["generate", "--model", str(checkpoint), "--device", "cpu", "--out", "out", *options]
    monkeypatch.setattr(sys, "argv", ["synctrack", *arguments])
    with pytest.raises(SystemExit) as stopped:
        command.main()
    assert stopped.value.code == 2
    assert message in only_error(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
