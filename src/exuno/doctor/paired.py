"""Two sets of answers to the same questions, compared question by question. Pure functions; NumPy only."""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from exuno.engine.errors import ExunoError


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
    """Accuracy of one set of answers minus that of another, with its 95 % interval, paired by sample (``interval``).

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
    return Difference((gained - lost) / len(first), *interval(gained, lost, len(first), level(comparisons)))


def interval(gained: int, lost: int, n: int, z: float) -> tuple[float, float]:
    """Interval (low, high) of the difference of two paired shares: Bonett and Price, J. Educ. Behav. Stat. 37 (2012).

    With p = (gained + 1) / (n + 2) and q = (lost + 1) / (n + 2) it is p - q ± z sqrt((p + q - (p - q)²) / (n + 2)), cut
    to [-1, 1]. That is Wald's interval with one more sample each way: how many samples the two differ on is drawn as
    well, and few that do must not make the interval narrow.

    Args:
        gained: samples that the first alone gets right.
        lost: samples that the second alone gets right.
        n: all samples, at least 1.
        z: 1.96 for 95 %.
    """
    p, q = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = z * math.sqrt((p + q - (p - q) ** 2) / (n + 2))
    return max(-1.0, p - q - half), min(1.0, p - q + half)


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
