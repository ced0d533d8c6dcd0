"""IRS, CBS and CBD against values computed by hand and against their definitions written as loops."""

import numpy as np
import pytest

from synctrack.metrics.cbd import cbd, song_deviation
from synctrack.metrics.cbs import cbs
from synctrack.metrics.irs import irs

INTERVAL = 0.6
STEADY = 0.06 + INTERVAL * np.arange(50)
DURATION = 31.0
EMPTY = np.empty(0)


def one_song(*stems: np.ndarray) -> dict[str, list[np.ndarray]]:
    return {"song": list(stems)}


def synchrony(*stems: np.ndarray, window_size: float = 0.15) -> float:
    return cbs(one_song(*stems), {"song": DURATION}, window_size).mean_beat_ratio


def random_stems(seed: int) -> list[np.ndarray]:
    """Beats of four stems, jittered and at unrelated tempi; some have none or one."""
    generator = np.random.default_rng(seed)
    stems = []
    for _ in range(4):
        beats = np.arange(generator.uniform(0, 1), DURATION - 1, generator.uniform(0.25, 1.5))
        beats = np.unique(np.round(np.abs(beats + generator.normal(0, 0.05, len(beats))), 2))
        stems.append(beats[: generator.choice([0, 1, 2, 100])])
    return stems


def test_steady_beats_have_no_irregularity():
    result = irs({"bass": [STEADY], "drums": [STEADY + 0.1]})
    assert result.avg_interval_std == pytest.approx(0, abs=1e-12)
    assert result.avg_interval_mean == pytest.approx(INTERVAL)


def test_irregularity_is_averaged_over_files_and_then_over_stems():
    uneven = np.array([0.0, 1.0, 2.0, 4.0])  # intervals 1, 1, 2: population deviation √2 / 3
    result = irs({"bass": [uneven, STEADY, np.array([3.0])], "drums": [STEADY], "piano": [EMPTY]})
    assert result.stem_interval_std["bass"] == pytest.approx(np.sqrt(2) / 3 / 2)
    assert result.avg_interval_std == pytest.approx(np.sqrt(2) / 3 / 4)
    assert result.avg_interval_mean == pytest.approx(((4 / 3 + INTERVAL) / 2 + INTERVAL) / 2)
    assert result.stem_files == {"bass": 2, "drums": 1, "piano": 0}
    assert np.isnan(result.stem_interval_std["piano"])


def test_irregularity_of_jittered_beats_is_the_root_of_two_times_the_jitter():
    generator = np.random.default_rng(0)
    beats = INTERVAL * np.arange(20_000) + generator.normal(0, 0.02, 20_000)
    assert irs({"bass": [beats]}).avg_interval_std == pytest.approx(0.02 * np.sqrt(2), rel=0.02)


def test_no_beats_anywhere_score_nothing():
    assert np.isnan(irs({"bass": [EMPTY], "drums": [np.array([1.0])]}).avg_interval_std)
    assert np.isnan(synchrony(EMPTY, STEADY))
    result = cbd(one_song(EMPTY, STEADY))
    assert np.isnan([result.avg_error, result.avg_std_error, result.avg_median_error, result.coverage]).all()
    assert result.songs == {}


@pytest.mark.parametrize("num_stems", [2, 3, 4])
def test_stems_in_perfect_time_score_best(num_stems):
    assert synchrony(*[STEADY] * num_stems) == 1
    result = cbd(one_song(*[STEADY] * num_stems))
    assert (result.avg_error, result.avg_std_error, result.avg_median_error, result.coverage) == (0, 0, 0, 1)


def test_synchrony_of_an_offset_depends_on_the_window_it_falls_into():
    assert synchrony(STEADY, STEADY + 0.05) == 1
    assert synchrony(STEADY, STEADY + 0.1) == 0.5
    assert synchrony(STEADY, STEADY, STEADY, STEADY + 0.1) == pytest.approx((3 / 4 + 1 / 4) / 2)
    assert synchrony(STEADY, STEADY + 0.1, window_size=0.2) == 1


def test_a_stem_without_beats_does_not_count_and_one_that_stops_does():
    assert synchrony(STEADY, STEADY, EMPTY) == 1
    assert synchrony(STEADY, STEADY[:25]) == pytest.approx((25 * 1 + 25 * 0.5) / 50)


def test_doubled_tempo_halves_the_shared_windows():
    double = 0.06 + INTERVAL / 2 * np.arange(100)
    assert synchrony(STEADY, double) == pytest.approx(0.75)
    result = song_deviation([STEADY, double])
    # Every slow beat has a partner; of the fast ones, those between two slow beats have none within their quarter.
    assert (result.error, result.std_error) == pytest.approx((0, 0), abs=1e-12)
    assert (result.paired, result.asked) == (100, 150)


def test_windows_are_closed_on_the_left_and_open_on_the_right():
    assert cbs(one_song(np.array([1.0]), np.array([1.5])), {"song": 4.0}, 0.5).mean_beat_ratio == 0.5
    assert cbs(one_song(np.array([1.0]), np.array([1.4999])), {"song": 4.0}, 0.5).mean_beat_ratio == 1


def test_songs_with_one_stem_that_beats_are_left_out():
    songs = {"together": [STEADY, STEADY], "alone": [STEADY, EMPTY]}
    assert cbs(songs, dict.fromkeys(songs, DURATION)).song_beat_ratio == {"together": 1.0}
    assert list(cbd(songs).songs) == ["together"]


