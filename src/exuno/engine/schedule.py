"""Where a training stands, and values that depend on it: learning rate, momentum, temperature."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from exuno.engine.options import Optim


@dataclass(frozen=True)
class Progress:
    """Where a training stands: ``step`` optimizer steps of ``total`` are done, ``per_epoch`` make an epoch."""

    step: int
    total: int
    per_epoch: int

    @property
    def fraction(self) -> float:
        """Share of the training that is done, in [0, 1)."""
        return self.step / self.total

    @property
    def epoch(self) -> float:
        """Epochs done, with decimals."""
        return self.step / self.per_epoch


Schedule = Callable[[Progress], float]


def cosine(start: float, end: float, fraction: float) -> float:
    """Half a cosine wave from ``start`` to ``end``, at a fraction of the way."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * fraction))


def learning_rate(optim: Optim) -> Schedule:
    """Linear warm-up, then constant, cosine to ``lr_end`` (Loshchilov and Hutter, ICLR 2017) or steps.

    All in fractions of the training, so that a smaller budget keeps the shape.
    """

    def rate(at: Progress) -> float:
        warmup = optim.warmup * at.total
        if at.step < warmup:
            return optim.lr * (at.step + 1) / (warmup + 1)
        if optim.schedule == "cosine":
            done = (at.step - warmup) / max(1.0, at.total - warmup)
            return cosine(optim.lr, optim.lr_end, done)
        if optim.schedule == "step":
            return optim.lr * optim.gamma ** sum(at.fraction >= m for m in optim.milestones)
        return optim.lr

    return rate
