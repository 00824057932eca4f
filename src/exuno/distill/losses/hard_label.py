"""Hard targets: the teacher's top class, and true labels under mixing."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from exuno.distill.options import losses


def argmax_target(student: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy with the teacher's top class alone: an ablation of Asano and Saeed (arXiv 2112.00725).

    Args:
        student: logits [B, C].
        teacher: logits [B, C].

    Returns:
        A scalar, in nats, mean over the batch.
    """
    return F.cross_entropy(student.float(), teacher.argmax(1))


@losses.register("argmax", summary="cross-entropy with the teacher's top class alone")
@dataclass(frozen=True)
class Argmax:
    """:func:`argmax_target`."""

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """See :mod:`exuno.distill.losses`."""
        return argmax_target(student, teacher)


def hard_label(student: Tensor, labels: Tensor, partner: Tensor, own: float | Tensor, other: float | Tensor) -> Tensor:
    """Cross-entropy with true labels under mixing: ``own`` of the label and ``other`` of the partner's.

    Args:
        student: logits [B, C].
        labels: int64 [B], -1 where there is none, which counts for nothing; or soft labels float32 [B, C].
        partner: labels of the images mixed in, likewise.
        own: λ in [0, 1].
        other: 1 - λ.

    Returns:
        A scalar, in nats, mean over the labelled images (0 if there are none).
    """
    known = len(labels) if labels.ndim == 2 else (labels >= 0).sum().clamp(min=1)

    def term(target: Tensor) -> Tensor:
        return F.cross_entropy(student.float(), target, ignore_index=-1, reduction="sum") / known

    return own * term(labels) + other * term(partner)
