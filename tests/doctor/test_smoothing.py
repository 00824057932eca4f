"""Signs of label smoothing, on answers whose smoothing is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exuno.doctor.measures import LEAST_RIGHT, smoothing
from exuno.engine.errors import ExunoError


def optimum(alpha: float, classes: int, n: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The logits with the least smoothed loss, (1 - a) [k = y] + a / K as log-probabilities, and some noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    p = np.full((n, classes), alpha / classes)
    p[np.arange(n), labels] += 1 - alpha
    return np.log(p) + random.normal(0, noise, p.shape) + random.normal(0, 5, (n, 1)), labels


@given(st.floats(0.02, 0.4), st.integers(3, 40), st.integers(0, 1000))
def test_recovers_alpha_from_the_optimum(alpha: float, classes: int, seed: int) -> None:
    found = smoothing(*optimum(alpha, classes, 50, 0, seed))
    assert found is not None
    assert found.alpha == pytest.approx(alpha, rel=1e-6)
    assert found.spread == pytest.approx(0, abs=1e-6)
    assert found.smoothed


def test_by_hand() -> None:
    # Four classes, logits 3 1 0 -1: the others deviate by sqrt(2 / 3), the gap to their mean is 3. The confidence is
    # e^3 / (e^3 + e + 1 + 1 / e), and alpha 4 / 3 of what is missing to 1.
    found = smoothing(np.tile([3.0, 1, 0, -1], (30, 1)), np.zeros(30, int))
    assert found is not None
    sure = np.exp(3) / (np.exp(3) + np.exp(1) + 1 + np.exp(-1))
    assert found == pytest.approx((4 / 3 * (1 - sure), (2 / 3) ** 0.5 / 3, 30))


def test_plain_teachers_are_either_sure_or_spread() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 400)
    hot = np.eye(10)[labels]
    sure = smoothing(hot * 14 + random.normal(0, 1, (400, 10)), labels)
    brief = smoothing(hot * 4 + random.normal(0, 1.3, (400, 10)), labels)
    noisy = smoothing(*optimum(0.1, 10, 400, 0.5))
    assert sure is not None
    assert brief is not None
    assert noisy is not None
    assert (sure.smoothed, brief.smoothed, noisy.smoothed) == (False, False, True)
    assert brief.alpha > 0.05  # as unsure as a smoothed one: its spread tells
    assert noisy.alpha == pytest.approx(0.1, rel=0.25)


def test_wrong_answers_do_not_count() -> None:
    z, labels = optimum(0.1, 10, 100, 0.3)
    more = np.concatenate([z, np.random.default_rng(1).normal(0, 9, (50, 10))])
    wrong = (more[100:].argmax(1) + 1) % 10
    assert smoothing(more, np.concatenate([labels, wrong])) == smoothing(z, labels)


def test_too_little_to_tell() -> None:
    z, labels = optimum(0.1, 10, LEAST_RIGHT - 1, 0)
    assert smoothing(z, labels) is None
    assert smoothing(np.full((50, 4), np.nan), np.zeros(50, int)) is None
    assert smoothing(np.full((50, 4), 2.0), np.zeros(50, int)) is None  # no spread that is infinite
    masked = np.tile([3.0, 1, 0, -np.inf], (50, 1))
    assert smoothing(masked, np.zeros(50, int)) is None
    with pytest.raises(ExunoError, match="2 classes"):
        smoothing(np.zeros((30, 2)), np.zeros(30, int))
