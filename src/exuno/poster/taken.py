"""A loss whose gradient is taken in the forward pass, so that no graph of the work behind it outlives it."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

Work = Callable[[Tensor, Tensor, Sequence[Tensor]], tuple[Tensor, Sequence[Tensor]]]
"""(images, labels, those of the two that want a gradient), all leaves -> loss, detached, and its gradients."""


def taken(images: Tensor, labels: Tensor, work: Work) -> Tensor:
    """The loss of ``work`` as a differentiable function of the patches [P, C, h, w] and their labels [P, K]."""
    return _Taken.apply(images, labels, work)  # pyright: ignore[reportReturnType]


class _Taken(Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, labels: Tensor, work: Work) -> Tensor:
        leaves = [
            x.detach().requires_grad_(wanted) for x, wanted in zip((images, labels), ctx.needs_input_grad, strict=False)
        ]
        loss, found = work(leaves[0], leaves[1], [leaf for leaf in leaves if leaf.requires_grad])
        ctx.save_for_backward(*found)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        found = iter(ctx.saved_tensors)
        by_images, by_labels = (grad * next(found) if wanted else None for wanted in ctx.needs_input_grad[:2])
        return by_images, by_labels, None
