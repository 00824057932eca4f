"""Cross-entropy with sums of targets, in one pass over the student's outputs, forward and backward.

Terms that share a row of the student add up before the logarithm is taken: sum_i -p_i log q = -(sum_i p_i) log q. So a
row costs the same whether it meets one teacher or all images of its class, and no term needs a graph of its own.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

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
