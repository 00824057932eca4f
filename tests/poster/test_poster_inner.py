"""The functional optimizers against torch's, and their products with a Jacobian against autograd."""

import pytest
import torch
from plain_unroll import plain_step
from torch import Tensor

from exuno.poster.inner import Adam, Optimizer, Sgd, State, make_inner
from exuno.poster.options import Inner

SIZE = 6
OPTIMIZERS: list[Adam | Sgd] = [
    Adam(0.1),
    Adam(0.1, weight_decay=0.3),
    Adam(0.1, 0.3, beta1=0.5, beta2=0.8, eps=0.1),
    Sgd(0.1),
    Sgd(0.1, weight_decay=0.3),
    Sgd(0.1, 0.3, momentum=0.0),
]


def random(seed: int, count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(SIZE, dtype=torch.float64, generator=generator) for _ in range(count)]


def bowl(x: Tensor) -> Tensor:
    """A loss whose gradient depends on where one is."""
    return (torch.linspace(-2, 3, SIZE, dtype=torch.float64) * x.square() + x.sin()).sum()


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("name", ["adam", "sgd", "plain sgd"])
def test_steps_are_those_of_torch(name: str, decay: float) -> None:
    parameter = random(1, 1)[0].requires_grad_()
    ours: Optimizer
    if name == "adam":  # torch adds eps after the correction of the bias, so compare where it has no weight
        ours = Adam(0.05, decay, eps=1e-30)
        theirs: torch.optim.Optimizer = torch.optim.Adam([parameter], 0.05, eps=1e-30, weight_decay=decay)
    else:
        momentum = 0.9 if name == "sgd" else 0.0
        ours = Sgd(0.05, decay, momentum)
        theirs = torch.optim.SGD([parameter], 0.05, momentum, weight_decay=decay)
    state = ours.begin(parameter.detach().clone())
    for t in range(12):
        grad = torch.func.grad(bowl)(state[0])
        state = ours.step(state, grad, ours.rate(t))
        theirs.zero_grad()
        bowl(parameter).backward()
        theirs.step()
        torch.testing.assert_close(state[0], parameter.detach(), rtol=1e-12, atol=1e-13)


def test_epsilon_is_added_before_the_correction_of_the_bias() -> None:
    """Kingma and Ba, end of section 2: lr sqrt(1 - b2) / (1 - b1) m / (sqrt(v) + eps); after one step by hand."""
    start, grad = random(2, 2)
    m, v = 0.1 * grad, 0.001 * grad**2
    expected = start - 0.1 * 0.001**0.5 / 0.1 * m / (v.sqrt() + 0.05)
    found = Adam(0.1, eps=0.05).step(Adam(0.1).begin(start), grad, Adam(0.1).rate(0))
    torch.testing.assert_close(found[0], expected, rtol=1e-12, atol=0)


def anywhere(optimizer: Adam | Sgd, seed: int) -> tuple[State, Tensor, State]:
    """A state as it may be in the middle of a training, a gradient, cotangents of a state."""
    parameters, grad, first, second, *cotangents = random(seed, 7)
    state = (parameters, first, second.square() + 0.1)[: len(optimizer.begin(parameters))]
    return state, grad, tuple(cotangents[: len(state)])


@pytest.mark.parametrize("t", [0, 1, 7])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_pull_is_the_derivative_of_step(optimizer: Adam | Sgd, t: int) -> None:
    state, grad, after = anywhere(optimizer, 3 + t)
    leaves = tuple(part.clone().requires_grad_() for part in state)
    own = grad.clone().requires_grad_()
    stepped = plain_step(optimizer, leaves, own, t)
    for found, expected in zip(optimizer.step(state, grad, optimizer.rate(t)), stepped, strict=True):
        torch.testing.assert_close(found, expected.detach(), rtol=1e-12, atol=1e-13)
    wanted = torch.autograd.grad(stepped, [*leaves, own], after)
    before, by_grad = optimizer.pull(state, grad, optimizer.rate(t), after)
    for found, expected in zip([*before, by_grad], wanted, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_step_and_pull_leave_what_they_are_given(optimizer: Adam | Sgd) -> None:
    state, grad, after = anywhere(optimizer, 4)
    given = [*state, grad, *after]
    copies = [part.clone() for part in given]
    optimizer.step(state, grad, optimizer.rate(3))
    optimizer.pull(state, grad, optimizer.rate(3), after)
    assert all(torch.equal(part, copy) for part, copy in zip(given, copies, strict=True))


def test_a_parameter_that_was_never_used_passes_a_finite_gradient() -> None:
    parameters, grad, after, _ = random(5, 4)
    grad = grad * torch.tensor([1.0, 0, 1, 0, 1, 0])
    adam = Adam(0.1)
    before, by_grad = adam.pull(adam.begin(parameters), grad, adam.rate(0), (after, after.clone(), after.clone()))
    assert all(part.isfinite().all() for part in (*before, by_grad))
    unused = grad == 0
    assert torch.equal(before[0], after)
    # There the step is -rate m / eps, linear in the gradient.
    rate = 0.1 * 0.001**0.5 / 0.1
    expected = 0.1 * (after - rate / 1e-8 * after)
    torch.testing.assert_close(by_grad[unused], expected[unused], rtol=1e-9, atol=0)


def test_options_name_the_optimizer() -> None:
    assert make_inner(Inner(lr=0.2, weight_decay=0.1)) == Adam(0.2, 0.1)
    assert make_inner(Inner("sgd", 0.2, 0.7, 0.1)) == Sgd(0.2, 0.1, 0.7)
