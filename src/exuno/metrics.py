"""Numbers from logits and labels: accuracy, confusion, calibration, agreement, intervals. Pure functions; NumPy only.

N samples, C classes. Labels are int64 in [0, C). A sample whose logits hold a NaN or +inf has no prediction: it is -1
in ``predict``, counts as wrong in every accuracy, and is left out of confusion and calibration.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, NotRequired, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.engine.errors import ExunoError

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
_CHUNK = 4096  # rows at a time: ImageNet's 50,000 x 1,000 in float64 would not fit beside the rest


def _matrix(values: ArrayLike, what: str) -> Floats:
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ExunoError(f"{what} have shape {list(array.shape)}, not [samples, classes]")
    if len(array) == 0:
        raise ExunoError(f"there is nothing to measure: {what} of 0 samples", "Give a test set that is not empty.")
    return array.astype(np.float32) if array.dtype in (np.float16, np.int64, np.int32) else array


def _labels(values: ArrayLike, n: int, classes: int) -> Ints:
    labels = np.asarray(values, np.int64)
    if labels.shape != (n,):
        raise ExunoError(f"labels have shape {list(labels.shape)}, but there are {n} samples")
    if n and (labels.min() < 0 or labels.max() >= classes):
        todo = "The data and the model must have the same classes, and every sample needs a label."
        raise ExunoError(f"labels go from {labels.min()} to {labels.max()}, but there are {classes} classes", todo)
    return labels


def _valid(logits: Floats) -> NDArray[np.bool_]:
    bad = np.isnan(logits) | np.isposinf(logits)
    return np.logical_not(np.any(bad, axis=1)) & np.any(np.isfinite(logits), axis=1)


def softmax(logits: ArrayLike) -> Floats:
    """Probabilities [N, C] of logits [N, C], in their precision (at least float32); NaN without a prediction."""
    logits = _matrix(logits, "logits")
    with np.errstate(invalid="ignore"):
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        return np.where(_valid(logits)[:, None], shifted / shifted.sum(1, keepdims=True), np.nan)


def averaged(logits: ArrayLike, groups: ArrayLike) -> Floats:
    """Logarithm of the mean probabilities of each group, float32 [G, C], of logits [N, C] and group numbers [N] from 0
    to G - 1: the answer of a video whose clips were asked one by one; NaN where one of them has no prediction."""
    groups, found = np.asarray(groups, np.int64), softmax(logits)
    total = np.zeros((int(groups.max()) + 1, found.shape[1]))
    np.add.at(total, groups, found)
    return np.log(np.maximum(total / np.bincount(groups)[:, None], 1e-38)).astype(np.float32)


def predict(logits: ArrayLike) -> Ints:
    """The class of the largest logit, int64 [N]; the first one where several are equal; -1 where there is none."""
    logits = _matrix(logits, "logits")
    return np.where(_valid(logits), logits.argmax(1), -1)


def top_k(logits: ArrayLike, labels: ArrayLike, k: int = 1) -> float:
    """Share of samples whose label is among the k largest logits; equal logits rank in the order of their classes.

    Raises:
        ExunoError: no samples, shapes or labels that do not match, or k below 1.
    """
    logits = _matrix(logits, "logits")
    labels = _labels(labels, *logits.shape)
    if k < 1:
        raise ExunoError(f"k is {k}; top-k needs at least 1")
    own = logits[np.arange(len(logits)), labels][:, None]
    ahead = (logits > own) | ((logits == own) & (np.arange(logits.shape[1]) < labels[:, None]))
    return float(np.mean((ahead.sum(1) < k) & _valid(logits)))


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, classes: int) -> Ints:
    """How many samples of class i (row) are predicted as class j (column), int64 [C, C].

    Predictions of -1 (none) are left out, so a row may sum to less than its class has samples.
    """
    predictions = np.asarray(predictions, np.int64)
    labels = _labels(labels, len(predictions), classes)
    if len(predictions) and predictions.max() >= classes:
        raise ExunoError(f"class {predictions.max()} is predicted, but there are {classes} classes")
    kept = predictions >= 0
    cells = np.bincount(labels[kept] * classes + predictions[kept], minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def per_class_accuracy(labels: ArrayLike, predictions: ArrayLike, classes: int) -> NDArray[np.float64]:
    """Share of each class's samples that are predicted right (recall), float64 [C]; NaN for a class without samples."""
    right = np.diag(confusion_matrix(labels, predictions, classes))
    samples = np.bincount(np.asarray(labels, np.int64), minlength=classes)
    return np.where(samples > 0, right / np.maximum(samples, 1), np.nan)


