"""What logits and labels say of a teacher: calibration, temperature, label smoothing, comparisons. NumPy only.

The statistic is exuno's own; docs/doctor.md tells how it came about and where it errs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.engine.errors import ExunoError
from exuno.metrics import calibration, predict, softmax, wilson_interval

COLDEST, HOTTEST = 1e-2, 1e2
HALVINGS = 24  # of the range of log T: to a millionth


def nll(logits: ArrayLike, labels: ArrayLike, temperature: float = 1.0) -> NDArray[np.float64]:
    """-log of the probability of the true class under softmax(logits / T), in nats, float64 [N]."""
    z = np.asarray(logits, np.float64) / temperature
    z = z - z.max(1, keepdims=True)
    return np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), np.asarray(labels, np.int64)]


class Fitted(NamedTuple):
    """The temperature with the least NLL, and whether it lies inside the range that was searched."""

    temperature: float
    inside: bool


def best_temperature(logits: ArrayLike, labels: ArrayLike) -> Fitted:
    """T with the least mean NLL of softmax(logits / T): temperature scaling of Guo et al., ICML 2017, section 4.2.

    The mean NLL is convex in b = 1 / T, and its derivative there is mean(E_p[z] - z_true), which rises with b: its zero
    is found by halving log T between 0.01 and 100. Where every answer is right the best T is 0, and where the answers
    are worse than guessing it is infinite: then the end of the range is returned, and ``inside`` is False.

    Args:
        logits: [N, C]; finite.
        labels: [N], in [0, C).
    """
    z = np.asarray(logits, np.float64)
    z = z - z.max(1, keepdims=True)
    own = float(z[np.arange(len(z)), np.asarray(labels, np.int64)].mean())

    def slope(log_t: float) -> float:
        p = np.exp(z / np.exp(log_t))
        return float(((p * z).sum(1) / p.sum(1)).mean()) - own

    cold, hot = float(np.log(COLDEST)), float(np.log(HOTTEST))
    if slope(cold) <= 0:
        return Fitted(COLDEST, False)
    if slope(hot) >= 0:
        return Fitted(HOTTEST, False)
    for _ in range(HALVINGS):
        middle = (cold + hot) / 2
        cold, hot = (middle, hot) if slope(middle) > 0 else (cold, middle)
    return Fitted(float(np.exp((cold + hot) / 2)), True)


def overconfidence(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Confidence minus success of each sample, float64 [N]: the mean is above 0 where a model promises too much."""
    right = predict(logits) == np.asarray(labels, np.int64)
    return softmax(np.asarray(logits, np.float64)).max(1).astype(np.float64) - right


LEAST_ALPHA = 0.0125
MOST_SPREAD = 0.265
MEASURED = 10
"""Classes of the teachers on which the two thresholds were chosen and tested."""
LEAST_RIGHT = 20
"""Right answers without which nothing is said."""


class Smoothing(NamedTuple):
    """What the right answers of a classifier of K classes look like."""

    alpha: float
    """K / (K - 1) (1 - median confidence): the smoothing at which that confidence is the optimum."""
    spread: float
    """Median of (deviation of the other logits) / (top logit minus their mean): 0 if the others are all alike."""
    right: int
    """Number of right answers."""

    @property
    def smoothed(self) -> bool:
        """Whether it looks smoothed: unsure of what it gets right, and equally sure of all that it is not."""
        return self.alpha >= LEAST_ALPHA and self.spread <= MOST_SPREAD


def smoothing(logits: ArrayLike, labels: ArrayLike) -> Smoothing | None:
    """The two numbers that tell a smoothed classifier from a plain one; None if too few answers are right.

    A network that minimises (1 - a) NLL + a mean(-log p) gives the true class 1 - a (K - 1) / K and every other one a /
    K (Szegedy et al., CVPR 2016; Müller, Kornblith and Hinton, NeurIPS 2019): its confidence saturates below 1, and its
    other logits are pulled together. A plain network that was trained briefly is unsure as well, but its other logits
    stay apart, so both numbers are needed.

    Args:
        logits: [N, C]; C is at least 3.
        labels: [N], in [0, C).

    Raises:
        ExunoError: fewer than 3 classes: one other logit has no spread.
    """
    z = np.asarray(logits, np.float64)
    classes = z.shape[1]
    if classes < 3:
        raise ExunoError(f"label smoothing cannot be told from the answers of {classes} classes", "It takes 3.")
    top = predict(z)
    kept = (top == labels) & np.isfinite(z).all(1) & (np.ptp(z, axis=1) > 0)  # equal logits are no answer
    z, top = z[kept], top[kept]
    if len(z) < LEAST_RIGHT:
        return None
    others = z[np.arange(classes) != top[:, None]].reshape(len(z), classes - 1)
    gap = z.max(1) - others.mean(1)
    spread = others.std(1) / gap
    alpha = classes / (classes - 1) * (1 - float(np.median(softmax(z).max(1))))
    return Smoothing(alpha, float(np.median(spread)), len(z))


TEMPERATURES = (1.0, 2.0, 4.0, 8.0, 16.0)
ENOUGH = 0.5
"""Mean relative entropy of the answers at which the classes beside the first are heard."""
PAPERS = 8.0
"""Of Asano and Saeed (arXiv 2112.00725), for CIFAR and ImageNet."""


