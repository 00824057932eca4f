"""Goldens are worked out by hand in the comments; properties by hypothesis."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exuno import metrics
from exuno.engine.errors import ExunoError

LOGITS = np.array([[3.0, 1, 0], [0, 2, 1], [1, 0, 5], [2, 1, 0]])  # predictions 0 1 2 0
LABELS = np.array([0, 1, 2, 1])


def test_top_k() -> None:
    assert metrics.top_k(LOGITS, LABELS) == 0.75
    assert metrics.top_k(LOGITS, LABELS, 2) == 1.0
    assert metrics.top_k(np.zeros((2, 3)), [0, 2], 2) == 0.5  # equal logits rank by class, as argmax does
    with pytest.raises(ExunoError, match="at least 1"):
        metrics.top_k(LOGITS, LABELS, 0)


def test_confusion_and_per_class() -> None:
    predictions = metrics.predict(LOGITS)
    cells = metrics.confusion_matrix(LABELS, predictions, 4)
    assert cells.dtype == np.int64
    assert cells.tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(metrics.per_class_accuracy(LABELS, predictions, 4), [1, 0.5, 1, math.nan])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 4)), min_size=1, max_size=60))
def test_confusion_sums(pairs: list[tuple[int, int]]) -> None:
    labels, predictions = np.array(pairs).T
    cells = metrics.confusion_matrix(labels, predictions, 5)
    kept = predictions >= 0
    assert cells.sum() == kept.sum()
    assert np.trace(cells) == (labels == predictions).sum()
    np.testing.assert_array_equal(cells.sum(1), np.bincount(labels[kept], minlength=5))
    np.testing.assert_array_equal(cells.sum(0), np.bincount(predictions[kept], minlength=5))


def test_calibration_by_hand() -> None:
    # Two bins. Confidence 0.4 wrong; 0.8 right and 0.9 wrong: |0 - 0.4| / 3 + 2 |0.5 - 0.85| / 3 = 1.1 / 3.
    result = metrics.calibration([[0.4, 0.3, 0.3], [0.1, 0.8, 0.1], [0.05, 0.05, 0.9]], [1, 1, 0], bins=2)
    assert result.ece == pytest.approx(1.1 / 3)
    np.testing.assert_array_equal(result.count, [1, 2])
    np.testing.assert_allclose(result.confidence, [0.4, 0.85])
    np.testing.assert_allclose(result.accuracy, [0, 0.5])


def test_bins_are_open_below_and_closed_above() -> None:
    assert metrics.calibration([[0.5, 0.5], [1.0, 0.0]], [0, 0], bins=2).count.tolist() == [1, 1]


def test_ece_of_a_calibrated_model_is_zero() -> None:
    random = np.random.default_rng(0)
    sure = random.uniform(0.5, 1, 200_000)
    labels = (random.uniform(size=len(sure)) > sure).astype(int)
    assert metrics.calibration(np.stack([sure, 1 - sure], 1), labels).ece < 0.01
    assert metrics.calibration(np.stack([sure, 1 - sure], 1), 1 - labels).ece > 0.4


def test_agreement_by_hand() -> None:
    # p = (3/4, 1/4), q = (1/2, 1/2): KL = 3/4 ln(3/2) + 1/4 ln(1/2); the second pair is equal.
    a, b = np.log([[3.0, 1], [1, 2]]), np.log([[1.0, 1], [1, 2]])
    expected = (0.75 * math.log(1.5) + 0.25 * math.log(0.5)) / 2
    result = metrics.agreement(a, b)
    assert result.top1 == 1.0
    assert result.kl == pytest.approx(expected)
    assert metrics.agreement([[1.0, 0]], [[0.0, 1]]).top1 == 0.0


def test_agreement_takes_masked_classes_and_long_inputs() -> None:
    a = np.tile([[0.0, 1.0, -np.inf]], (9000, 1))
    assert metrics.agreement(a, a) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"), [(8, 10, 0.4902, 0.9433), (0, 10, 0, 0.2775), (10, 10, 0.7225, 1)]
)
def test_wilson_by_hand(right: int, n: int, low: float, high: float) -> None:
    # 8 of 10: centre (0.8 + 0.19208) / 1.38416 = 0.71674, half 1.96 / 1.38416 sqrt(0.016 + 0.009604) = 0.22658
    assert metrics.wilson_interval(right, n) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 10**7).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_is_symmetric(case: tuple[int, int]) -> None:
    right, n = case
    low, high = metrics.wilson_interval(right, n)
    assert 0 <= low <= right / n <= high <= 1
    assert metrics.wilson_interval(n - right, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_mean_interval() -> None:
    # 1, 2, 3: sd 1, t(2) = 4.302653: half 4.302653 / sqrt(3) = 2.484138
    assert metrics.mean_interval([1, 2, 3]) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-6)
    assert all(math.isnan(x) for x in metrics.mean_interval([1.0]))


@pytest.mark.parametrize(
    ("freedom", "t"), [(1, 12.7062), (4, 2.7764), (5, 2.5706), (9, 2.2622), (30, 2.0423), (599, 1.9639)]
)
def test_student_t_agrees_with_the_tables(freedom: int, t: float) -> None:
    assert metrics._student_t(freedom) == pytest.approx(t, abs=4e-4)


def test_nan_is_wrong_everywhere_and_counted() -> None:
    logits = LOGITS.copy()
    logits[0, 1] = np.nan
    result = metrics.summarise(logits, LABELS, ["a", "b", "c"])
    assert (result["top1"], result["invalid"], result["per_class"]) == (0.5, 1, [0.0, 0.5, 1.0])
    assert np.isfinite(result["ece"] or 0)
    assert metrics.agreement(logits, LOGITS).top1 == 0.75
    nothing = metrics.summarise(np.full((2, 3), np.nan), [0, 1], ["a", "b", "c"])
    assert (nothing["top1"], nothing["ece"]) == (0.0, None)


def test_summary() -> None:
    result = metrics.summarise(LOGITS.astype(np.float16), LABELS, np.array(["a", "b", "c"]))
    assert (result["n"], result["top1"], result["top5"], result["invalid"]) == (4, 0.75, None, 0)
    assert result["interval"] == metrics.wilson_interval(3, 4)
    assert result["confusion"] == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert metrics.summarise(np.eye(6), np.arange(6), list("abcdef"))["top5"] == 1.0


@pytest.mark.parametrize(
    ("logits", "labels", "names", "message"),
    [
        (np.zeros((0, 3)), [], ["a", "b", "c"], "0 samples"),
        (np.zeros(3), [0], ["a", "b", "c"], r"shape \[3\]"),
        (LOGITS, LABELS[:2], ["a", "b", "c"], "there are 4 samples"),
        (LOGITS, LABELS + 1, ["a", "b", "c"], "labels go from 1 to 3"),
        (LOGITS, LABELS, ["a", "b"], "2 class names"),
    ],
)
def test_mistakes_are_told(logits: np.ndarray, labels: list[int], names: list[str], message: str) -> None:
    with pytest.raises(ExunoError, match=message):
        metrics.summarise(logits, labels, names)


def test_more_mistakes() -> None:
    with pytest.raises(ExunoError, match="outside"):
        metrics.calibration(LOGITS, LABELS)
    with pytest.raises(ExunoError, match="shape"):
        metrics.agreement(LOGITS, LOGITS[:2])
    with pytest.raises(ExunoError, match="no interval"):
        metrics.wilson_interval(3, 0)
    with pytest.raises(ExunoError, match="0 values"):
        metrics.mean_interval([])


def test_classes_come_in_turn() -> None:
    assert metrics.in_turn([2, 0, 0, 2, 1, 0]).tolist() == [1, 4, 0, 2, 3, 5]
    assert metrics.in_turn([]).tolist() == []


def test_guessing() -> None:
    assert metrics.guessing([0, 1, 2, 3], 4) == {"chance/top1": 0.25}
    assert metrics.guessing([0, 0, 0, 0, 0, 1, 1, 1, 1], 2) == {"chance/top1": 0.5}  # 0.56 is not better by a fifth
    assert metrics.guessing([0, 0, 0, 1], 2) == {"chance/top1": 0.5, "largest class/top1": 0.75}
    assert metrics.summarise(np.eye(3), [0, 1, 2], ["a", "b", "c"])["guessing"] == {"chance/top1": 1 / 3}