def in_turn(labels: ArrayLike) -> Ints:
    """Places [N] of samples with these labels [N], the classes in turn: the first one of each class, the second one of
    each, and so on."""
    labels = np.asarray(labels, np.int64)
    by_class = np.argsort(labels, kind="stable")
    counts = np.bincount(labels) if len(labels) else np.zeros(0, np.int64)
    turn = np.empty(len(labels), np.int64)
    turn[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.lexsort((labels, turn))


def guessing(labels: ArrayLike, classes: int) -> dict[str, float]:
    """What accuracies without a look at the samples are, as baselines of result.json: ``chance/top1``, 1 / C; where
    labels [N] are uneven, so that always answering one class does better by a fifth, ``largest class/top1``, its
    share."""
    labels = np.asarray(labels, np.int64)
    share = float(np.bincount(labels).max() / len(labels)) if len(labels) else 0.0
    return {"chance/top1": 1 / classes} | ({"largest class/top1": share} if share > 1.2 / classes else {})


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error (a fraction) and what it is made of: B bins of confidence; empty bins hold NaN."""

    ece: float
    confidence: NDArray[np.float64]
    """Mean confidence of each bin, [B]."""
    accuracy: NDArray[np.float64]
    """Accuracy of each bin, [B]."""
    count: Ints
    """Samples in each bin, [B]."""


def calibration(probabilities: ArrayLike, labels: ArrayLike, bins: int = 15) -> Calibration:
    """How far confidence and accuracy are apart, over B bins (i/B, (i+1)/B] of the largest probability of each sample.

    ECE = sum over bins of (samples in bin / N) |accuracy - confidence|: Guo, Pleiss, Sun and Weinberger, "On
    Calibration of Modern Neural Networks", ICML 2017, equation 3; 15 bins as there.
    ECE is NaN if no sample has probabilities.

    Raises:
        ExunoError: no samples, shapes or labels that do not match, probabilities outside [0, 1], or no bins.
    """
    probabilities = _matrix(probabilities, "probabilities")
    labels = _labels(labels, *probabilities.shape)
    if bins < 1:
        raise ExunoError(f"bins is {bins}; calibration needs at least 1")
    kept = _valid(probabilities)
    probabilities, labels = probabilities[kept], labels[kept]
    if probabilities.size and not (probabilities.min() >= 0 and probabilities.max() <= 1 + 1e-4):
        raise ExunoError("probabilities lie outside [0, 1]", "Give the softmax of the logits.")
    sure = np.minimum(probabilities.max(1), 1).astype(np.float64)
    right = (probabilities.argmax(1) == labels).astype(np.float64)
    place = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins).astype(np.int64)
    some = np.where(count > 0, count, np.nan)
    confidence = np.bincount(place, sure, bins) / some
    accuracy = np.bincount(place, right, bins) / some
    ece = float(np.nansum(count * np.abs(accuracy - confidence)) / len(sure)) if len(sure) else math.nan
    return Calibration(ece, confidence, accuracy, count)


class Agreement(NamedTuple):
    """How alike two models answer: ``top1``, share of equal predictions; ``kl``, mean KL(a || b) in nats."""

    top1: float
    kl: float


def agreement(logits_a: ArrayLike, logits_b: ArrayLike) -> Agreement:
    """Compare two models on the same samples, logits [N, C] each; a is the reference (the teacher).

    Samples without a prediction in either model disagree, and are left out of the KL (NaN if none is left).

    Raises:
        ExunoError: no samples, or shapes that differ.
    """
    a, b = _matrix(logits_a, "logits"), _matrix(logits_b, "logits")
    if a.shape != b.shape:
        raise ExunoError(f"the two models answered with logits of shape {list(a.shape)} and {list(b.shape)}")
    first, second = predict(a), predict(b)
    both = (first >= 0) & (second >= 0)
    total = 0.0
    for start in range(0, len(a), _CHUNK):
        rows = both[start : start + _CHUNK]
        if rows.any():
            total += float(_kl(a[start : start + _CHUNK][rows], b[start : start + _CHUNK][rows]).sum())
    return Agreement(float(np.mean((first == second) & both)), total / both.sum() if both.any() else math.nan)


def _kl(a: Floats, b: Floats) -> NDArray[np.float64]:
    log_p, log_q = (x - x.max(1, keepdims=True) for x in (a.astype(np.float64), b.astype(np.float64)))
    log_p -= np.log(np.exp(log_p).sum(1, keepdims=True))
    log_q -= np.log(np.exp(log_q).sum(1, keepdims=True))
    p = np.exp(log_p)
    with np.errstate(invalid="ignore"):
        return np.where(p > 0, p * (log_p - log_q), 0.0).sum(1)


def wilson_interval(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Score interval (low, high) of a share, z = 1.96 for 95 %. Wilson, JASA 22 (1927); sound at 0 % and 100 % too.

    Raises:
        ExunoError: n below 1, or successes outside [0, n].
    """
    if n < 1 or not 0 <= successes <= n:
        raise ExunoError(f"{successes} successes among {n} samples have no interval")
    share, spread = successes / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    # Rounding must not push the bound past the share itself at 0 and 1.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """95 % interval (low, high) of the mean of n independent values (seeds, episodes): mean ± t sd / sqrt(n).

    t is Student's quantile with n - 1 degrees of freedom, whatever n: few seeds get the wide interval they deserve, and
    at the 600 episodes of few-shot papers it is 1.964, where they write 1.96. One value has no interval: (nan, nan).

    Raises:
        ExunoError: no values.
    """
    values = np.asarray(values, np.float64).ravel()
    if not len(values):
        raise ExunoError("there is nothing to measure: the mean of 0 values")
    if len(values) == 1:
        return math.nan, math.nan
    half = _student_t(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean()) - half, float(values.mean()) + half


def _student_t(freedom: int) -> float:
    """97.5 % quantile of Student's t: exact below 5, above by Abramowitz and Stegun 26.7.5 (error below 4e-4)."""
    if freedom <= 4:
        return (12.706205, 4.302653, 3.182446, 2.776445)[freedom - 1]
    z = 1.959964
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))


