"""Beats of songs, from beats.json and annotations, scored without audio."""

import json

import numpy as np
import pytest

from synctrack.metrics.beats.given import read_given_beats

pytestmark = pytest.mark.medium


def test_beats_of_songs_have_an_irs_and_neither_cbs_nor_cbd(tmp_path, run):
    for song, times in {"a": [0.0, 0.5, 1.0, 1.5], "b": [0.0, 0.4, 1.0, 1.4]}.items():
        (tmp_path / "set" / song).mkdir(parents=True)
        content = {"tempo": 120.0, "meter": 4, "beats": times, "downbeats": [0.0]}
        (tmp_path / "set" / song / "beats.json").write_text(json.dumps(content))
    deviation = float(np.std([0.4, 0.6, 0.4]))
    for path, expected in [("set", deviation / 2), ("set/b", deviation), ("set/a/beats.json", 0.0)]:
        output = run("eval_metrics/IRS.py", "--beats", path).stdout.splitlines()
        assert output[:2] == ["protocol: given", f"interval_std song: {expected:.6f}"]
    run("eval_metrics/score.py", "--beats", "set", "--json", "scores.json")
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["durations"] == pytest.approx({"a": 2.0, "b": 1.8})
    values = scores["protocols"]["given"]
    assert (values["mean_beat_ratio"], values["avg_error"]) == (None, None)
    assert values["avg_interval_std"] == pytest.approx(deviation / 2)


def test_annotation_of_one_song_is_scored(tmp_path):
    (tmp_path / "tune.beats").write_text("0.5 4\n1.0 1\n")
    beats = read_given_beats(tmp_path / "tune.beats")
    assert beats.files["tune"]["song"].beats["given"].tolist() == [0.5, 1.0]
    assert beats.files["tune"]["song"].duration == 1.5


def test_folder_without_beats_and_damaged_beats_of_a_song_are_named(tmp_path, fail):
    (tmp_path / "set" / "a").mkdir(parents=True)
    assert "set: neither it nor a folder in it holds beats.json" in fail("eval_metrics/score.py", "--beats", "set")
    (tmp_path / "set" / "a" / "beats.json").write_text('{"beats": [1.0, 0.5]}')
    assert "a/beats.json: beats: number 2" in fail("eval_metrics/score.py", "--beats", "set")


def test_stems_of_given_beats_are_chosen_and_options_of_audio_refused(tmp_path, run, fail):
    times = {"a": [0.5, 1.0, 1.5], "b": [0.5, 1.0, 1.5], "c": [0.7, 1.3, 1.9]}
    content = {"beats": {"one": times}, "durations": {"one": 3.0}}
    (tmp_path / "beats.json").write_text(json.dumps(content))
    arguments = ("eval_metrics/score.py", "--beats", "beats.json", "--json", "scores.json")
    values = {}
    for chosen in ([], ["--stems", "a,b"]):
        run(*arguments, *chosen)
        values[len(chosen)] = json.loads((tmp_path / "scores.json").read_text())["protocols"]["given"]["cbs"]
    assert values[2] == 1 > values[0]
    assert "--stems: there are no beats of x; stems are a, b, c" in fail(*arguments, "--stems", "a,x")
    assert "--layout: belongs to a folder of audio" in fail(*arguments, "--layout", "songs")
    assert "--tracker: belongs to a folder of audio" in fail(*arguments, "--tracker", "librosa")
