"""Temperature scaling against a grid, and against a case with a closed form."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exuno.doctor.measures import COLDEST, HOTTEST, best_temperature, nll, overconfidence


def answers(seed: int, scale: float, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose labels are drawn from their softmax, then stretched: the best T is about ``scale``."""
    random = np.random.default_rng(seed)
    z = random.normal(0, 2, (4000, classes))
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    labels = (p.cumsum(1) < random.random((len(z), 1))).sum(1).clip(0, classes - 1)
    return z * scale, labels


def test_nll_by_hand() -> None:
    z, labels = np.log([[1.0, 2, 1], [3, 1, 4]]), [1, 0]
    np.testing.assert_allclose(nll(z, labels), [np.log(2), np.log(8 / 3)])
    # At T = 1/2 the weights are squared: 4 of 6, 9 of 26.
    np.testing.assert_allclose(nll(z, labels, 0.5), [np.log(6 / 4), np.log(26 / 9)])


def test_closed_form() -> None:
    # Two classes, logits (0, 1), 3 of 4 right: the best sigmoid(1 / T) is 3 / 4, so T = 1 / log 3.
    found = best_temperature(np.tile([0.0, 1.0], (4, 1)), [1, 1, 1, 0])
    assert found.inside
    assert found.temperature == pytest.approx(1 / np.log(3), rel=1e-5)


@pytest.mark.parametrize("scale", [0.2, 1.0, 3.0, 20.0])
def test_finds_the_scale_that_was_put_in(scale: float) -> None:
    assert best_temperature(*answers(0, scale)).temperature == pytest.approx(scale, rel=0.1)


@given(st.integers(0, 10**6), st.floats(0.1, 10))
def test_is_the_least_of_a_grid(seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    z, labels = random.normal(0, scale, (30, 4)), random.integers(0, 4, 30)
    found = best_temperature(z, labels)
    assume(found.inside)
    at = nll(z, labels, found.temperature).mean()
    assert all(at <= nll(z, labels, t).mean() + 1e-9 for t in np.geomspace(COLDEST, HOTTEST, 60))


def test_ends_of_the_range() -> None:
    z = np.eye(3) * 4
    assert best_temperature(z, [0, 1, 2]) == (COLDEST, False)  # all right: the colder the better
    assert best_temperature(z, [1, 2, 0]) == (HOTTEST, False)  # all wrong: the hotter the better


def test_overconfidence_by_hand() -> None:
    z = np.log([[3.0, 1, 1], [1, 8, 1]])
    np.testing.assert_allclose(overconfidence(z, [0, 2]), [0.6 - 1, 0.8 - 0])
