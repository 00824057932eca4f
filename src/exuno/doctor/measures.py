"""What logits and labels say of a teacher, as plain numbers. NumPy only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.doctor.paired import Difference, difference, mean_and_half
from exuno.doctor.temperature import Fitted, best_temperature, nll, overconfidence
from exuno.engine.errors import ExunoError
from exuno.metrics import calibration, predict, softmax, wilson_interval

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
