"""Prototypes tuned in the span of the support, against gradient descent by autograd on the weights themselves."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.fewshot.heads import Support, learn
from exuno.fewshot.heads.tuned import RATE, SCALE, STEPS, fit


def plainly(x: Tensor, own: Tensor, way: int, steps: int) -> Tensor:
    """One episode, features [m, D]."""
    weights = F.normalize(torch.stack([x[own == label].mean(0) for label in range(way)]), dim=1)
    x = F.normalize(x, dim=1)
    for _ in range(steps):
        weights = weights.clone().requires_grad_()
        loss = F.cross_entropy(SCALE * x @ F.normalize(weights, dim=1).T, own)
        (grad,) = torch.autograd.grad(loss, weights)
        weights = F.normalize(weights.detach() - RATE * grad, dim=1)
    return weights.detach()


@pytest.mark.parametrize(("way", "shot"), [(5, 1), (2, 4), (3, 3)])
@pytest.mark.parametrize("steps", [0, 1, STEPS])
def test_tuning_in_the_span_is_tuning(way: int, shot: int, steps: int) -> None:
    x = 1 + torch.randn(3, way * shot, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    own = torch.arange(way).repeat_interleave(shot)
    found = fit(x, way, steps=steps)
    for episode, weights in zip(x, found, strict=True):
        torch.testing.assert_close(weights, plainly(episode, own, way, steps))
    torch.testing.assert_close(fit(x.float(), way, steps=steps), found.float(), atol=1e-4, rtol=1e-4)


def test_classes_of_different_numbers_of_images() -> None:
    x = torch.randn(6, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    own = torch.tensor([0, 2, 1, 2, 2, 0])
    queries = torch.randn(9, 12, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = (SCALE * F.normalize(queries, dim=1) @ plainly(x, own, 3, STEPS).T).softmax(1)
    torch.testing.assert_close(learn("tuned", Support(x, own, 3))(queries), expected)


def test_tuning_raises_the_chance_of_the_support() -> None:
    x = 2 + torch.randn(4, 10, 30, generator=torch.Generator().manual_seed(3))
    own = torch.arange(5).repeat_interleave(2)

    def loss(steps: int) -> Tensor:
        scores = SCALE * torch.bmm(F.normalize(x, dim=2), fit(x, 5, steps=steps).transpose(1, 2))
        return F.cross_entropy(scores.flatten(0, 1), own.repeat(4))

    assert loss(0) > loss(STEPS) > loss(4 * STEPS)


def test_features_of_nothing_stay_finite() -> None:
    assert fit(torch.zeros(2, 4, 8), 2).isfinite().all()
