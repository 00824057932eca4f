"""What a teacher makes of the patches of a photograph: balance, diversity, doubt, entropy. NumPy only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.data.rng import generator
from exuno.engine.errors import ExunoError
from exuno.metrics import softmax

PAIRS = 10_000
RESAMPLES = 1000
"""Draws of the bootstrap over patches."""
CLOSE = 1.0
"""Top-two gap of logits, in nats, below which a patch lies near a decision boundary."""


def balance(answers: ArrayLike, classes: int) -> float:
    """Entropy of the histogram of answers, as a share of its maximum log C: 1 if all classes come equally often, 0 if
    all answers are one class.

    Args:
        answers: the class of each patch, int [N].
        classes: C, at least 2.
    """
    return float(_evenness(np.bincount(np.asarray(answers, np.int64), minlength=classes)))


def _evenness(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Relative entropy [...] of histograms [..., C]."""
    shares = counts / counts.sum(-1, keepdims=True)
    logs = np.log(shares, out=np.zeros(shares.shape), where=shares > 0)
    return np.maximum(0.0, -(shares * logs).sum(-1) / np.log(shares.shape[-1])) + 0.0  # no -0.0


def diversity(logits: ArrayLike) -> float:
    """Mean Euclidean distance between the logits [N, C] of two patches; the mean over classes is taken off each, as
    softmax does not see it. After a shuffle, which is always the same one, since test sets are often sorted by class,
    neighbours at every distance are paired.

    Raises:
        ExunoError: fewer than two patches.
    """
    _, distances = _paired(logits)
    return float(np.mean([each.mean() for each in distances.values()]))


def _paired(logits: ArrayLike) -> tuple[NDArray[np.int64], dict[int, NDArray[np.float64]]]:
    """A shuffle of N patches, and for some steps the distances [N] of each, in that order, from the one so many places
    before it."""
    z = np.asarray(logits, np.float64)
    if len(z) < 2:
        raise ExunoError(f"{len(z)} patches have no diversity", "Give --patches 2 or more.")
    order = generator(0, "doctor").permutation(len(z))
    z = (z - z.mean(1, keepdims=True))[order]
    most = len(z) // 2  # a step of n - k pairs the same rows as one of k
    steps = np.unique(np.linspace(1, most, max(1, min(most, PAIRS // len(z)))).astype(np.int64))
    return order, {int(step): np.linalg.norm(z - np.roll(z, step, 0), axis=1) for step in steps}


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


def assess(spec: str, logits: NDArray[np.floating], unit: float) -> Candidate:
    """The numbers of one photograph from the logits of its patches [N, C]; ``unit`` is the diversity of test images."""
    answers, classes = logits.argmax(1), logits.shape[1]
    spread = diversity(logits) / unit if unit > 0 else 0.0
    return Candidate(spec, balance(answers, classes), spread, doubt(logits), float(entropy(logits, 1.0).mean()))


def resampled(logits: NDArray[np.floating], seed: int = 0) -> NDArray[np.float64]:
    """Balance and diversity [RESAMPLES, 2] of as many draws of N patches with replacement from the N of a photograph,
    logits [N, C]; diversity in units of the logits. ``seed`` tells photographs apart."""
    order, distances = _paired(logits)
    n, classes = logits.shape
    answers, random = logits.argmax(1)[order], generator(0, "doctor/resample", seed)
    found = []
    for _ in range(RESAMPLES):
        weights = random.multinomial(n, np.full(n, 1 / n)).astype(np.float64)
        total = pairs = 0.0
        for step, distance in distances.items():
            both = weights * np.roll(weights, step)  # how often the two of a pair were drawn together
            total, pairs = total + both @ distance, pairs + both.sum()
        found.append((_evenness(np.bincount(answers, weights, classes)), total / max(pairs, 1)))
    return np.array(found)


@dataclass(frozen=True)
class Ranked:
    """A photograph in its place."""

    candidate: Candidate
    score: float
    interval: tuple[float, float]
    """95 % of the score, over which patches were drawn."""
    alike: tuple[str, ...]
    """The photographs that it is not told apart from: the interval of the difference of the two scores holds zero."""


def ranking(found: Sequence[Candidate], draws: Sequence[NDArray[np.float64]]) -> list[Ranked]:
    """The photographs, the best first.

    Args:
        found: S of them.
        draws: what ``resampled`` gave for each.
    """
    values = np.stack(draws, 1)  # [RESAMPLES, S, 2]
    again = np.stack([scores_of(each) for each in values])
    low, high = np.percentile(again, (2.5, 97.5), axis=0)
    ends = np.percentile(again[:, :, None] - again[:, None], (2.5, 97.5), axis=0)
    same = (ends[0] <= 0) & (ends[1] >= 0)
    scored = scores(found)
    order = sorted(range(len(found)), key=lambda i: -scored[i])
    return [
        Ranked(
            found[i],
            scored[i],
            (min(scored[i], float(low[i])), max(scored[i], float(high[i]))),
            tuple(found[j].spec for j in order if j != i and same[i, j]),
        )
        for i in order
    ]


def scores(found: Sequence[Candidate]) -> list[float]:
    """For each source the mean of its places in balance and diversity, as a share: 1 for the first in both among those
    compared, 0 for the last in both. Doubt has no part in it: where it was measured, it foretold the opposite."""
    return scores_of(np.array([[each.balance, each.diversity] for each in found])).tolist()


def scores_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores [S] of values [S, M], each a mean over M of the places, from 0 to 1."""
    return np.mean([ranks(column) for column in values.T], 0) / max(1, len(values) - 1)


def ranks(values: ArrayLike) -> list[float]:
    """Places from 0, the least value, to n - 1; equal values share the mean of their places."""
    array = np.asarray(values, np.float64)
    below, equal = (array < array[:, None]).sum(1), (array == array[:, None]).sum(1)
    return (below + (equal - 1) / 2).tolist()
