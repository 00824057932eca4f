"""The gradient of a network's final loss by what it was trained on, exact, through the last steps of its training.

Both back-ends walk the same recurrence: the network is trained forward, then the gradient of the outer loss is pulled
back step by step. ``reverse`` keeps the graph of every inner gradient, as plain unrolling does. ``checkpointed`` keeps
one at a time and computes it anew on the way back; of the states in between it keeps every one while they are small,
else every sqrt(window)-th, and recomputes those between, so that memory grows with the square root of the window.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import isqrt
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from exuno.poster.inner import Optimizer, State
from exuno.poster.network import Function

STATES = 256 << 20  # bytes of inner states that are kept without a second thought

Batch = Callable[[int], tuple[Tensor, Tensor]]
"""Inner step -> (patches [B, C, h, w], soft labels [B, K]), differentiable functions of the poster."""


@dataclass(frozen=True)
class Training:
    """What is differentiated: a network, its optimizer, its batches.

    Args:
        network: logits as a function of the parameters.
        shapes: shapes of the parameters.
        optimizer: of the inner loop.
        batch: see :data:`Batch`.
        noise: inner step -> a context in which the network draws the same numbers (dropout) whenever it is computed.
    """

    network: Function
    shapes: Sequence[torch.Size]
    optimizer: Optimizer
    batch: Batch
    noise: Callable[[int], AbstractContextManager[None]] = lambda step: nullcontext()

    def leaves(self, flat: Tensor) -> list[Tensor]:
        """The parameters in their shapes, as leaves that share the memory of ``flat``."""
        parts = flat.detach().split([shape.numel() for shape in self.shapes])
        return [part.view(shape).requires_grad_() for part, shape in zip(parts, self.shapes, strict=True)]

    def gradient(self, flat: Tensor, step: int, keep: bool) -> "Gradient":
        """The gradient of the inner loss at ``flat``; with ``keep`` it can be differentiated itself."""
        return self.gradient_of(flat, lambda: self.batch(step), step, keep)

    @torch.enable_grad()
    def gradient_of(
        self, flat: Tensor, batch: Callable[[], tuple[Tensor, Tensor]], step: int, keep: bool
    ) -> "Gradient":
        """The same for a batch."""
        leaves = self.leaves(flat)
        images, labels = batch()
        if not keep:
            images, labels = images.detach(), labels.detach()
        with self.noise(step):
            loss = F.cross_entropy(self.network(leaves, images), labels)
        # A parameter that the loss does not depend on has the gradient 0.
        grads = torch.autograd.grad(loss, leaves, create_graph=keep, materialize_grads=True)
        return Gradient(leaves, grads)

    def advance(self, state: State, step: int) -> State:
        """The state after a step, without a graph; the next call may write over it."""
        return self.optimizer.step(state, self.gradient(state[0], step, False).flat(), self.optimizer.rate(step))

    def retreat(
        self, state: State, step: int, after: State, totals: Sequence[Tensor], sources: Sequence[Tensor]
    ) -> State:
        """From the gradient of the outer loss by the state after a step to that by the state before it; that by the
        sources is added to ``totals``. The next call may write over what is returned."""
        return self.pull(state, self.gradient(state[0], step, True), step, after, totals, sources)

    def pull(
        self,
        state: State,
        gradient: "Gradient",
        step: int,
        after: State,
        totals: Sequence[Tensor],
        sources: Sequence[Tensor],
    ) -> State:
        """The same with the gradient at ``state``, whose graph is used up."""
        return self.pull_by(self.optimizer.rate(step), state, gradient, after, totals, sources)

    def pull_by(
        self,
        rate: float | Tensor,
        state: State,
        gradient: "Gradient",
        after: State,
        totals: Sequence[Tensor],
        sources: Sequence[Tensor],
    ) -> State:
        """The same at the rate of a step."""
        after, cotangent = self.optimizer.pull(state, gradient.flat(), rate, after)
        direct, found = gradient.pull(cotangent, sources)
        for total, grad in zip(totals, found, strict=True):
            if grad is not None:
                total += grad
        return (after[0] + direct, *after[1:])

    def kept(self, state: State) -> State:
        """A state that stays."""
        return state

    def walk(self, state: State, steps: Iterable[int]) -> State:
        """The state after the given steps, without a graph."""
        for step in steps:
            state = self.advance(state, step)
        return self.kept(state)


@dataclass(frozen=True)
class Gradient:
    """An inner gradient, perhaps with its graph."""

    leaves: Sequence[Tensor]
    grads: Sequence[Tensor]

    def flat(self) -> Tensor:
        """All of it as one vector, detached."""
        return torch.cat([grad.detach().reshape(-1) for grad in self.grads])

    def pull(self, cotangent: Tensor, sources: Sequence[Tensor]) -> tuple[Tensor, list[Tensor | None]]:
        """The gradient of <cotangent, self> by the parameters (one vector) and by the sources."""
        parts = cotangent.split([grad.numel() for grad in self.grads])
        used = [(grad, part.view_as(grad)) for part, grad in zip(parts, self.grads, strict=True) if grad.requires_grad]
        wanted = [*self.leaves, *sources]
        found = torch.autograd.grad([grad for grad, _ in used], wanted, [part for _, part in used], allow_unused=True)
        count = len(self.leaves)
        own = [
            torch.zeros_like(leaf) if grad is None else grad
            for leaf, grad in zip(self.leaves, found[:count], strict=True)
        ]
        return torch.cat([grad.reshape(-1) for grad in own]), list(found[count:])


def unroll(
    training: Training,
    parameters: Sequence[Tensor],
    before: int,
    window: int,
    outer: Callable[[Sequence[Tensor]], Tensor],
    sources: Sequence[Tensor],
    backend: Literal["reverse", "checkpointed"],
) -> tuple[Tensor, list[Tensor]]:
    """Trains ``before + window`` steps; the gradient goes through the last ``window`` (RaT-BPTT, arXiv 2311.07025).

    Args:
        training: see :class:`Training`.
        parameters: where the network starts.
        before: steps without gradient.
        window: steps with gradient; 0 gives zeros.
        outer: (trained parameters, leaves) -> scalar; it accumulates its gradient into their ``grad`` and returns its
            value, detached, so that it may work in pieces.
        sources: the leaves from which ``training.batch`` makes its batches.
        backend: see above.

    Returns:
        The outer loss, detached, and its gradient by each source.
    """
    optimizer, keep = training.optimizer, backend == "reverse"
    state = optimizer.begin(torch.cat([p.detach().reshape(-1) for p in parameters]))
    state = training.walk(state, range(before))
    end = before + window
    kept: dict[int, State] = {}
    graphs: dict[int, Gradient] = {}
    small = sum(part.nbytes for part in state) * window <= STATES
    stride = 1 if keep or small else isqrt(window - 1) + 1
    for step in range(before, end):
        if (step - before) % stride == 0:
            kept[step] = training.kept(state)
        if keep:
            graphs[step] = gradient = training.gradient(state[0], step, True)
            state = optimizer.step(state, gradient.flat(), optimizer.rate(step))
        else:
            state = training.advance(state, step)
    leaves = training.leaves(state[0])
    with torch.enable_grad():
        loss = outer(leaves)
    by_parameters = torch.cat([torch.zeros_like(p).view(-1) if p.grad is None else p.grad.view(-1) for p in leaves])
    after = (by_parameters, *(torch.zeros_like(part) for part in state[1:]))
    totals = [torch.zeros_like(source) for source in sources]
    for step in reversed(range(before, end)):
        if step not in kept:  # the states of this segment, from its start
            start = before + (step - before) // stride * stride
            for between in range(start, step):
                kept[between + 1] = training.walk(kept[between], (between,))
        state = kept.pop(step)
        if keep:
            after = training.pull(state, graphs.pop(step), step, after, totals, sources)
        else:
            after = training.retreat(state, step, after, totals, sources)
    return loss, totals


Work = Callable[[Tensor, Tensor, Sequence[Tensor]], tuple[Tensor, Sequence[Tensor]]]
"""(images, labels, those of the two that want a gradient), all leaves -> loss, detached, and its gradients."""


def precomputed_grad(images: Tensor, labels: Tensor, work: Work) -> Tensor:
    """The loss of ``work`` as a differentiable function of the patches [P, C, h, w] and their labels [P, K]."""
    return _Precomputed.apply(images, labels, work)  # pyright: ignore[reportReturnType]


class _Precomputed(torch.autograd.Function):
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
