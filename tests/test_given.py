"""What training gives an item: the shares, the masks of each kind, and the margin at their borders."""

import numpy as np
import pytest

from synctrack.config import CONTEXT_KINDS, GivenConfig
from synctrack.generation.grid import without_borders
from synctrack.training.given import LONGEST_SPAN, SHORTEST_SPAN, draw_given, known_part

STEMS, FRAMES = 4, 128


def masks(kind: str, count: int = 200) -> list[np.ndarray]:
    return [known_part(kind, np.random.default_rng(seed), STEMS, FRAMES) for seed in range(count)]


def test_margin_takes_frames_inside_a_span_and_none_at_the_ends_of_the_segment():
    mask = np.array([[1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1], [1] * 12, [0] * 12], bool)
    expected = np.array([[1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1], [1] * 12, [0] * 12], bool)
    np.testing.assert_array_equal(without_borders(mask, margin=2), expected)
    np.testing.assert_array_equal(without_borders(mask, margin=0), mask)


def test_nothing_is_nothing():
    assert not any(mask.any() for mask in masks("nothing"))


def test_stems_are_whole_and_never_all():
    counts = []
    for mask in masks("stems"):
        whole, some = mask.all(axis=1), mask.any(axis=1)
        np.testing.assert_array_equal(whole, some)
        counts.append(whole.sum())
    assert set(counts) == {1, 2, 3}


def test_a_span_leaves_one_hole_of_bounded_length_in_all_or_some_stems():
    hit = []
    for mask in masks("span"):
        holes = ~mask[(~mask).any(axis=1)]
        assert (holes == holes[0]).all()
        changes = np.diff(np.concatenate([[0], holes[0].astype(int), [0]]))
        assert (changes == 1).sum() == 1
        assert SHORTEST_SPAN * FRAMES - 1 <= holes[0].sum() <= LONGEST_SPAN * FRAMES + 1
        hit.append(len(holes))
    assert set(hit) == {1, 2, 3, 4}


def test_a_prefix_reaches_an_end_of_all_stems():
    ends = []
    for mask in masks("prefix"):
        assert (mask == mask[0]).all()
        assert mask[0].any()
        assert not mask[0].all()
        assert np.abs(np.diff(mask[0].astype(int))).sum() == 1
        ends.append("prefix" if mask[0, 0] else "suffix")
    assert 0.2 < ends.count("suffix") / len(ends) < 0.5


def test_cells_differ_between_stems_and_spans():
    share = np.mean([mask.mean() for mask in masks("cells")])
    assert 0.4 < share < 0.6
    assert any((mask != mask[0]).any() for mask in masks("cells"))


def test_shares_are_those_of_the_configuration():
    shares = GivenConfig(nothing=0.2, stems=0.5, span=0.1, prefix=0.1, cells=0.1, click=0.7, mix=0.25)
    drawn = [draw_given(np.random.default_rng(seed), shares, 0, STEMS, FRAMES) for seed in range(2000)]
    assert np.mean([given.click for given in drawn]) == pytest.approx(0.7, abs=0.04)
    assert np.mean([given.mix for given in drawn]) == pytest.approx(0.25, abs=0.04)
    assert np.mean([not given.mask.any() for given in drawn]) == pytest.approx(0.2, abs=0.04)
    whole_stems = [bool((g.mask.all(axis=1) == g.mask.any(axis=1)).all() and g.mask.any()) for g in drawn]
    assert np.mean(whole_stems) == pytest.approx(0.5, abs=0.04)


def test_the_same_generator_draws_the_same():
    one, other = (draw_given(np.random.default_rng(5), GivenConfig(), 2, STEMS, FRAMES) for _ in range(2))
    np.testing.assert_array_equal(one.mask, other.mask)
    assert (one.click, one.mix) == (other.click, other.mix)


@pytest.mark.parametrize("kind", CONTEXT_KINDS)
@pytest.mark.parametrize(("stems", "frames"), [(1, 8), (2, 2), (6, 33)])
def test_any_number_of_stems_and_frames(kind, stems, frames):
    for seed in range(20):
        assert known_part(kind, np.random.default_rng(seed), stems, frames).shape == (stems, frames)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nothing": 0.9}, "add up to"),
        ({"nothing": float("nan")}, "nothing"),
        ({"click": 1.5}, "click"),
        ({"mix": -0.1}, "mix"),
    ],
)
def test_shares_out_of_bounds_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        GivenConfig(**values)
