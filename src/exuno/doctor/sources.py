"""What a teacher makes of the patches of a photograph: balance, diversity, doubt, entropy. NumPy only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.data.rng import generator
from exuno.engine.errors import ExunoError
from exuno.metrics import softmax

PAIRS = 10_000
CLOSE = 1.0
"""Top-two gap of logits, in nats, below which a patch lies near a decision boundary."""


def balance(answers: ArrayLike, classes: int) -> float:
    """Entropy of the histogram of answers, as a share of its maximum log C: 1 if all classes come equally often, 0 if
    all answers are one class.

    Args:
        answers: the class of each patch, int [N].
        classes: C, at least 2.
    """
    counts = np.bincount(np.asarray(answers, np.int64), minlength=classes)
    shares = counts[counts > 0] / counts.sum()
    return max(0.0, float(-(shares * np.log(shares)).sum() / np.log(classes)))


def diversity(logits: ArrayLike) -> float:
    """Mean Euclidean distance between the logits [N, C] of two patches; the mean over classes is taken off each, as
    softmax does not see it. After a shuffle, which is always the same one, since test sets are often sorted by class,
    neighbours at every distance are paired.

    Raises:
        ExunoError: fewer than two patches.
    """
    z = np.asarray(logits, np.float64)
    if len(z) < 2:
        raise ExunoError(f"{len(z)} patches have no diversity", "Give --patches 2 or more.")
    z = (z - z.mean(1, keepdims=True))[generator(0, "doctor").permutation(len(z))]
    most = len(z) // 2  # a step of n - k pairs the same rows as one of k
    steps = np.unique(np.linspace(1, most, max(1, min(most, PAIRS // len(z)))).astype(np.int64))
    return float(np.mean([np.linalg.norm(z - np.roll(z, step, 0), axis=1).mean() for step in steps]))


def doubt(logits: ArrayLike) -> float:
    """Share of patches near a decision boundary: the runner-up's logit is less than 1 nat below the winner's, so that
    it is more than 1 / e as likely."""
    two = np.partition(np.asarray(logits, np.float64), -2, axis=1)[:, -2:]
    return float((two[:, 1] - two[:, 0] < CLOSE).mean())


def entropy(logits: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Entropy of softmax(logits / T) as a share of log C, float64 [N]: 0 for a sure answer, 1 for none."""
    p = softmax(np.asarray(logits, np.float64) / temperature)
    return -(p * np.log(np.maximum(p, np.finfo(np.float64).tiny))).sum(1) / np.log(p.shape[1])


@dataclass(frozen=True)
class Candidate:
    """A photograph as a source, as a teacher sees N patches of it."""

    spec: str
    balance: float
    """Relative entropy of the teacher's classes over the patches, 0 to 1."""
    diversity: float
    """Mean distance between the logits of two patches, as a multiple of that between two test images."""
    doubt: float
    """Share of patches near a decision boundary."""
    entropy: float
    """Mean relative entropy of the teacher's answers at T = 1."""


def judge(spec: str, logits: NDArray[np.floating], unit: float) -> Candidate:
    """The numbers of one photograph from the logits of its patches [N, C]; ``unit`` is the diversity of test images."""
    answers, classes = logits.argmax(1), logits.shape[1]
    spread = diversity(logits) / unit if unit > 0 else 0.0
    return Candidate(spec, balance(answers, classes), spread, doubt(logits), float(entropy(logits, 1.0).mean()))


def scores(found: Sequence[Candidate]) -> list[float]:
    """For each source the mean of its places in balance and diversity, as a share: 1 for the first in both among those
    compared, 0 for the last in both. Doubt has no part in it: where it was measured, it foretold the opposite."""
    places = [ranks([getattr(each, name) for each in found]) for name in ("balance", "diversity")]
    most = max(1, len(found) - 1)
    return [float(np.mean([place[i] for place in places])) / most for i in range(len(found))]


def ranks(values: Sequence[float]) -> list[float]:
    """Places from 0, the least value, to n - 1; equal values share the mean of their places."""
    array = np.asarray(values, np.float64)
    return [float((array < value).sum() + ((array == value).sum() - 1) / 2) for value in array]
