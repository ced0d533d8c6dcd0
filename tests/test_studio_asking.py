"""What the page asks for: fields as settings of the model, scores as words, and the commands of the container."""

import json
import math
import re

import numpy as np
import pytest

from helpers.commands import ROOT
from helpers.steered import RATE, noise_song, steered_model
from synctrack.audio.beat_files import regular_beats
from synctrack.errors import InputError
from synctrack.generation.song import Song
from synctrack.metrics.check.timing import StemTiming
from synctrack.studio.asking import (
    Form,
    ask_again,
    ask_longer,
    ask_loop,
    ask_new,
    ask_separation,
    ask_variation,
)
from synctrack.studio.sessions import Session
from synctrack.studio.words import score_lines, timing_in_words


@pytest.fixture
def session(tmp_path):
    return Session.new(tmp_path)


@pytest.fixture
def take(session):
    return session.add(noise_song(2.56, beats=regular_beats(bpm=120, meter=4, seconds=2.56)), "seed 1", None)


def timing(finding: str, offset: float = 0.0, drift: float = 0.0, reason: str = "") -> dict:
    """What is known of a stem, as scores hold it."""
    return StemTiming(finding, offset, drift, 1.0, reason).as_dict()


def test_form_as_it_stands_asks_for_what_the_model_does_by_default(session):
    asked = ask_new(session, Form(), None)
    assert steered_model().check(**asked.settings).request.asked == {}
    assert (asked.seed, asked.label, asked.before) == (0, "seed 0", None)


def test_whole_numbers_may_come_as_floats(session):
    asked = ask_new(session, Form(seed=3.0, bpm=96.0, meter=3.0, unit="bars", length=4.0, steps=5.0, best_of=2.0), 7)
    chosen = {key: asked.settings[key] for key in ("bpm", "meter", "bars", "steps", "best_of")}
    assert chosen == {"bpm": 96.0, "meter": 3, "bars": 4, "steps": 5, "best_of": 2}
    assert [type(chosen[key]) for key in ("meter", "bars", "steps", "best_of")] == [int] * 4
    assert asked.label == "seed 3, 96 BPM, 4 bars"
    steered_model().check(**asked.settings)


@pytest.mark.parametrize(
    "field",
    [
        {"seed": -1},
        {"seed": 1.5},
        {"seed": None},
        {"seed": "1"},
        {"bpm": math.nan},
        {"bpm": math.inf},
        {"bpm": 5},
        {"meter": 0, "bpm": 100},
        {"meter": 3},
        {"length": -1},
        {"length": math.nan},
        {"length": 1.5, "unit": "bars", "bpm": 100},
        {"length": 1, "unit": "hours"},
        {"steps": 0},
        {"steps": 10**9},
        {"best_of": 17},
        {"best_of": True},
        {"guidance": math.nan},
        {"uploads": {"drums": "../../etc/passwd"}},
        {"uploads": {"beats": "001.txt"}},
    ],
)
def test_field_out_of_bounds_is_one_line(session, field):
    with pytest.raises(InputError) as refused:
        ask_new(session, Form(**field), None)
    assert "\n" not in str(refused.value)


def test_changes_are_settings_that_the_model_takes(session, take):
    model = steered_model()
    strengths = dict.fromkeys(take.stems, 0.0) | {"drums": 0.5}
    asked = [
        ask_again(take, ["piano"], "1", "", 2),
        ask_again(take, ["piano", "bass"], "", "0.5-1.0", 2),
        ask_again(take, take.stems, " 1-1 ", "", 2),
        ask_longer(take, 1.28, 2),
        ask_variation(take, strengths, 2),
        ask_loop(take, ["piano"], 2),
        ask_loop(take, take.stems, 2),
    ]
    for one in asked:
        model.check(**one.settings)
    assert [one.label for one in asked] == [
        "piano again, bars 1",
        "piano and bass again, 0.5-1.0 s",
        "bass and drums and guitar and piano again, bars 1-1",
        "1.28 s more",
        "variation: drums 0.5",
        "piano as a loop",
        "bass and drums and guitar and piano as a loop",
    ]
    assert {one.before for one in asked} == {1}
    # The stems of a take have its gain, and what is played to them gets it too.
    assert asked[5].settings["level"] == take.song().info["gain"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda take, session: ask_again(take, [], "", "", 1),
        lambda take, session: ask_loop(take, [], 1),
        lambda take, session: ask_longer(take, None, 1),
        lambda take, session: ask_longer(take, math.nan, 1),
        lambda take, session: ask_variation(take, {"bass": 1.5}, 1),
        lambda take, session: ask_separation(session, "", None),
    ],
)
def test_change_without_what_it_needs_is_refused(session, take, ask):
    with pytest.raises(InputError):
        ask(take, session)


def test_loop_of_a_song_without_beats_keeps_no_tempo(session):
    plain = session.add(Song({"bass": np.zeros(RATE, np.float32), "drums": np.ones(RATE, np.float32)}, RATE), "x", None)
    assert "beats" not in ask_loop(plain, ["bass"], 1).settings


def test_timing_names_who_is_together_and_what_is_wrong_with_the_others():
    stems = {"drums": timing("together"), "bass": timing("together"), "piano": timing("offset", 0.04)}
    assert timing_in_words(stems) == "drums and bass together, piano is late by 0.04 s"
    stems = {"drums": timing("drifting", 0.0, -0.01), "bass": timing("other song", math.nan, math.nan)}
    assert timing_in_words(stems) == "drums runs fast by 1.00 %, bass seems to be from another song"
    stems = {"drums": timing("together"), "bass": timing("cannot tell", math.nan, math.nan, "silent")}
    assert timing_in_words(stems) == "bass cannot be told (silent)"
    assert timing_in_words({}) == "nothing can be told of its timing"


def test_scores_that_do_not_exist_are_left_out():
    row = {"cbs": 0.5, "cbd": None, "irs": 0.01234}
    result = {"durations": {"song": 1.0}, "protocols": {"corrected": {"songs": {"song": row}}}}
    assert score_lines(result)[1] == "CBS 0.500 · IRS 0.012"
    none = {"durations": {"song": 1.0}, "protocols": {"corrected": {"songs": {"song": dict.fromkeys(row)}}}}
    assert len(score_lines(none)) == 1


def test_commands_of_the_container_are_those_of_readme():
    readme = (ROOT / "README.md").read_text()
    dockerfile = (ROOT / "docker" / "studio.Dockerfile").read_text()
    for line in re.findall(r"^#   (.*)$", dockerfile, re.MULTILINE):
        assert line in readme
    command = json.loads(re.search(r"^CMD (.*)$", dockerfile, re.MULTILINE)[1])
    assert command[:2] == ["synctrack", "studio"]
    assert " ".join(command[2:]) in readme
    (install,) = re.findall(r"^RUN pip install --no-cache-dir ('.*)$", dockerfile, re.MULTILINE)
    assert f"pip install {install}" in readme
    for source in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE):
        assert all((ROOT / name).exists() for name in source.split())
