"""Paired comparisons. Goldens by hand in the comments."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exuno.doctor.measures import difference, interval, level, mean_and_half
from exuno.engine.errors import ExunoError
from exuno.metrics import wilson_interval

ANSWERS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80)


def test_difference_by_hand() -> None:
    # 20 samples: both right 10, the first alone 6, the second alone 2, none 2. p = 7 / 22, q = 3 / 22, d = 4 / 22;
    # 1.96 sqrt((10 / 22 - 16 / 484) / 22) = 0.271288.
    first = np.repeat([True, True, False, False], [10, 6, 2, 2])
    second = np.repeat([True, False, True, False], [10, 6, 2, 2])
    found = difference(first, second)
    assert found.value == pytest.approx(0.2)
    assert found.low == pytest.approx(0.181818 - 0.271288, abs=1e-5)
    assert found.high == pytest.approx(0.181818 + 0.271288, abs=1e-5)
    assert not found.above
    assert not found.below


def test_few_answers_that_change_one_way_are_beyond_the_interval() -> None:
    # b of 1000 gained, none lost: b > 1.96 sqrt(b + 2 - b² / 1002) from 6 on.
    for gained, above in ((5, False), (6, True)):
        found = difference(np.arange(1000) < 900 + gained, np.arange(1000) < 900)
        assert found.above is above
        assert found.value == pytest.approx(gained / 1000)
    assert difference(np.arange(10) < 4, np.arange(10) < 9).below


@pytest.mark.parametrize(
    ("p10", "p01", "n"),
    [(0.02, 0.01, 355), (0.01, 0.001, 355), (0.005, 0, 355), (0.2, 0.1, 100), (0.02, 0.02, 2000), (0.3, 0.01, 50)],
)
def test_the_interval_holds_the_truth_as_often_as_it_says(p10: float, p01: float, n: int) -> None:
    drawn = np.random.default_rng(0).multinomial(n, [p10, p01, 1 - p10 - p01], 4000)
    bounds = np.array([interval(int(b), int(c), n, level(1)) for b, c, _ in drawn])
    held = ((bounds[:, 0] <= p10 - p01) & (p10 - p01 <= bounds[:, 1])).mean()
    assert held > 0.935  # 95 %, less what few discordant samples and 4000 draws take


def test_equal_answers_leave_room() -> None:
    found = difference(np.arange(100) < 50, np.arange(100) < 50)
    assert found == pytest.approx((0, -level(1) * 2**0.5 / 102, level(1) * 2**0.5 / 102))


@given(ANSWERS)
def test_difference_is_antisymmetric_and_holds_its_value(pairs: list[tuple[bool, bool]]) -> None:
    first, second = np.array(pairs).T
    one, other = difference(first, second), difference(second, first)
    assert one.value == pytest.approx(first.mean() - second.mean())
    assert one.low - 1e-9 <= one.value <= one.high + 1e-9
    np.testing.assert_allclose([one.value, one.low, one.high], [-other.value, -other.high, -other.low], atol=1e-12)


@given(ANSWERS, st.integers(2, 20))
def test_more_comparisons_widen_the_interval(pairs: list[tuple[bool, bool]], comparisons: int) -> None:
    first, second = np.array(pairs).T
    alone, among = difference(first, second), difference(first, second, comparisons)
    assert among.low <= alone.low + 1e-12
    assert among.high >= alone.high - 1e-12
    assert among.high - among.low > alone.high - alone.low or among == (among.value, -1, 1)


def test_pairing_is_sharper_than_two_intervals() -> None:
    first, second = np.arange(2000) < 1820, np.arange(2000) < 1800  # 91 % and 90 %, alike but for 20 images
    paired = difference(first, second)
    assert paired.above
    assert wilson_interval(1820, 2000)[0] < wilson_interval(1800, 2000)[1]


def test_mistakes_are_named() -> None:
    with pytest.raises(ExunoError, match="paired"):
        difference([True], [True, False])
    with pytest.raises(ExunoError, match="paired"):
        difference([], [])
    with pytest.raises(ExunoError, match="0 comparisons"):
        level(0)
    with pytest.raises(ExunoError, match="no mean"):
        mean_and_half([])


def test_level_and_mean() -> None:
    assert level(1) == pytest.approx(1.959964, abs=1e-6)
    assert level(5) == pytest.approx(2.575829, abs=1e-6)  # the 99.5 % quantile
    assert mean_and_half([1.0, 3.0]) == pytest.approx((2.0, 1.96 / 2**0.5))
