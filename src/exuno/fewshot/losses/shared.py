"""What the losses share: probabilities, cross-entropy with sums of targets, gathering over processes.

Terms that share a row of the student add up before the logarithm is taken: sum_i -p_i log q = -(sum_i p_i) log q. So a
row costs the same whether it meets one teacher or all images of its class, and no term needs a graph of its own.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
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


Targets = Callable[[slice], Tensor]
"""Sums of probabilities for a slice of the rows, [rows, K]."""
BLOCK = {"cpu": 2**19, "cuda": 2**26}
"""Bytes of a row block: on a CPU what stays in its cache, on a GPU what keeps it busy."""


def soft_cross_entropy(student: Tensor, targets: Targets, rows: Tensor | None = None) -> Tensor:
    """sum_n -<targets_n, log softmax(student_n)>, computed in at least float32.

    Args:
        student: logits [N, K].
        targets: gives the targets of a slice of ``rows``; its sums need not be 1.
        rows: int64 [M], the rows that have targets, each once; default: all.

    Returns:
        A scalar. The gradient is computed on the way forward and waits in the memory that ``backward`` returns, so
        that only one backward pass is possible.
    """
    return _SoftCrossEntropy.apply(student, targets, rows)  # pyright: ignore[reportReturnType]


def blocks(count: int, width: int, device: torch.device) -> list[slice]:
    """Slices of ``count`` rows of ``width`` float32 each."""
    step = max(1, BLOCK.get(device.type, 2**26) // (4 * max(width, 1)))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


class _SoftCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, student: Tensor, targets: Targets, rows: Tensor | None) -> Tensor:
        wide = torch.promote_types(student.dtype, torch.float32)
        pieces = blocks(len(student) if rows is None else len(rows), student.shape[1], student.device)
        # One tensor for all sums: small ones between large blocks would keep the allocator from using those again.
        sums = torch.zeros(len(pieces), dtype=wide, device=student.device)
        rest = None  # targets less what the student gives: the gradient, negative
        if ctx.needs_input_grad[0]:
            # The smallest numbers of float16 would be lost before a scaled loss makes them large.
            dtype = wide if student.dtype == torch.float16 else student.dtype
            make = torch.empty if rows is None else torch.zeros
            rest = make(student.shape, dtype=dtype, device=student.device)
        with torch.autocast(student.device.type, enabled=False):
            for number, block in enumerate(pieces):
                chosen = block if rows is None else rows[block]
                target = targets(block).to(wide)
                log_q = student[chosen].to(wide).log_softmax(1)
                sums[number] = torch.linalg.vecdot(target, log_q).sum()
                if rest is not None:
                    mass = target.sum(1, keepdim=True)
                    if rows is None and rest.dtype == wide:
                        torch.addcmul(target, log_q.exp_(), mass, value=-1, out=rest[block])
                    else:
                        rest[chosen] = torch.addcmul(target, log_q.exp_(), mass, value=-1).to(rest.dtype)
        if rest is not None:
            ctx.save_for_backward(rest)
        return -sums.sum()

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor) -> tuple[Tensor, None, None]:
        (rest,) = ctx.saved_tensors
        return rest.mul_(-incoming[0]), None, None


def gathered(x: Tensor, dim: int = 0) -> Tensor:
    """The rows of all processes joined along ``dim``, in the order of their ranks; all have equally many."""
    if not dist.is_initialized():
        return x
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts, dim)


def mean_of_all(x: Tensor) -> Tensor:
    """Mean over the processes."""
    if not dist.is_initialized():
        return x
    total = x.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()
