"""The inner optimizers and the unrolling as one writes them down, for autograd to differentiate."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.poster.inner import Adam, Sgd, State
from exuno.poster.unroll import Training


def plain_step(optimizer: Adam | Sgd, state: State, grad: Tensor, t: int) -> State:
    """One step, without operations in place."""
    parameters, first, *second = state
    grad = grad + optimizer.weight_decay * parameters
    if isinstance(optimizer, Sgd):
        velocity = optimizer.momentum * first + grad
        return parameters - optimizer.lr * velocity, velocity
    b1, b2 = optimizer.beta1, optimizer.beta2
    m, v = b1 * first + (1 - b1) * grad, b2 * second[0] + (1 - b2) * grad**2
    rate = optimizer.lr * (1 - b2 ** (t + 1)) ** 0.5 / (1 - b1 ** (t + 1))
    return parameters - rate * m / (v.sqrt() + optimizer.eps), m, v


def plain_unroll(
    training: Training,
    parameters: Sequence[Tensor],
    before: int,
    window: int,
    outer: Callable[[Sequence[Tensor]], Tensor],
    sources: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor]]:
    """What ``unroll`` computes, by one graph of everything. ``outer`` returns its value with a graph."""
    shapes = [p.shape for p in parameters]

    def shaped(flat: Tensor) -> list[Tensor]:
        return [p.view(s) for p, s in zip(flat.split([s.numel() for s in shapes]), shapes, strict=True)]

    optimizer = training.optimizer
    assert isinstance(optimizer, Adam | Sgd)
    state = optimizer.begin(torch.cat([p.detach().reshape(-1) for p in parameters]))
    for step in range(before + window):
        flat = state[0] if state[0].requires_grad else state[0].requires_grad_()
        images, labels = training.batch(step)
        loss = F.cross_entropy(training.network(shaped(flat), images), labels)
        (grad,) = torch.autograd.grad(loss, flat, create_graph=True)
        state = plain_step(optimizer, (flat, *state[1:]), grad, step)
        if step < before:
            state = tuple(part.detach() for part in state)
    loss = outer(shaped(state[0]))
    found = torch.autograd.grad(loss, sources, allow_unused=True)
    return loss.detach(), [torch.zeros_like(s) if g is None else g for s, g in zip(sources, found, strict=True)]