class Summary(TypedDict):
    """What ``summarise`` returns; plain Python values, ready for JSON. Accuracies are fractions."""

    n: int
    top1: float
    top5: float | None
    """None where there are 5 classes or fewer."""
    interval: tuple[float, float]
    """95 % Wilson interval of top1."""
    ece: float | None
    per_class: list[float | None]
    """Accuracy of each class, in the order of class_names; None for a class without samples."""
    confusion: list[list[int]]
    class_names: list[str]
    guessing: dict[str, float]
    """Accuracies of guessing (``guessing``)."""
    invalid: int
    """Samples whose logits are NaN or infinite; they count as wrong."""
    clip_top1: NotRequired[float]
    """Where samples are videos whose clips were averaged: accuracy of single clips."""


def summarise(logits: ArrayLike, labels: ArrayLike, class_names: ArrayLike) -> Summary:
    """Everything a result says about one model: logits [N, C], labels [N], C class names.

    Raises:
        ExunoError: no samples, or shapes, labels or names that do not match.
    """
    logits = _matrix(logits, "logits")
    n, classes = logits.shape
    names = [str(name) for name in np.asarray(class_names).ravel()]
    if len(names) != classes:
        raise ExunoError(f"there are {len(names)} class names, but the model has {classes} classes")
    labels, predictions = _labels(labels, n, classes), predict(logits)
    right = int((labels == predictions).sum())
    ece = calibration(softmax(logits), labels).ece
    return Summary(
        n=n,
        top1=right / n,
        top5=top_k(logits, labels, 5) if classes > 5 else None,
        interval=wilson_interval(right, n),
        ece=None if math.isnan(ece) else ece,
        per_class=[None if math.isnan(x) else float(x) for x in per_class_accuracy(labels, predictions, classes)],
        confusion=confusion_matrix(labels, predictions, classes).tolist(),
        class_names=names,
        guessing=guessing(labels, classes),
        invalid=int((predictions < 0).sum()),
    )
