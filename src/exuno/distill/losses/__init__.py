"""Losses between a student and a teacher, a file for each idea. ``--loss.kind NAME`` finds them, or ``module:Name``.

A loss is a frozen dataclass whose fields are its options, and a function of tensors on one device that reads nothing
back from it::

    @losses.register("mse", summary="squared difference of the logits")
    @dataclass(frozen=True)
    class Mse:
        scale: float = 1.0

        def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
            return self.scale * F.mse_loss(student, teacher)

``student`` and ``teacher`` are logits [B, C], without a gradient to the teacher; ``labels`` int64 [B], -1 where there
is no true label, the image is mixed, or ``--loss.hard`` is 0. The result is a scalar, mean over the batch. Fields named
``temperature``, ``t2`` and ``standardise`` get the values of ``--loss.temperature`` and so on, all others those of
``--loss.options``. A loss on features derives from :class:`OnFeatures`.
"""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from exuno.distill.options import Loss, losses

SHARED = ("temperature", "t2", "standardise")
"""Options of ``--loss`` that are options of a loss where it has a field of the name."""


class OnFeatures(ABC):
    """A loss that compares what goes into the last layers of both networks, too."""

    @abstractmethod
    def projection(self, student: int, teacher: int) -> nn.Module:
        """What brings features of the student [B, ``student``] to those of the teacher [B, ``teacher``]; it learns."""

    @abstractmethod
    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor, projected: Tensor, features: Tensor) -> Tensor:
        """As other losses; ``projected``: the student's features behind the projection, ``features``: the teacher's,
        both [B, F]."""


def make_loss(options: Loss) -> Any:
    """The loss of ``--loss.kind`` with its options.

    Raises:
        ExunoError: no such loss, or an option that it has not.
    """
    return losses.make(options.kind, options.options, **{name: getattr(options, name) for name in SHARED})