class Advice(NamedTuple):
    """A temperature, and why."""

    temperature: float
    reason: str


def advise(entropies: Mapping[float, float], smoothed: bool | None) -> Advice:
    """The temperature to distil with.

    A smoothed teacher: 1, because at higher temperatures the student learns to spread over similar classes (systematic
    diffusion: Chandrasegaran et al., ICML 2022). A plain one: the least of 1, 2, 4 and 8 at which its answers to the
    patches have half of the largest entropy, else 8, which the single-image papers use.

    Args:
        entropies: mean relative entropy of the answers over patches of the source at the temperatures.
        smoothed: whether the teacher looks label-smoothed; None if that is not known, which counts as no.
    """
    if smoothed:
        why = "it looks label-smoothed, and above T = 1 the student of such a teacher spreads over similar classes"
        return Advice(1.0, f"{why}; --loss.standardise, which takes the teacher's scale away, is the other way out")
    usable = [t for t in TEMPERATURES if t <= PAPERS]
    fit = next((t for t in usable if entropies[t] >= ENOUGH), None)
    if fit is None:
        return Advice(
            PAPERS, f"even there its answers to the patches are sharp (relative entropy {entropies[PAPERS]:.2f})"
        )
    low = "at T = 1 already" if fit == 1 else f"{entropies[1.0]:.2f} at T = 1"
    return Advice(
        fit, f"its answers to the patches reach half of the largest entropy there ({entropies[fit]:.2f}; {low})"
    )


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


Logits = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]

STILL = 1e-5
"""Share of the largest logit by which the answers of a constant network may still differ: rounding of float32."""


def finite(logits: Logits, what: str) -> Logits:
    """The rows of logits [N, C] without NaN and infinity.

    Raises:
        ExunoError: there are none; ``what`` names the images.
    """
    kept = np.isfinite(logits).all(1)
    if not kept.any():
        raise ExunoError(
            f"no answer of the teacher to {what} is finite", "Its weights are damaged, or its training diverged."
        )
    return logits[kept]


def constant(logits: Logits) -> bool:
    """Whether two images or more get one answer: finite logits [N, C] that differ by rounding only, but for a number
    added to all logits of an image, which softmax does not see."""
    z = logits[np.isfinite(logits).all(1)].astype(np.float64)
    apart = np.ptp(z - z.mean(1, keepdims=True), axis=0).max()
    return len(z) > 1 and bool(apart <= STILL * np.abs(z).max())


@dataclass(frozen=True)
class Normalised:
    """A network behind one normalisation of its input."""

    name: str
    top1: float
    interval: tuple[float, float]
    """95 %, Wilson."""
    minus: Difference
    """Accuracy minus that with the card's normalisation, on the same images; all intervals hold together."""
    nll: float | None
    """Mean, in nats; None if an answer is not finite."""
    nll_scaled: float | None
    """The same after division of the logits by the best temperature."""


def compare(names: Sequence[str], answers: Sequence[Logits], labels: Labels) -> list[Normalised]:
    """A row for each normalisation, the first being the card's.

    Args:
        names: of the normalisations.
        answers: logits [N, C] with each.
        labels: [N].
    """
    right = [predict(z) == labels for z in answers]
    rows = []
    for name, z, hits in zip(names, answers, right, strict=True):
        finite = bool(np.isfinite(z).all())
        plain = float(nll(z, labels).mean()) if finite else None
        scaled = float(nll(z, labels, best_temperature(z, labels).temperature).mean()) if finite else None
        minus = difference(hits, right[0], comparisons=max(1, len(names) - 1))
        count = int(hits.sum())
        rows.append(Normalised(name, count / len(labels), wilson_interval(count, len(labels)), minus, plain, scaled))
    return rows


def better(rows: Sequence[Normalised]) -> Normalised | None:
    """The normalisation with the highest accuracy, if it beats the card's beyond the interval of the difference."""
    ahead = [row for row in rows[1:] if row.minus.above]
    return max(ahead, key=lambda row: row.top1) if ahead else None


def alike(rows: Sequence[Normalised]) -> list[str]:
    """Names of the normalisations that these images do not tell from the card's."""
    return [row.name for row in rows[1:] if not row.minus.above and not row.minus.below]


@dataclass(frozen=True)
class Calibrated:
    """How far the confidence of a model can be believed."""

    ece: float
    """Expected calibration error, 15 bins (Guo et al., ICML 2017)."""
    ece_scaled: float
    """The same after division of the logits by the temperature. It was fitted to these images, so it is flattered."""
    best: Fitted
    """The temperature with the least NLL."""
    excess: float
    """Mean of confidence minus success."""
    half: float
    """Half the width of its 95 % interval."""

    @property
    def verdict(self) -> str:
        """``over``, ``under`` or ``fair``: whether the excess differs from 0 by more than the interval."""
        return "fair" if abs(self.excess) <= self.half else "over" if self.excess > 0 else "under"


def calibrate(logits: Logits, labels: Labels) -> Calibrated:
    """Calibration of the finite answers, of which there is at least one."""
    kept = np.isfinite(logits).all(1)
    z, y = logits[kept].astype(np.float64), labels[kept]
    best = best_temperature(z, y)
    excess, half = mean_and_half(overconfidence(z, y))
    return Calibrated(
        calibration(softmax(z), y).ece, calibration(softmax(z / best.temperature), y).ece, best, excess, half
    )
