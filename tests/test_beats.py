"""Beats and their files: checks, and every form of JSON and text that is read."""

import json

import numpy as np
import pytest

from synctrack.audio.beat_files import Beats, read_beats, regular_beats, write_beats
from synctrack.errors import InputError

REFUSED_TIMES = [
    ([0.5], [], "holds 1 beats; 2 or more"),
    ([], [], "holds 0 beats"),
    ([0.0, 1.0, 1.0], [], r"beats: number 3 \(1 s\) does not follow number 2 \(1 s\)"),
    ([0.0, 1.0], [1.0, 0.0], r"downbeats: number 2 \(0 s\) does not follow"),
    ([0.0, np.nan], [], "beats: number 2 is nan s"),
    ([0.0, np.inf], [], "beats: number 2 is inf s"),
    ([-0.1, 1.0], [], r"beats: number 1 is -0\.1 s"),
    ([0.0, 86400.5], [], "must be 0 to 86400"),
    ([0.0, 1.0, 2.0], [1.002], r"downbeat at 1\.002 s is not one of the beats"),
    ([0.0, 1.0], [3.0], "is not one of the beats"),
    ([0.0, 1.0], [0.9995, 1.0005], "two downbeats lie on the same beat"),
    ([[0.0, 1.0]], [], "beats: must be a list of seconds"),
    (["a", "b"], [], "beats: must be a list of seconds"),
    ([0.0, 10**400], [], "beats: must be a list of seconds"),
]


@pytest.mark.parametrize(("beats", "downbeats", "message"), REFUSED_TIMES)
def test_times_that_are_no_beats_are_refused(beats, downbeats, message):
    with pytest.raises(InputError, match=message):
        Beats(beats, downbeats)


def test_beats_tell_tempo_and_meter():
    beats = Beats(np.arange(12) * 0.5, np.array([0.5, 2.0, 3.5, 5.0]))
    assert beats.bpm == 120.0
    assert (beats.meters, beats.meter) == ((3, 3, 3), 3)
    changing = Beats(np.arange(12) * 0.5, [0.0, 2.0, 3.5])
    assert (changing.meters, changing.meter) == ((4, 3), None)
    without = Beats([0.0, 0.6, 1.1])
    assert (without.meters, without.meter) == ((), None)
    assert without.bpm == pytest.approx(60 / 0.55)


def test_beats_are_copied_snap_downbeats_and_cannot_be_changed():
    times = np.array([0.0, 0.5, 1.0])
    beats = Beats(times, [0.4995])
    times[0] = 9.0
    assert beats.beats[0] == 0.0
    assert beats.downbeats.tolist() == [0.5]
    with pytest.raises(ValueError, match="read-only"):
        beats.beats[0] = 1.0


def test_shifted_and_within_cut_and_move():
    beats = regular_beats(120, 4, 8.0)
    later = beats.shifted(0.25)
    np.testing.assert_allclose(later.beats, beats.beats + 0.25)
    np.testing.assert_allclose(later.downbeats, [0.25, 2.25, 4.25, 6.25])
    earlier = beats.shifted(-1.75)
    np.testing.assert_allclose(earlier.beats, np.arange(12) * 0.5 + 0.25)
    np.testing.assert_allclose(earlier.downbeats, [0.25, 2.25, 4.25])
    part = beats.within(1.0, 4.0)
    np.testing.assert_allclose(part.beats, [1.0, 1.5, 2.0, 2.5, 3.0, 3.5])
    assert part.downbeats.tolist() == [2.0]
    with pytest.raises(InputError, match="holds 1 beats"):
        beats.within(1.0, 1.5)
    with pytest.raises(InputError, match="beats: number 1 is inf s"):
        beats.shifted(float("inf"))
    with pytest.raises(InputError, match="holds 0 beats"):
        beats.shifted(float("nan"))


def test_regular_beats_end_before_the_song_does():
    beats = regular_beats(120, 4, 3.0, first=0.5)
    assert beats.beats.tolist() == [0.5, 1.0, 1.5, 2.0, 2.5]
    assert beats.downbeats.tolist() == [0.5, 2.5]
    assert (regular_beats(97.3, 3, 60.0).bpm, regular_beats(97.3, 3, 60.0).meter) == (pytest.approx(97.3), 3)


@pytest.mark.parametrize(
    "arguments",
    [
        (0, 4, 8.0),
        (float("nan"), 4, 8.0),
        (1001, 4, 8.0),
        (120, 0, 8.0),
        (120, 65, 8.0),
        (120, 2.5, 8.0),
        (120, 4, float("inf")),
        (120, 4, 0.2),
        (120, 4, 8.0, -1.0),
        (120, 4, 8.0, 8.0),
        (120, 4, 8.0, float("nan")),
    ],
)
def test_regular_beats_of_impossible_values_are_refused(arguments):
    with pytest.raises(InputError):
        regular_beats(*arguments)


