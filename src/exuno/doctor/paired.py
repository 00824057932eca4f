"""Two sets of answers to the same questions, compared question by question. Pure functions; NumPy only."""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from exuno.engine.errors import ExunoError
from exuno.metrics import wilson_interval


class Difference(NamedTuple):
    """How much larger a share is than another on the same samples."""

    value: float
    low: float
    high: float

    @property
    def above(self) -> bool:
        """Whether zero lies below the interval."""
        return self.low > 0

    @property
    def below(self) -> bool:
        """Whether zero lies above the interval."""
        return self.high < 0


def difference(right: ArrayLike, reference: ArrayLike, comparisons: int = 1) -> Difference:
    """Accuracy of one set of answers minus that of another, with its 95 % interval, paired by sample.

    Only the m samples that exactly one of the two gets right tell them apart (McNemar, Psychometrika 12, 1947). The
    share p of them that the first gets right has Wilson's interval, and the difference is (m / n) (2 p - 1). As m is
    taken as given, the interval excludes 0 where p differs from one half; it is narrower than that of two independent
    samples, all the more the more alike the answers are.

    Args:
        right: whether the first is right, bool [N].
        reference: whether the second is, bool [N].
        comparisons: how many such differences are looked at together; the interval widens by Bonferroni's rule, so
            that with 95 % all of them hold.

    Raises:
        ExunoError: no samples, or lengths that differ.
    """
    first, second = np.asarray(right, bool), np.asarray(reference, bool)
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise ExunoError(f"answers of shape {list(first.shape)} and {list(second.shape)} cannot be paired")
    gained, lost = int((first & ~second).sum()), int((second & ~first).sum())
    apart = gained + lost
    if not apart:
        return Difference(0.0, 0.0, 0.0)
    low, high = wilson_interval(gained, apart, level(comparisons))
    share = apart / len(first)
    return Difference((gained - lost) / len(first), share * (2 * low - 1), share * (2 * high - 1))


def level(comparisons: int) -> float:
    """z of a two-sided 95 % interval among so many: 1.96 for one."""
    if comparisons < 1:
        raise ExunoError(f"{comparisons} comparisons have no interval")
    return NormalDist().inv_cdf(1 - 0.025 / comparisons)


def mean_and_half(values: ArrayLike) -> tuple[float, float]:
    """Mean of values [N], and half the width of its 95 % interval (normal, for hundreds of samples)."""
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array):
        raise ExunoError(f"values of shape {list(array.shape)} have no mean")
    return float(array.mean()), 1.96 * float(array.std()) / math.sqrt(len(array))
