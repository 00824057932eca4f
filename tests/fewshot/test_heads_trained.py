"""Classifiers that are trained: SGD against torch.optim with autograd, logistic regression against scikit-learn."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.fewshot.episodes import draw
from exuno.fewshot.heads import accuracies, logistic
from exuno.fewshot.heads.logistic import fit
from exuno.fewshot.heads.sgd import BATCH, Kind, order, start, train


def support(episodes: int, way: int, shot: int, wide: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(way)
    centres = torch.randn(episodes, way, 1, wide, generator=generator, dtype=dtype)
    return (centres + torch.randn(episodes, way, shot, wide, generator=generator, dtype=dtype)).flatten(1, 2)


def plainly(x: Tensor, way: int, episode: int, kind: Kind, seed: int, passes: int) -> tuple[Tensor, Tensor | None]:
    """One episode by autograd; features [n k, D]."""
    number, cosine = torch.tensor([episode]), kind == "cosine"
    labels = torch.arange(way).repeat_interleave(len(x) // way)
    drawn = start(seed, number, way, x.shape[1])[0].to(x)
    v = drawn[:, :-1].clone().requires_grad_()
    extra = (v.detach().norm(dim=1) if cosine else drawn[:, -1].clone()).requires_grad_()

    def weights() -> Tensor:
        return extra[:, None] * v / v.norm(dim=1, keepdim=True) if cosine else v

    optimizer = torch.optim.SGD([v, extra], lr=0.01, momentum=0.9, dampening=0.9, weight_decay=0.001)
    if cosine:
        x = x / (x.norm(dim=1, keepdim=True) + 1e-5)
    for turn in range(passes):
        for batch in order(seed, number, len(x), turn)[0].split(BATCH):
            optimizer.zero_grad()
            scores = 2 * F.linear(x[batch], weights()) if cosine else F.linear(x[batch], weights(), extra)
            F.cross_entropy(scores, labels[batch]).backward()
            optimizer.step()
    return weights().detach(), None if cosine else extra.detach()


@pytest.mark.parametrize("kind", ["linear", "cosine"])
@pytest.mark.parametrize(("way", "shot"), [(5, 1), (2, 3), (3, 4)])
def test_training_in_the_span_is_training(kind: Kind, way: int, shot: int):
    x = support(3, way, shot, 24)
    numbers = torch.tensor([0, 6, 7])
    for dtype, close in ((torch.float64, 1e-9), (torch.float32, 2e-5)):
        weights, bias = train(x.to(dtype), way, numbers, kind, 4, passes=60)
        for i in range(3):
            want, offset = plainly(x[i].to(dtype), way, int(numbers[i]), kind, 4, 60)
            torch.testing.assert_close(weights[i], want, rtol=close, atol=close)
            if bias is not None and offset is not None:
                torch.testing.assert_close(bias[i], offset, rtol=close, atol=close)


def test_three_hundred_and_one_passes_in_float32_stay_close():
    x = support(1, 3, 2, 32)
    for kind in ("linear", "cosine"):
        weights, _ = train(x.float(), 3, torch.tensor([5]), kind, 0)
        exact, _ = train(x, 3, torch.tensor([5]), kind, 0)
        want, _ = plainly(x[0].float(), 3, 5, kind, 0, 301)
        torch.testing.assert_close(weights[0], want, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(weights.double(), exact, rtol=1e-4, atol=1e-5)


def test_weights_and_batches_are_functions_of_seed_and_episode():
    numbers = torch.tensor([0, 3, 9])
    assert torch.equal(start(1, numbers, 5, 8)[1], start(1, torch.tensor([3]), 5, 8)[0])
    assert not torch.equal(start(1, numbers, 5, 8), start(2, numbers, 5, 8))
    assert float(start(1, torch.arange(50), 5, 16).abs().max()) == pytest.approx(0.25, abs=1e-3)
    first = order(1, numbers, 10, 0)
    assert torch.equal(first.sort(1).values, torch.arange(10).expand(3, 10))
    assert torch.equal(first[2:], order(1, torch.tensor([9]), 10, 0))
    assert not torch.equal(first, order(1, numbers, 10, 1))


def test_accuracy_of_a_trained_layer_is_that_of_its_scores():
    labels = np.repeat(np.arange(4), 20)
    features = support(1, 4, 20, 12)[0].float()
    chunks = list(draw(labels, 3, 2, 6, 3, chunk=2))
    for kind in ("linear", "cosine"):
        found = accuracies(features, labels, iter(chunks), kind, seed=5)
        for chunk in chunks:
            for i, (near, far) in enumerate(zip(chunk.support, chunk.query, strict=True), chunk.first):
                weights, bias = plainly(features[near.ravel()], 3, i, kind, 5, 301)
                own = torch.arange(3).repeat_interleave(6)
                scores = F.linear(features[far.ravel()], weights, bias)
                assert found[i] == pytest.approx((scores.argmax(1) == own).double().mean())


@pytest.mark.parametrize(
    ("way", "shot", "wide", "size"), [(5, 5, 64, 1), (5, 1, 100, 1), (2, 4, 30, 1), (3, 20, 8, 3), (4, 3, 40, 0.02)]
)
def test_logistic_regression_is_that_of_scikit_learn(way: int, shot: int, wide: int, size: float):
    from sklearn.linear_model import LogisticRegression

    x = support(2, way, shot, wide) * size
    weights, bias = fit(x.float(), way)
    probe = support(1, way, 20, wide)[0] * size
    for i in range(2):
        model = LogisticRegression(C=1, tol=1e-9, max_iter=5000)
        model.fit(x[i].float().double().numpy(), np.arange(way).repeat(shot))
        found = (probe @ weights[i].T + bias[i]).softmax(1).numpy()
        np.testing.assert_allclose(found, model.predict_proba(probe.numpy()), atol=1e-4)
        np.testing.assert_array_equal(found.argmax(1), model.predict(probe.numpy()))


def test_logistic_regression_of_equal_images():
    weights, bias = fit(torch.ones(2, 6, 4), 3)
    assert torch.allclose(weights, torch.zeros_like(weights), atol=1e-6)
    assert torch.allclose(bias, torch.zeros_like(bias), atol=1e-6)


def test_logistic_regression_that_does_not_converge_is_told(monkeypatch):
    monkeypatch.setattr(logistic, "_STEPS", 1)
    with pytest.raises(ExunoError, match="does not converge"):
        fit(support(1, 3, 2, 8), 3)
