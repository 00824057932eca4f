"""The optimizers of the inner loop as functions, each with its vector-Jacobian product.

All parameters of a network are one flat vector, so a step is a handful of operations whatever the network. A state is a
tuple of such vectors, the parameters first.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from exuno.poster.options import Inner

State = tuple[Tensor, ...]


class Optimizer(Protocol):
    """A differentiable optimizer."""

    def begin(self, parameters: Tensor) -> State: ...

    def rate(self, t: int) -> float:
        """What step ``t`` = 0, 1, … multiplies its direction by: all that depends on ``t``."""
        ...

    def step(self, state: State, grad: Tensor, rate: float | Tensor) -> State:
        """The state after a step with the gradient of the loss at ``state``; a rate on the device is for a step that is
        recorded, and gives the same up to rounding."""
        ...

    def pull(self, state: State, grad: Tensor, rate: float | Tensor, after: State) -> tuple[State, Tensor]:
        """From the gradient of the outer loss by the state *after* a step to those by the state before (with the
        gradient of the loss held fixed) and by the gradient of the loss."""
        ...


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, ICLR 2015) in the form at the end of its section 2: epsilon is added to sqrt(v) before the
    bias correction, as in the library ``higher``, which the published code uses."""

    lr: float
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def begin(self, parameters: Tensor) -> State:
        return parameters, torch.zeros_like(parameters), torch.zeros_like(parameters)

    def rate(self, t: int) -> float:
        return self.lr * (1 - self.beta2 ** (t + 1)) ** 0.5 / (1 - self.beta1 ** (t + 1))

    def _moments(self, state: State, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parameters, m, v = state
        if self.weight_decay:
            grad = grad.add(parameters, alpha=self.weight_decay)
        return grad, m.lerp(grad, 1 - self.beta1), (v * self.beta2).addcmul_(grad, grad, value=1 - self.beta2)

    def step(self, state: State, grad: Tensor, rate: float | Tensor) -> State:
        _, m, v = self._moments(state, grad)
        root = v.sqrt().add_(self.eps)
        if isinstance(rate, Tensor):
            return state[0] - rate * m / root, m, v
        return state[0].addcdiv(m, root, value=-rate), m, v

    def pull(self, state: State, grad: Tensor, rate: float | Tensor, after: State) -> tuple[State, Tensor]:
        grad, m, v = self._moments(state, grad)
        root = v.sqrt()
        scaled = after[0] * -rate / (root + self.eps)
        by_m = after[1] + scaled
        # The square root has no derivative at 0, where the numerator is 0 as well: a parameter that was never used.
        by_v = after[2] - torch.where(root > 0, scaled * m / (root + self.eps) / (2 * root), 0.0)
        by_grad = by_m.mul(1 - self.beta1).addcmul_(by_v, grad, value=2 * (1 - self.beta2))
        by_parameters = after[0].add(by_grad, alpha=self.weight_decay) if self.weight_decay else after[0]
        return (by_parameters, by_m.mul_(self.beta1), by_v.mul_(self.beta2)), by_grad


@dataclass(frozen=True)
class Sgd:
    """Gradient descent with momentum and weight decay, as in torch."""

    lr: float
    weight_decay: float = 0.0
    momentum: float = 0.9

    def begin(self, parameters: Tensor) -> State:
        return parameters, torch.zeros_like(parameters)

    def rate(self, t: int) -> float:
        return self.lr

    def step(self, state: State, grad: Tensor, rate: float | Tensor) -> State:
        parameters, velocity = state
        velocity = (velocity * self.momentum).add_(grad).add_(parameters, alpha=self.weight_decay)
        return parameters.add(velocity, alpha=-self.lr), velocity

    def pull(self, state: State, grad: Tensor, rate: float | Tensor, after: State) -> tuple[State, Tensor]:
        by_velocity = after[1].add(after[0], alpha=-self.lr)
        return (after[0].add(by_velocity, alpha=self.weight_decay), by_velocity * self.momentum), by_velocity


def make_inner(inner: Inner) -> Optimizer:
    """The optimizer that the options name."""
    if inner.name == "adam":
        return Adam(inner.lr, inner.weight_decay)
    return Sgd(inner.lr, inner.weight_decay, inner.momentum)
