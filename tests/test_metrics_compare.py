"""A folder beside its reference: what is refused, what is said, and intervals of the difference."""

import numpy as np
import pytest

from synctrack.errors import InputError
from synctrack.metrics.beats.types import FileBeats, StemBeats
from synctrack.metrics.bootstrap import difference_interval, mean_interval, too_few
from synctrack.metrics.score import score_beats, score_beside


def folder(late: float, songs: range, stems=("bass", "drums"), seconds: float = 20.0) -> StemBeats:
    """Songs whose second stem is late by about `late` seconds."""
    files = {}
    for number in songs:
        beats = np.arange(0.3 + 0.01 * number, seconds - 0.5, 0.5 + 0.01 * number)
        times = [beats, beats + late * (1 + 0.1 * (number % 3))]
        files[f"song {number}"] = {
            stem: FileBeats(seconds, 0.5, {"truth": times[min(index, 1)]}) for index, stem in enumerate(stems)
        }
    return StemBeats(stems, files, ("truth",), "none")


def beside(beats: StemBeats, reference: StemBeats) -> dict:
    result = score_beats(beats)
    score_beside(result, beats, reference, "reference")
    return result["comparison"]


def test_songs_of_the_same_name_are_compared_one_by_one():
    comparison = beside(folder(0.1, range(8)), folder(0.0, range(8)))
    change = comparison["protocols"]["truth"]["cbd"]
    beats = [0.5 + 0.01 * number for number in range(8)]
    expected = np.mean([0.2 * (1 + 0.1 * (number % 3)) / beat for number, beat in enumerate(beats)])
    assert change["difference"] == pytest.approx(expected)
    assert change["interval_95"][0] < expected < change["interval_95"][1]
    assert change["clear"]
    assert change["songs"] == 8
    assert comparison["notes"] == []


def test_paired_differences_are_more_certain_than_those_of_means():
    paired = beside(folder(0.1, range(8)), folder(0.09, range(8)))["protocols"]["truth"]["cbd"]
    apart = beside(folder(0.1, range(8)), folder(0.09, range(20, 28)))["protocols"]["truth"]["cbd"]
    assert np.diff(paired["interval_95"]) < np.diff(apart["interval_95"]) / 3
    assert apart["songs"] == 0


def test_difference_of_other_songs_is_that_of_the_printed_values():
    """Drums that are silent in most songs count as much as in IRS itself: less steady ones are not better for it."""

    def unsteady(songs: range, bass: float, drums: float, silent: range) -> StemBeats:
        rng = np.random.default_rng(songs.start)
        files = {
            f"song {number}": {
                stem: FileBeats(20.0, 0.5, {"truth": np.sort(np.arange(0.5, 19.5, 0.5) + rng.normal(0, spread, 38))})
                for stem, spread in {"bass": bass, "drums": drums}.items()
            }
            for number in songs
        }
        for number in silent:
            files[f"song {number}"]["drums"] = FileBeats(20.0, 0.0, {"truth": np.empty(0)})
        return StemBeats(("bass", "drums"), files, ("truth",), "none")

    beats, reference = unsteady(range(10), 0.01, 0.1, range(8)), unsteady(range(20, 30), 0.01, 0.07, range(0))
    change = beside(beats, reference)["protocols"]["truth"]["irs"]
    ours, theirs = (score_beats(side)["protocols"]["truth"]["irs"] for side in (beats, reference))
    assert change["difference"] == pytest.approx(ours - theirs)
    assert change["difference"] > 0
    assert change["interval_95"][1] > 0


def test_what_is_unlike_is_said():
    notes = beside(folder(0.1, range(8)), folder(0.0, range(2, 10), seconds=25.0))["notes"]
    assert notes[0].startswith("6 songs are in both (8 in the folder, 8 in the reference)")
    assert notes[1].startswith("6 of 6 songs are longer or shorter than in the reference, song 2 by -5.00 s")
    notes = beside(folder(0.1, range(8)), folder(0.0, range(20, 28), ("stem_0", "stem_1"), 40.0))["notes"]
    assert notes[0] == "stems are matched by their order: bass = stem_0, drums = stem_1"
    assert notes[1].startswith("no song of the folder is in the reference")
    assert notes[2].startswith("songs last 20.00 s on average, the reference's 40.00 s")


