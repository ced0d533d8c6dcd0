"""Half and double tempo, folding, matrices of pairs of stems, and marks for what chance or noise reaches."""

from fractions import Fraction

import numpy as np
import pytest

from synctrack.metrics.beats.types import FileBeats, StemBeats
from synctrack.metrics.cbd import cbd
from synctrack.metrics.cbs import cbs
from synctrack.metrics.chance import marks
from synctrack.metrics.pairs import mean_matrices, pair_matrices
from synctrack.metrics.score import score_beats
from synctrack.metrics.tempo import fold, reference_tempo, suspected_levels, tempo

BEATS = np.arange(0.43, 20, 0.5)


def test_tempo_is_that_of_the_median_interval():
    assert tempo(BEATS) == pytest.approx(120)
    assert np.isnan(tempo(BEATS[:1]))


@pytest.mark.parametrize(
    ("step", "ratio"),
    [(1.0, Fraction(1, 2)), (0.25, Fraction(2)), (0.75, Fraction(2, 3)), (1 / 3, Fraction(3, 2))],
)
def test_stem_at_another_level_is_suspected_and_folded_onto_the_others(step, ratio):
    stems = {"bass": BEATS, "drums": BEATS + 0.005, "piano": np.arange(0.43, 20, step)}
    assert suspected_levels(stems) == {"piano": ratio}
    folded = list(fold(stems).values())
    assert cbs({"song": folded}, {"song": 20.0}).mean_beat_ratio > 0.9
    assert cbd({"song": folded}).avg_error < 0.05
    assert cbs({"song": list(stems.values())}, {"song": 20.0}).mean_beat_ratio < 0.85


def test_stem_in_time_or_of_an_unrelated_tempo_is_not_suspected_nor_changed():
    stems = {"bass": BEATS, "drums": BEATS, "piano": np.arange(0.1, 20, 0.5 * 1.2), "pad": np.empty(0)}
    assert suspected_levels(stems) == {}
    assert all(folded is stem for folded, stem in zip(fold(stems).values(), stems.values(), strict=True))


def test_folding_does_not_hide_a_delay():
    stems = {"bass": BEATS, "drums": BEATS, "piano": np.arange(0.43, 20, 1.0) + 0.12}
    assert cbd({"song": list(fold(stems).values())}).avg_error == pytest.approx(0.48 * 2 / 3, abs=0.02)


def test_songs_tempo_is_that_of_most_stems():
    assert reference_tempo([60.0, 121.0, 119.0, np.nan]) in (121.0, 119.0)
    assert reference_tempo([60.0, 120.0]) == 120.0
    # The same two at the times of protocol `paper`.
    assert reference_tempo([90.0, 180.0], preferred=180.0) == 180.0
    assert np.isnan(reference_tempo([np.nan]))


def test_lag_is_above_zero_where_the_second_stem_is_late():
    matrices = pair_matrices([BEATS, BEATS + 0.08, np.empty(0)], 20.0, 0.15)
    assert matrices["lag"][0, 1] == pytest.approx(0.08)
    assert matrices["lag"][1, 0] == pytest.approx(-0.08)
    assert matrices["cbd"][0, 1] == pytest.approx(0.08 / 0.25)
    assert np.isnan(matrices["cbs"][:, 2]).all()
    assert np.isnan(np.diag(matrices["lag"])).all()
    assert matrices["cbs"][0, 1] == matrices["cbs"][1, 0]


def test_mean_matrices_leave_out_pairs_without_a_value():
    known, unknown = pair_matrices([BEATS, BEATS], 20.0, 0.15), pair_matrices([BEATS, np.empty(0)], 20.0, 0.15)
    assert mean_matrices([known, unknown])["cbs"][0, 1] == 1
    assert np.isnan(mean_matrices([unknown, unknown])["cbs"][0, 1])


VALUES = {"irs": 0.01, "cbs": 0.6, "cbd": 0.2, "folded_cbs": 0.6, "folded_cbd": 0.2}


def test_values_that_chance_or_noise_reach_are_marked():
    chance = {"cbs": 0.5, "cbd": 0.4, "folded_cbs": 0.5, "folded_cbd": 0.4}
    assert marks(VALUES, {}, chance, 0.04) == {}
    assert set(marks(VALUES, {"cbs": (0.45, 0.7), "irs": (0.005, 0.05)}, chance, 0.04)) == {"cbs", "irs"}
    assert "0.400" in marks(VALUES | {"cbd": 0.41}, {}, chance, 0.04)["cbd"]
    assert marks(VALUES | {"irs": np.nan}, {}, dict.fromkeys(chance, np.nan), None) == {}


def test_both_protocols_suspect_the_same_stem():
    slow, fast = np.arange(0.5, 30, 1.0), np.arange(0.5, 30, 0.5)
    files = {
        f"song {number}": {
            stem: FileBeats(30.0, 0.5, {"corrected": times, "paper": times * 2 / 3})
            for stem, times in {"bass": slow, "drums": fast}.items()
        }
        for number in range(2)
    }
    protocols = score_beats(StemBeats(("bass", "drums"), files, ("paper", "corrected"), "none"))["protocols"]
    assert [values["suspected_levels"]["song 0"] for values in protocols.values()] == [{"bass": "1/2"}] * 2
