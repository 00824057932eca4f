"""RaT-BPTT with networks that draw numbers or look at the whole batch."""

import pytest
import torch
from torch import Tensor, nn

from exuno.poster.algorithms import rat_bptt as rat
from exuno.poster.augment import Augmentation
from exuno.poster.context import InnerLoopContext
from exuno.poster.network import fresh_network, seeded
from exuno.poster.options import Inner, Unroll

CLASSES = 3


class Noisy(nn.Sequential):
    """A network with dropout."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, CLASSES))


def noisy(seed: int) -> nn.Module:
    with seeded(seed):
        return Noisy().double()


def normalised(seed: int) -> nn.Module:
    return fresh_network("exuno:convnet_2_8-batch", CLASSES, 1, (8, 8), seed).double()


def gradient(network: object, backend: str, number: int = 2, adapt: int = 0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    images = torch.randn(6, 1, 8, 8, dtype=torch.float64).requires_grad_()
    labels = torch.eye(CLASSES, dtype=torch.float64)[torch.arange(6) % CLASSES]
    real, classes = torch.randn(20, 1, 8, 8, dtype=torch.float64), torch.arange(20) % CLASSES
    none, unroll = Augmentation("none"), Unroll(window=4, total=7, backend=backend, adapt=adapt)  # pyright: ignore
    context = InnerLoopContext(network, Inner(lr=0.01), unroll, none, none, 1)  # pyright: ignore[reportArgumentType]
    loss = rat.rat_bptt(context, images, labels, real, classes, number)
    loss.backward()
    assert images.grad is not None
    return loss.detach(), images.grad


def test_dropout_is_the_same_when_a_step_is_computed_again() -> None:
    for kept, anew in zip(gradient(noisy, "reverse"), gradient(noisy, "checkpointed"), strict=True):
        assert torch.equal(kept, anew)
    assert not torch.equal(gradient(noisy, "reverse")[0], gradient(noisy, "reverse", 3)[0])


def test_dropout_leaves_the_global_generator_alone() -> None:
    gradient(noisy, "checkpointed")
    after = torch.rand(3)
    gradient(normalised, "checkpointed")
    assert torch.equal(after, torch.rand(3))


@pytest.mark.parametrize("piece", [7, 250])
def test_a_batch_is_normalised_as_a_whole(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    whole = gradient(normalised, "checkpointed")
    monkeypatch.setattr(rat, "PIECE", piece)
    for one, other in zip(whole, gradient(normalised, "checkpointed"), strict=True):
        assert torch.equal(one, other)


def test_a_window_is_long_where_the_gradient_changes_most() -> None:
    norms = [5.0, 4.0, 3.5, 3.4, 3.4, 3.0, 2.9, 2.0, 2.0, 2.0]  # changes 0, 1, .5, .1, 0, .4, .1, .9, 0, 0
    lengths = [rat.adapted_window(norms, start, 12, 5) for start in range(10)]
    assert lengths == [7, 16, 14, 11, 7, 13, 11, 15, 7, 7]
    assert {rat.adapted_window(norms, start, 12, 0) for start in range(10)} == {12}


def test_the_norms_are_those_of_the_training_that_is_unrolled(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed, seen = gradient(noisy, "reverse"), []

    def window(norms: list[float], start: int, window: int, adapt: int) -> int:
        seen.append((norms, start, window, adapt))
        return window

    monkeypatch.setattr(rat, "adapted_window", window)
    for one, other in zip(fixed, gradient(noisy, "reverse", adapt=2), strict=True):
        assert torch.equal(one, other)  # to look at the training changes nothing in it
    ((norms, start, *rest),) = seen
    assert (len(norms), rest) == (7, [4, 2])
    assert 0 <= start <= 3
    assert len(set(norms)) == 7
    monkeypatch.setattr(rat, "adapted_window", lambda norms, start, window, adapt: window - adapt)
    assert not torch.equal(fixed[1], gradient(noisy, "reverse", adapt=2)[1])
    for kept, anew in zip(gradient(noisy, "reverse", adapt=2), gradient(noisy, "checkpointed", adapt=2), strict=True):
        assert torch.equal(kept, anew)