def test_beats_json_is_written_as_before_and_read_back(tmp_path):
    write_beats(tmp_path, np.array([0.0, 1 / 3, 2 / 3]), np.array([0.0]), {"tempo": 180.0, "meter": 3})
    expected = {"tempo": 180.0, "meter": 3, "beats": [0.0, 0.333333, 0.666667], "downbeats": [0.0]}
    assert (tmp_path / "beats.json").read_text() == json.dumps(expected, indent=1) + "\n"
    beats = read_beats(tmp_path / "beats.json")
    assert beats.beats.tolist() == expected["beats"]
    assert beats.downbeats.tolist() == [0.0]


def test_bare_list_in_json_has_no_downbeats(tmp_path):
    (tmp_path / "times.json").write_text("[0, 0.5, 1]")
    beats = read_beats(tmp_path / "times.json")
    assert beats.beats.tolist() == [0.0, 0.5, 1.0]
    assert len(beats.downbeats) == 0


@pytest.mark.parametrize(
    ("text", "downbeats"),
    [
        ("0.5\n1.0\n1.5\n", []),
        ("0.5 4\n1.0 1\n1.5 2\n", [1.0]),
        ("0.5\t4\t7\n1.0\t1\t8\n1.5\t2\t8", [1.0]),
        ("# time, beat\n0.5, 4\n\n1.0,1  # chorus\n1.5 ,2\n", [1.0]),
        ("\ufeff5.0e-01 4.0e+00\r\n1.0e+00 1.0e+00\r\n1.5e+00 2.0e+00\r\n", [1.0]),
        ("0.5 2\n1 3\n1.5 4", []),
    ],
)
@pytest.mark.parametrize("suffix", [".txt", ".beats", ".TXT"])
def test_annotations_of_every_form_are_read(tmp_path, text, downbeats, suffix):
    path = tmp_path / f"song{suffix}"
    path.write_text(text, encoding="utf-8", newline="")
    beats = read_beats(path)
    assert beats.beats.tolist() == [0.5, 1.0, 1.5]
    assert beats.downbeats.tolist() == downbeats


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "0.5\nfoo\n", r"a\.txt, line 2: 'foo' is not a time in seconds"),
        ("a.txt", "0.5\n-1\n", r"line 2: '-1' is not a time"),
        ("a.txt", "0.5\nnan\n", "line 2: 'nan' is not a time"),
        ("a.txt", "0.5\n1e999\n", "line 2: '1e999' is not a time"),
        ("a.txt", "# x\n0.5\n0.5\n", r"line 3: 0\.5 s does not follow 0\.5 s"),
        ("a.txt", "0.5 1\n1.0\n", "line 2: has no beat number"),
        ("a.txt", "0.5 0.9 verse\n", "line 1: '0.9' must be the beat's number in its bar"),
        ("a.txt", "0.5 0\n", "line 1: '0' must be the beat's number"),
        ("a.txt", "0.5 x\n", "line 1: 'x' must be the beat's number"),
        (
            "a.txt",
            "0,512\n1,512\n2,512\n",
            "line 1: '512' must be .* up to 64; .*; a decimal point is written as a point",
        ),
        ("a.txt", "0,51\n0,99\n", "line 2: 0 s does not follow 0 s; .*; a decimal point is written as a point"),
        ("a.txt", "", r"a\.txt: holds 0 beats"),
        ("a.txt", "0.5", r"a\.txt: holds 1 beats"),
        ("a.txt", "0.5\n1e6", r"a\.txt: beats: number 2 is 1e\+06 s"),
        ("a.txt", b"\xff\xfe0\x00", r"a\.txt: is not a text file"),
        ("a.json", "{", r"a\.json: is not JSON"),
        ("a.json", "[" * 100000, r"a\.json: is not JSON"),
        ("a.json", "3", r"a\.json: holds no beats"),
        ("a.json", '{"downbeats": [1]}', r"a\.json: holds no beats"),
        ("a.json", '{"beats": {"bass": [1, 2]}}', "beats must be a list of seconds, the times of one song"),
        ("a.json", "[0, true]", "beats must be a list of seconds"),
        ("a.json", '["0", "1"]', "beats must be a list of seconds"),
        ("a.json", "[0, NaN]", r"a\.json: is not JSON \(NaN is not a finite number"),
        ("a.json", "[0, 1" + "0" * 400 + "]", "too large a number"),
        ("a.json", '{"beats": [0, 1], "downbeats": null}', "downbeats must be a list of seconds"),
        ("a.json", '{"beats": [0, 1], "downbeats": [0.5]}', r"a\.json: the downbeat at 0\.5 s is not one"),
        ("a.mid", "no MIDI", r"a\.mid: is not a readable MIDI file"),
        ("a.wav", "", r"a\.wav: is not a file of beats; its name must end in \.json, \.txt"),
    ],
)
def test_damaged_files_are_refused_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        read_beats(path)


def test_missing_files_and_folders_are_refused(tmp_path):
    (tmp_path / "folder.json").mkdir()
    for name in ("none.json", "none.txt", "none.mid", "folder.json"):
        with pytest.raises(InputError, match=rf"{name}: (no such file|cannot be read|is not a readable|is a folder)"):
            read_beats(tmp_path / name)
