"""Distribution and gradient matching against the papers' formulae, written anew for hard labels."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exuno.engine.errors import ExunoError
from exuno.poster.algorithms.distribution_matching import distribution_matching
from exuno.poster.algorithms.gradient_matching import gradient_matching
from exuno.poster.algorithms.rat_bptt import burn_in
from exuno.poster.augment import Augmentation
from exuno.poster.context import Algorithm, InnerLoopContext
from exuno.poster.network import fresh_network
from exuno.poster.options import Inner, Unroll

CLASSES = 4
BOTH = pytest.mark.parametrize("algorithm", [distribution_matching, gradient_matching])


def context(spec: str = "exuno:convnet_2_8", **changes: object) -> InnerLoopContext:
    def network(seed: int) -> nn.Module:
        return fresh_network(spec, CLASSES, 1, (8, 8), seed).double()

    plain = Augmentation("none")
    made = InnerLoopContext(network, Inner(lr=0.01, augment="none"), Unroll(window=1, total=3), plain, plain, 5)
    return replace(made, **changes)  # pyright: ignore[reportArgumentType]


def images(count: int, seed: int) -> Tensor:
    return torch.randn(count, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def one_hot(classes: Tensor) -> Tensor:
    return F.one_hot(classes, CLASSES).double()


PATCHES, REAL = images(10, 1).requires_grad_(), images(24, 2)
OWN, CLASS = torch.arange(10) % CLASSES, torch.arange(24) % 3  # the real batch lacks class 3


def test_hard_labels_give_the_loss_of_distribution_matching() -> None:
    """Equation 6: sum over classes of |mean features of real images - of synthetic ones|^2."""
    given = context()
    net = given.fresh(7)
    assert isinstance(net.forward_features, Callable)
    expected = 0.0
    for label in range(3):
        real, own = (
            net.forward_features(x).flatten(1).mean(0) for x in (REAL[CLASS.eq(label)], PATCHES[OWN.eq(label)])
        )
        expected += (real - own).square().sum().item()
    found = distribution_matching(given, PATCHES, one_hot(OWN), REAL, CLASS, 7)
    assert found.item() == pytest.approx(expected, rel=1e-10)


def test_hard_labels_give_the_loss_of_gradient_matching() -> None:
    """Equations 9 and 10: sum over classes, layers and outputs of 1 - cos, at a network trained on the patches."""
    given, number = context(), 3
    net = given.fresh(number).train()
    optimizer = torch.optim.Adam(net.parameters(), 0.01, eps=1e-12)
    before = burn_in(0, 3, 5, number)
    assert before > 0
    for _ in range(before):
        optimizer.zero_grad()
        F.cross_entropy(net(PATCHES.detach()), OWN).backward()
        optimizer.step()
    weights = [p for p in net.parameters() if p.ndim > 1]
    expected = 0.0
    for label in range(3):
        both = [
            torch.autograd.grad(F.cross_entropy(net(x), y), weights)
            for x, y in ((REAL[CLASS.eq(label)], CLASS[CLASS.eq(label)]), (PATCHES[OWN.eq(label)], OWN[OWN.eq(label)]))
        ]
        for real, own in zip(*both, strict=True):
            for a, b in zip(real.flatten(1), own.flatten(1), strict=True):
                expected += (1 - a @ b / a.norm() / b.norm()).item()
    found = gradient_matching(given, PATCHES, one_hot(OWN), REAL, CLASS, number)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@BOTH
def test_equal_distributions_have_no_loss(algorithm: Algorithm) -> None:
    same = algorithm(context(), REAL.clone().requires_grad_(), one_hot(CLASS), REAL, CLASS, 1).item()
    other = algorithm(context(), PATCHES, one_hot(OWN), REAL, CLASS, 1).item()
    assert abs(same) < 1e-9
    assert other > 0.01


@BOTH
def test_following_the_gradient_lowers_the_loss(algorithm: Algorithm) -> None:
    patches, labels = PATCHES.detach().clone().requires_grad_(), (one_hot(OWN) * 0.7 + 0.075).requires_grad_()
    given = context(unroll=Unroll(window=1, total=0))  # what the training before does to the loss is not followed
    loss = algorithm(given, patches, labels, REAL, CLASS, 1)
    by_patches, by_labels = torch.autograd.grad(loss, [patches, labels])
    assert by_patches.isfinite().all()
    assert by_labels.isfinite().all()
    assert by_patches.flatten(1).any(1).all(), "a patch without a gradient"
    step = 1e-7
    for image, label, grad in (
        (patches - step * by_patches, labels, by_patches),
        (patches, labels - step * by_labels, by_labels),
    ):
        lower = algorithm(given, image, label, REAL, CLASS, 1).item()
        expected = step * grad.square().sum().item()
        assert loss.item() - lower == pytest.approx(expected, rel=1e-3)


@BOTH
def test_the_loss_is_a_function_of_its_number(algorithm: Algorithm) -> None:
    given = context(synthetic=Augmentation("flip_rotate"), inner=Inner(batch=6))
    losses = [algorithm(given, PATCHES, one_hot(OWN), REAL, CLASS, number).item() for number in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    other = algorithm(replace(given, seed=6), PATCHES, one_hot(OWN), REAL, CLASS, 1).item()
    assert other != losses[0]


@BOTH
def test_a_class_that_only_one_side_has_does_not_count(algorithm: Algorithm) -> None:
    without, given = OWN != 3, context(unroll=Unroll(window=1, total=0))
    found = algorithm(given, PATCHES, one_hot(OWN), REAL, CLASS, 1)
    least = algorithm(given, PATCHES[without], one_hot(OWN[without]), REAL, CLASS, 1)
    assert found.item() == pytest.approx(least.item(), rel=1e-9)
    alone = CLASS > 0
    fewer = algorithm(
        context(unroll=Unroll(window=1, total=0)),
        PATCHES[OWN == 0],
        one_hot(OWN[OWN == 0]),
        REAL[alone],
        CLASS[alone],
        1,
    )
    assert fewer.item() == 0


@pytest.mark.parametrize("spec", ["exuno:resnet8", "exuno:convnet_1_4-none"])
@BOTH
def test_other_networks(algorithm: Algorithm, spec: str) -> None:
    patches = PATCHES.detach().clone().requires_grad_()
    algorithm(context(spec), patches, one_hot(OWN), REAL, CLASS, 1).backward()
    assert patches.grad is not None
    assert patches.grad.isfinite().all()
    assert patches.grad.any()


def test_distribution_matching_needs_features() -> None:
    def network(_: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES)).double()

    with pytest.raises(ExunoError, match="features"):
        distribution_matching(context(network=network), PATCHES, one_hot(OWN), REAL, CLASS, 1)
    assert gradient_matching(context(network=network), PATCHES, one_hot(OWN), REAL, CLASS, 1).isfinite()


def test_gradient_matching_leaves_a_parameter_without_use_alone() -> None:
    class Odd(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Flatten(), nn.Linear(64, CLASSES))
            self.unused = nn.Parameter(torch.ones(5))

    loss = gradient_matching(context(network=lambda _: Odd().double()), PATCHES, one_hot(OWN), REAL, CLASS, 1)
    assert loss.isfinite()
