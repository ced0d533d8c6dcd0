"""The Fréchet distance against the published evaluation's number, closed forms and wrong input."""

from pathlib import Path

import numpy as np
import pytest

from synctrack.metrics.frechet import frechet_distance

GOLDEN = Path(__file__).parent / "fixtures" / "golden_frechet.npz"


def test_distance_equals_the_published_evaluations():
    golden = np.load(GOLDEN)
    ours = frechet_distance(golden["frechet_a"], golden["frechet_b"])
    assert ours == pytest.approx(float(golden["frechet_ab"]), abs=1e-6)


def test_distance_of_a_set_to_itself_is_zero_and_shifting_adds_the_squared_shift():
    values = np.random.default_rng(0).standard_normal((50, 4))
    assert frechet_distance(values, values) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(values, values + 3) == pytest.approx(4 * 9)


def test_distance_of_scaled_sets_is_the_difference_of_their_deviations():
    values = np.random.default_rng(1).standard_normal((200, 1))
    values -= values.mean()
    assert frechet_distance(values, 3 * values) == pytest.approx((2 * values.std(ddof=1)) ** 2)


def test_fewer_embeddings_than_dimensions_give_a_finite_distance():
    rng = np.random.default_rng(2)
    assert 0 < frechet_distance(rng.standard_normal((3, 64)), rng.standard_normal((5, 64))) < 1e3


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3))),
        (np.zeros((5, 3)), np.zeros((5, 2))),
        (np.zeros(5), np.zeros(5)),
        (np.full((5, 3), np.nan), np.zeros((5, 3))),
    ],
)
def test_sets_that_have_no_distance_are_refused(first, second):
    with pytest.raises(ValueError, match="embeddings"):
        frechet_distance(first, second)
