"""Tracked beats against known ones: mir_eval's measures, and where the known beats are found."""

import json
import unicodedata

import numpy as np
import pytest

from synctrack.cli import score
from synctrack.errors import InputError
from synctrack.metrics.beats.types import FileBeats, StemBeats
from synctrack.metrics.truth import beat_measures, read_truth, score_truth

TRUTH = np.arange(0.5, 20, 0.5)


def test_beats_on_the_truth_are_perfect_and_none_are_nought():
    exact = beat_measures(TRUTH, TRUTH)
    assert [exact[name] for name in ("f_measure", "cmlt", "amlt")] == [1, 1, 1]
    assert set(beat_measures(TRUTH, np.empty(0)).values()) == {0.0}


def test_double_tempo_fails_at_the_level_and_passes_at_any():
    double = beat_measures(TRUTH, np.arange(0.5, 19.6, 0.25))
    assert (double["cmlt"], double["amlt"]) == (0, 1)
    assert double["f_measure"] == pytest.approx(2 / 3, abs=0.01)


def test_truth_is_found_in_data_sets_and_beside_annotations(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "beats.json").write_text(json.dumps({"beats": TRUTH.tolist(), "downbeats": []}))
    (tmp_path / "two.beats").write_text("0.5 1\n1.0 2\n1.5 3\n")
    found = read_truth(tmp_path, ["one", "two", "three"])
    assert list(found) == ["one", "two"]
    np.testing.assert_allclose(found["two"], [0.5, 1.0, 1.5])
    assert list(read_truth(tmp_path / "two.beats", ["one", "three"])) == ["one", "three"]
    with pytest.raises(InputError, match=r"holds no four/beats.json"):
        read_truth(tmp_path, ["four"])
    with pytest.raises(InputError, match="no such file or folder"):
        read_truth(tmp_path / "nowhere", ["one"])


def test_truth_is_found_under_a_name_that_another_system_wrote(tmp_path):
    decomposed, composed = (unicodedata.normalize(form, "Für Elise") for form in ("NFD", "NFC"))
    (tmp_path / decomposed).mkdir()
    (tmp_path / decomposed / "beats.json").write_text(json.dumps({"beats": TRUTH.tolist()}))
    (tmp_path / f"{decomposed} 2.beats").write_text("0.5\n1.0\n")
    assert set(read_truth(tmp_path, [composed, f"{composed} 2"])) == {composed, f"{composed} 2"}


def test_missing_truth_is_refused_before_anything_is_tracked(tmp_path):
    for stem in ("bass", "drums"):
        (tmp_path / "songs" / stem).mkdir(parents=True)
        (tmp_path / "songs" / stem / "a.wav").write_bytes(b"no audio")
    with pytest.raises(InputError, match=r"--truth .*nowhere: no such file or folder"):
        score.main([str(tmp_path / "songs"), "--truth", str(tmp_path / "nowhere")], "synctrack score")


def test_paper_is_left_out_and_missing_songs_are_named():
    file = FileBeats(20.0, 0.5, {"paper": TRUTH * 2 / 3, "corrected": TRUTH})
    beats = StemBeats(("bass", "drums"), {"a": {"bass": file, "drums": file}, "b": {"bass": file, "drums": file}},
                      ("paper", "corrected"), "none")  # fmt: skip
    result = score_truth(beats, {"a": TRUTH})
    assert list(result["protocols"]) == ["corrected"]
    assert result["protocols"]["corrected"]["stems"]["bass"]["f_measure"] == 1
    assert result["missing"] == ["b"]


def test_known_beats_behind_the_end_of_the_audio_are_not_missed():
    beats = StemBeats(("bass",), {"a": {"bass": FileBeats(10.0, 0.5, {"corrected": TRUTH[TRUTH < 10]})}},
                      ("corrected",), "none")  # fmt: skip
    assert TRUTH[-1] > 15
    measures = score_truth(beats, {"a": TRUTH})["protocols"]["corrected"]["songs"]["a"]["bass"]
    assert measures["f_measure"] == measures["cmlt"] == 1


def test_given_beats_that_stop_early_miss_the_rest():
    beats = StemBeats(("bass",), {"a": {"bass": FileBeats(10.0, np.nan, {"corrected": TRUTH[TRUTH < 10]})}},
                      ("corrected",), "none")  # fmt: skip
    measures = score_truth(beats, {"a": TRUTH})["protocols"]["corrected"]["songs"]["a"]["bass"]
    assert measures["f_measure"] == pytest.approx(2 / 3, abs=0.05)


def test_paper_alone_has_no_true_times():
    file = FileBeats(20.0, 0.5, {"paper": TRUTH * 2 / 3})
    beats = StemBeats(("bass", "drums"), {"a": {"bass": file, "drums": file}}, ("paper",), "none")
    with pytest.raises(InputError, match="use --protocol corrected or both"):
        score_truth(beats, {"a": TRUTH})
