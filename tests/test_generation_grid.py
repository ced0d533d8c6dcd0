"""Masks, windows, bars and the crossfade: plain arrays, no networks."""

import numpy as np
import pytest

from synctrack.audio.beat_files import Beats, regular_beats
from synctrack.errors import InputError
from synctrack.generation.assembly import Kept, assemble
from synctrack.generation.grid import Grid, frame_mask, window_starts, without_borders
from synctrack.generation.timing import bar_ends, bar_span, complement, continued_beats, whole_bars

GRID = Grid(sample_rate=8000, frame=320, unit=4, window=32)


def test_border_frames_of_a_known_span_count_as_unknown_but_not_those_at_the_songs_ends():
    known = np.ones((1, 20), bool)
    known[0, 8:12] = False
    expected = np.ones(20, bool)
    expected[6:14] = False
    np.testing.assert_array_equal(without_borders(known, 2)[0], expected)


def test_border_of_a_loop_goes_round():
    known = np.ones(12, bool)
    known[0] = False
    np.testing.assert_array_equal(np.flatnonzero(~without_borders(known, 2, circular=True)), [0, 1, 2, 10, 11])
    np.testing.assert_array_equal(np.flatnonzero(~without_borders(known, 2)), [0, 1, 2])


def test_frames_are_known_where_they_lie_wholly_in_a_span():
    mask = frame_mask([(0, 960), (1000, 2000)], 8, GRID, 2560)
    np.testing.assert_array_equal(np.flatnonzero(mask), [0, 1, 2, 4, 5])


@pytest.mark.parametrize(
    ("total", "unknown"),
    [
        (total, unknown)
        for total in (32, 36, 48, 64, 100, 400)
        for unknown in ((0, 1), (0, 32), (10, 11), (20, 30), (0, 400), (90, 100), (37, 333))
        if unknown[0] < total
    ],
)
def test_windows_cover_what_is_unknown_in_order_and_lie_in_the_song(total, unknown):
    missing = np.zeros(total, bool)
    missing[slice(*unknown)] = True
    starts = window_starts(total, missing, GRID)
    assert starts == sorted(set(starts))
    assert all(start % GRID.unit == 0 and 0 <= start <= total - GRID.window for start in starts)
    covered = np.zeros(total, bool)
    for number, start in enumerate(starts):
        # Each window continues at least half a window of what stands.
        assert number == 0 or covered[start : start + GRID.window // 2].all()
        covered[start : start + GRID.window] = True
    assert covered[missing].all()


def test_short_change_is_one_window_with_the_change_in_its_middle():
    missing = np.zeros(200, bool)
    missing[100:110] = True
    (start,) = window_starts(200, missing, GRID)
    assert 6 <= 100 - start <= 14


def test_windows_of_a_loop_end_over_its_beginning():
    starts = window_starts(100, np.ones(100, bool), GRID, circular=True)
    assert starts[-1] + GRID.window == 100 + GRID.window // 2


def test_complement_of_spans():
    assert complement([(0, 3), (5, 7)], 10) == [(3, 5), (7, 10)]
    assert complement([(0, 10)], 10) == []
    assert complement([], 10) == [(0, 10)]


def test_bars_of_regular_beats():
    beats = regular_beats(120, 4, 8.0)
    assert bar_span(beats, (2, 3), 8.0) == (2.0, 6.0)
    assert bar_span(beats, (4, 4), 8.0) == (6.0, 8.0)
    assert bar_ends(beats)[-1] == 8.0
    with pytest.raises(InputError, match="bars: 4-5 are asked for, but the song has 4 bars"):
        bar_span(beats, (4, 5), 8.0)
    with pytest.raises(InputError, match="does not say where its bars are"):
        bar_span(Beats([0.0, 1.0]), (1, 1), 8.0)


def test_last_bar_that_is_cut_off_is_not_whole():
    beats = regular_beats(120, 4, 7.5, first=0.5)
    assert whole_bars(beats, 7.5) == (0.5, 6.5, 3)
    assert whole_bars(beats, 8.5) == (0.5, 8.5, 4)
    assert whole_bars(Beats([0.0, 1.0]), 8.0) is None


@pytest.mark.parametrize("meter", [3, 4])
def test_beats_go_on_in_tempo_and_meter(meter):
    whole, part = regular_beats(100, meter, 30.0, first=0.3), regular_beats(100, meter, 11.0, first=0.3)
    longer = continued_beats(part, 30.0)
    np.testing.assert_allclose(longer.beats, whole.beats, atol=1e-9)
    np.testing.assert_allclose(longer.downbeats, whole.downbeats, atol=1e-9)


def test_kept_audio_is_bit_equal_outside_the_crossfade_before_each_border():
    rng = np.random.default_rng(0)
    old, new = (rng.normal(size=4000).astype(np.float32) for _ in range(2))
    kept = Kept({0: old}, {0: [(0, 1000), (3000, 4000)]})
    (row,) = assemble(kept, 1, 4000, {0: new[500:3500]}, 500, 8000)
    fade = 160
    assert (row[: 1000 - fade] == old[: 1000 - fade]).all()
    assert (row[3000:] == old[3000:]).all()
    assert (row[1000 : 3000 - fade] == new[1000 : 3000 - fade]).all()
    # Equal power: for independent signals the level stays.
    for part in (row[1000 - fade : 1000], row[3000 - fade : 3000]):
        assert 0.7 < part.std() < 1.3


def test_what_is_generated_for_a_quieter_song_is_as_quiet():
    kept = Kept({0: np.zeros(100, np.float32)}, {0: [(0, 100)]}, level=0.5)
    (row,) = assemble(kept, 1, 1000, {0: np.ones(1000, np.float32)}, 0, 1000)
    assert (row[100:] == 0.5).all()
