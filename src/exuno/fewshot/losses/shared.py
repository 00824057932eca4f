"""What the losses share: how they are returned, the teacher's probabilities, and which images are of one class."""

from typing import NamedTuple

import torch
from torch import Tensor


class Term(NamedTuple):
    """A loss as a sum and a number, so that several processes can add theirs.

    The gradients of W processes are averaged; each takes ``total / (sum of all counts / W)`` as its loss.
    """

    total: Tensor
    """Sum of the terms, a scalar with a graph."""
    count: Tensor  # pyright: ignore[reportIncompatibleMethodOverride]  a tuple's count() is not missed
    """Number of terms, a scalar float without one."""

    def mean(self) -> Tensor:
        """total / count; 0, with a graph, where there are no terms."""
        return self.total / self.count.clamp(min=1)


class Pairs(NamedTuple):
    """Which of T teacher's rows belong to each of B student's images."""

    positive: Tensor
    """bool [B, T]: the row is another image of the class."""
    own: Tensor
    """int64 [B]: the row of the same image."""


@torch.no_grad()
def sharpen(logits: Tensor, centre: Tensor, temperature: float | Tensor) -> Tensor:
    """The teacher's probabilities: softmax((logits - centre) / temperature), float32 (Caron et al., ICCV 2021).

    Args:
        logits: [..., K], of any floating type.
        centre: [..., K] or [K], what is subtracted.
        temperature: > 0.
    """
    return ((logits.float() - centre.float()) / temperature).softmax(-1)


def find_pairs(labels: Tensor, index: Tensor, teacher_labels: Tensor, teacher_index: Tensor) -> Pairs:
    """The rows of the same class and the row of the same image.

    Args:
        labels: int64 [B], of the student's images; -1 where there is none, which has no positives.
        index: int64 [B], positions of the student's images in the data set.
        teacher_labels: int64 [T], of the teacher's rows: the same batch, or the batches of all processes, B rows each.
        teacher_index: int64 [T], likewise; holds every element of ``index``.
    """
    same = index[:, None] == teacher_index
    positive = (labels[:, None] == teacher_labels) & ~same & (labels[:, None] >= 0)
    # An image that was drawn twice belongs to the row in its own place.
    row, place = (torch.arange(len(x), device=index.device) for x in (index, teacher_index))
    aligned = row[:, None] == place % max(len(index), 1)
    return Pairs(positive, (same.int() * (1 + aligned.int())).argmax(1))