@pytest.mark.parametrize("stems", [("bass", "piano"), ("bass", "drums", "piano")])
def test_reference_of_other_stems_is_refused(stems):
    with pytest.raises(InputError, match="choose the same with --stems"):
        beside(folder(0.1, range(8)), folder(0.0, range(8), stems))


def test_there_is_no_interval_under_five_songs_and_the_reason_is_given():
    result = score_beats(folder(0.1, range(4)))["protocols"]["truth"]
    assert result["interval_95"]["cbs"] is None
    assert result["reasons"]["interval_95"]["cbs"] == "4 songs have a value; an interval needs 5"
    assert "needs 5" in result["reasons"]["chance_floor"]
    result = score_beats(folder(0.1, range(5)))["protocols"]["truth"]
    assert result["interval_95"]["cbs"] is not None
    assert result["reasons"] == {"interval_95": {}, "chance_floor": None}
    change = beside(folder(0.1, range(4)), folder(0.0, range(4)))["protocols"]["truth"]["cbd"]
    assert change["interval_95"] is None
    assert "needs 5" in change["reason"]


def test_published_names_stand_beside_ours():
    result = score_beats(folder(0.1, range(6)))["protocols"]["truth"]
    for ours, published in {"irs": "avg_interval_std", "cbs": "mean_beat_ratio", "cbd": "avg_error"}.items():
        assert result[ours] == result[published]
        assert result["interval_95"][ours] == result["interval_95"][published]


def test_interval_of_means_is_the_normal_one():
    rng = np.random.default_rng(0)
    first, second = rng.normal(5, 2, 300), rng.normal(4, 1, 200)
    half = 1.96 * np.sqrt(first.var() / 300 + second.var() / 200)
    centre = first.mean() - second.mean()
    assert difference_interval(first, second, 0) == pytest.approx((centre - half, centre + half), abs=0.1 * half)
    assert difference_interval(first, second[:4], 0) is None
    assert mean_interval(np.r_[first[:4], np.nan], 0) is None
    assert too_few(5) is None


def test_irs_has_the_interval_of_all_its_files_and_the_difference_of_the_same_stems():
    beats, rng = folder(0.0, range(6)), np.random.default_rng(0)
    only_bass = {}
    for number in range(24):
        times = np.cumsum(rng.uniform(0.4, 0.6, 30))
        only_bass[f"more {number}"] = {"bass": FileBeats(20.0, 0.5, {"truth": times})}
    more = StemBeats(beats.stems, {**beats.files, **only_bass}, beats.protocols, beats.tracker)
    result = score_beats(more)["protocols"]["truth"]
    low, high = result["interval_95"]["irs"]
    assert 0.01 < low < result["irs"] < high
    comparison = beside(more, beats)
    assert comparison["protocols"]["truth"]["irs"]["difference"] == pytest.approx(0, abs=1e-9)
    assert comparison["notes"][0].startswith("IRS is also of songs that not every stem has (24 in the folder, 0 in")


def test_difference_of_irs_leaves_out_stems_of_which_one_side_knows_nothing():
    beats = folder(0.0, range(6))
    times = np.array([0.0, 0.4, 1.0, 1.4])
    files = {song: {**stems, "drums": FileBeats(20.0, 0.5, {"truth": times})} for song, stems in beats.files.items()}
    unsteady = StemBeats(beats.stems, files, beats.protocols, beats.tracker)
    none = {song: {**stems, "drums": FileBeats(20.0, 0.5, {"truth": times[:1]})} for song, stems in beats.files.items()}
    change = beside(unsteady, StemBeats(beats.stems, none, beats.protocols, beats.tracker))["protocols"]["truth"]["irs"]
    assert change["difference"] == pytest.approx(0, abs=1e-9)
    change = beside(unsteady, beats)["protocols"]["truth"]["irs"]
    assert change["difference"] == pytest.approx(np.std(np.diff(times)) / 2)
