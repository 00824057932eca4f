"""Inner steps that are recorded and replayed give the gradient of those that are not."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exuno.engine.graph import Recordings
from exuno.poster import unroll as module
from exuno.poster.algorithms import rat_bptt as rat
from exuno.poster.algorithms.gradient_matching import gradient_matching
from exuno.poster.algorithms.rat_bptt import in_pieces, rat_bptt
from exuno.poster.augment import Augmentation
from exuno.poster.context import Algorithm, InnerLoopContext, Pieces
from exuno.poster.network import fresh_network
from exuno.poster.options import Inner, Unroll
from exuno.poster.recorded import RecordedSteps
from tape import Broken, Eager, Tape

CLASSES = 3
ADAM, SGD = Inner(lr=0.01, batch=5), Inner("sgd", lr=0.05, weight_decay=0.01)


def network(seed: int) -> nn.Module:
    return fresh_network("exuno:convnet_2_4", CLASSES, 1, (8, 8), seed).double()


def batched(seed: int) -> nn.Module:
    return fresh_network("exuno:convnet_2_4-batch", CLASSES, 1, (8, 8), seed).double()


def outer_steps(recorder: Any, algorithm: Algorithm, inner: Inner, net: Any = network, learned: bool = True) -> Any:
    """Losses and gradients of some outer steps on a poster that changes, and how many recordings were made."""
    shelf = None if recorder is None else RecordedSteps(Recordings(recorder, lambda line: None))
    augment = Augmentation("flip_rotate")
    context = InnerLoopContext(net, inner, Unroll(window=4, total=9), Augmentation("none"), augment, 1, shelf)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(6, 1, 8, 8, dtype=torch.float64, generator=generator).requires_grad_()
    labels = torch.rand(6, CLASSES, dtype=torch.float64, generator=generator).requires_grad_(learned)
    real, classes = torch.randn(20, 1, 8, 8, dtype=torch.float64, generator=generator), torch.arange(20) % CLASSES
    found: list[Tensor] = []
    for number in range(4):
        loss = algorithm(context, images, labels, real, classes, number)
        loss.backward()
        for leaf in (images, labels):
            if leaf.grad is not None:
                found.append(leaf.grad)
                with torch.no_grad():
                    leaf -= 0.1 * leaf.grad
                leaf.grad = None
        found.append(loss.detach())
    return found, 0 if shelf is None else shelf.recordings.made


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("inner", [ADAM, SGD])
@pytest.mark.parametrize("algorithm", [rat_bptt, gradient_matching])
def test_replayed_inner_steps_are_the_steps(algorithm: Algorithm, inner: Inner, learned: bool) -> None:
    replayed, made = outer_steps(Tape(), algorithm, inner, learned=learned)
    stepped, _ = outer_steps(Eager(), algorithm, inner, learned=learned)
    plain, _ = outer_steps(None, algorithm, inner, learned=learned)
    assert made >= (4 if algorithm is rat_bptt else 2)  # there and back, flipped and turned
    for one, other, expected in zip(replayed, stepped, plain, strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-8)  # a rate is rounded to float32


def test_states_that_are_computed_again_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, _ = outer_steps(Tape(), rat_bptt, ADAM)
    monkeypatch.setattr(module, "STATES", 0)
    for one, other in zip(outer_steps(Tape(), rat_bptt, ADAM)[0], kept, strict=True):
        assert torch.equal(one, other)


def test_a_recording_that_fails_leaves_the_steps() -> None:
    failed, made = outer_steps(Broken(), rat_bptt, ADAM)
    assert made == 0
    for one, other in zip(failed, outer_steps(Eager(), rat_bptt, ADAM)[0], strict=True):
        assert torch.equal(one, other)


def test_networks_with_a_state_are_not_recorded() -> None:
    found, made = outer_steps(Tape(), rat_bptt, ADAM, batched)
    assert made == 0
    for one, other in zip(found, outer_steps(None, rat_bptt, ADAM, batched)[0], strict=True):
        assert torch.equal(one, other)


def test_pieces_shrink_until_the_memory_holds_them_and_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere(torch.Tensor):
        """A tensor that says it is on a GPU."""

        device = torch.device("cuda")  # pyright: ignore[reportAssignmentType]

    tried: list[int] = []
    trained = torch.zeros(3).as_subclass(Elsewhere)

    def loss(piece: int, parameters: Any) -> Tensor:
        tried.append(piece)
        assert parameters[0].grad is None
        parameters[0].grad = torch.ones(3)
        if piece > 30:
            raise torch.OutOfMemoryError
        return torch.tensor(1.0)

    pieces = Pieces()
    for _ in range(2):
        trained.grad = None
        in_pieces(pieces, loss, [trained], 200)
    assert tried == [200, 100, 50, 25, 25]
    tried.clear()
    trained = torch.zeros(3)
    in_pieces(Pieces(), loss, [trained], 10)
    assert tried == [rat.PIECE, 125, 63, 32, 16]