def test_default_window_is_150_ms():
    # 0.01 s and 0.145 s fall into one window of 0.15 s, which both stems share; windows of 0.14 s would part them.
    beats = one_song(np.array([0.01]), np.array([0.145]))
    assert cbs(beats, {"song": DURATION}).mean_beat_ratio == 1
    assert cbs(beats, {"song": DURATION}, 0.14).mean_beat_ratio == 0.5
    # 0.01 s and 0.155 s are parted by windows of 0.15 s; one of 0.16 s would hold both.
    beats = one_song(np.array([0.01]), np.array([0.155]))
    assert cbs(beats, {"song": DURATION}).mean_beat_ratio == 0.5
    assert cbs(beats, {"song": DURATION}, 0.16).mean_beat_ratio == 1


@pytest.mark.parametrize("window_size", [0.0, -0.1, float("nan")])
def test_windows_must_have_a_size(window_size):
    with pytest.raises(ValueError, match="window size"):
        synchrony(STEADY, STEADY, window_size=window_size)


def test_deviation_of_an_offset_is_its_share_of_half_an_interval():
    result = cbd(one_song(STEADY, STEADY + 0.09))
    assert result.avg_error == pytest.approx(0.09 / (INTERVAL / 2))
    assert result.avg_median_error == pytest.approx(0.3)
    assert result.avg_std_error == pytest.approx(0, abs=1e-9)
    assert result.coverage == 1


def test_deviation_takes_the_interval_of_the_side_on_which_the_target_lies():
    reference, target = np.array([0.0, 1.0, 3.0]), np.array([0.8, 3.5])
    # 0.0: nearest 0.8 lies beyond 0.5. 1.0: 0.8 is 0.2 early, half the interval before it is 0.5. 3.0: 3.5 is late,
    # after the last beat its only interval (2) is used for both sides. As a reference, 0.8 and 3.5 have 2.7 on each
    # side: 1.0 is 0.2 late and 3.0 is 0.5 early.
    result = song_deviation([reference, target])
    assert result.error == pytest.approx(((0.2 / 0.5 + 0.5 / 1.0) / 2 + (0.2 / 1.35 + 0.5 / 1.35) / 2) / 2)
    assert (result.paired, result.asked) == (4, 5)


def test_the_pairing_interval_is_closed_on_the_left_and_open_on_the_right():
    reference = np.array([0.0, 1.0, 2.0])
    assert song_deviation([reference, np.array([0.5])]).error == 1.0  # the second beat's earliest, not the first's
    assert song_deviation([reference, np.array([0.5])]).paired == 1


def test_errors_are_pooled_over_the_targets_of_a_reference():
    sparse = STEADY[:1] + 0.15  # one beat half of a half interval late: as target only, having no interval
    result = song_deviation([STEADY, STEADY, sparse])
    # Each steady stem: 50 errors of 0 and one of 0.5, pooled.
    assert result.error == pytest.approx(0.5 / 51)
    assert result.std_error == pytest.approx(np.std([0.0] * 50 + [0.5]))
    assert result.median_error == 0


def test_deviation_of_jitter_is_the_mean_of_a_folded_normal():
    generator = np.random.default_rng(0)
    grid = INTERVAL * np.arange(20_000)
    stems = [grid + generator.normal(0, 0.01, len(grid)) for _ in range(2)]
    assert song_deviation(stems).error == pytest.approx(0.01 * np.sqrt(2) * np.sqrt(2 / np.pi) / 0.3, rel=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_stems_does_not_matter(seed):
    stems = random_stems(seed)
    assert synchrony(*stems) == pytest.approx(synchrony(*stems[::-1]), nan_ok=True)
    assert song_deviation(stems).error == pytest.approx(song_deviation(stems[::-1]).error, nan_ok=True)


def looped_synchrony(stems: list[np.ndarray], duration: float, w: float) -> float:
    valid = [stem for stem in stems if len(stem)]
    if len(valid) < 2:
        return np.nan
    ratios = []
    for i in range(int(np.ceil((duration - w) / w)) + 1):
        count = sum(any(i * w <= beat < (i + 1) * w for beat in stem) for stem in valid)
        if count:
            ratios.append(count / len(valid))
    return float(np.mean(ratios))


def looped_deviation(stems: list[np.ndarray]) -> tuple[float, float, float]:
    per_reference = []
    for i, reference in enumerate(stems):
        pooled = []
        for j, target in enumerate(stems):
            if i == j or len(reference) < 2 or len(target) < 1:
                continue
            for k, beat in enumerate(reference):
                nearest = min(target, key=lambda t, beat=beat: abs(t - beat))
                before = beat - reference[k - 1] if k else reference[1] - reference[0]
                after = reference[k + 1] - beat if k + 1 < len(reference) else beat - reference[k - 1]
                if beat - before / 2 <= nearest < beat + after / 2:
                    pooled.append(abs(nearest - beat) / ((before if nearest < beat else after) / 2))
        if pooled:
            per_reference.append((np.mean(pooled), np.std(pooled), np.median(pooled)))
    return tuple(np.mean(per_reference, axis=0)) if per_reference else (np.nan,) * 3


@pytest.mark.parametrize("seed", range(30))
def test_definitions_equal_their_loops(seed):
    stems = random_stems(seed)
    assert synchrony(*stems) == pytest.approx(looped_synchrony(stems, DURATION, 0.15), nan_ok=True)
    result = song_deviation(stems)
    expected = looped_deviation(stems)
    assert (result.error, result.std_error, result.median_error) == pytest.approx(expected, nan_ok=True)
