"""Whether a classifier was trained with label smoothing, and how much, from its answers alone. NumPy only.

The statistic is exuno's own; docs/doctor.md tells how it came about and where it errs.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from exuno.engine.errors import ExunoError
from exuno.metrics import predict, softmax

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
