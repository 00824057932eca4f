"""The gradient through a training: both back-ends, plain autograd, and the library ``higher``, on one problem."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from plain_unroll import plain_unroll
from torch import Tensor, nn

from exuno.data.poster.layout import Layout
from exuno.data.poster.patches import Canvas, array_labels
from exuno.engine.errors import ExunoError
from exuno.poster import unroll as module
from exuno.poster.algorithms import rat_bptt as rat
from exuno.poster.augment import Augmentation
from exuno.poster.context import InnerLoopContext
from exuno.poster.inner import Adam, Optimizer, Sgd
from exuno.poster.network import Function, as_function, fresh_network
from exuno.poster.options import Inner, Unroll
from exuno.poster.unroll import Training, unroll

LAYOUT = Layout(size=(12, 20), image=(8, 8), patch=(8, 8), patches=(3, 4), grid=(2, 3), area=(6, 7))
CLASSES, CHANNELS, WINDOW = 6, 2, 6
ADAM = Adam(0.01, eps=1e-6)
Backend = Literal["reverse", "checkpointed"]
Found = tuple[Tensor, list[Tensor]]


@dataclass
class Problem:
    """A poster of two channels and six classes with learned labels, augmented, and a real batch."""

    pixels: Tensor
    array: Tensor
    real: Tensor
    classes: Tensor
    context: InnerLoopContext
    first: int = 0
    """Number of the first batch."""

    def patches(self) -> tuple[Tensor, Tensor]:
        return Canvas(LAYOUT).patches(self.pixels), array_labels(self.array, LAYOUT)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        return self.context.batch(*self.patches(), self.first + step)

    def training(self, network: Function, parameters: Sequence[Tensor], optimizer: Optimizer) -> Training:
        return Training(network, [p.shape for p in parameters], optimizer, self.batch)

    @property
    def sources(self) -> list[Tensor]:
        return [self.pixels, self.array]


def problem(dtype: torch.dtype = torch.float64, spec: str = "exuno:convnet_2_8") -> Problem:
    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)

    def network(seed: int) -> nn.Module:
        return fresh_network(spec, CLASSES, CHANNELS, LAYOUT.image, seed).to(dtype)

    generator = torch.Generator().manual_seed(3)
    pixels, array, real = draw(CHANNELS, *LAYOUT.size), draw(CLASSES, 3, 4).abs() + 0.1, draw(20, CHANNELS, 8, 8)
    inner = Inner(batch=10, augment="all:flip_rotate")
    context = InnerLoopContext(
        network, inner, Unroll(window=WINDOW, total=9), Augmentation("none"), Augmentation(inner.augment), 1
    )
    return Problem(pixels.requires_grad_(), array.requires_grad_(), real, torch.arange(20) % CLASSES, context)


def gradient(
    given: Problem,
    optimizer: Optimizer,
    backend: Backend = "checkpointed",
    before: int = 0,
    window: int = WINDOW,
    net: nn.Module | None = None,
) -> Found:
    """By exuno."""
    parameters, network = as_function((net or given.context.fresh(0)).train())

    def outer(trained: Sequence[Tensor]) -> Tensor:
        loss = F.cross_entropy(network(trained, given.real), given.classes)
        loss.backward(inputs=list(trained))
        return loss.detach()

    training = given.training(network, parameters, optimizer)
    return unroll(training, parameters, before, window, outer, given.sources, backend)


def plain(
    given: Problem, optimizer: Optimizer, before: int = 0, window: int = WINDOW, net: nn.Module | None = None
) -> Found:
    """By one graph of everything; biases of convolutions before an instance normalisation stay as they are."""
    net = (net or given.context.fresh(0)).train()
    named = {n: p.detach() for n, p in net.named_parameters() if p.requires_grad and not is_lost(n, net)}

    def network(parameters: Sequence[Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(net, dict(zip(named, parameters, strict=True)), (x,))

    training = given.training(network, list(named.values()), optimizer)

    def outer(trained: Sequence[Tensor]) -> Tensor:
        return F.cross_entropy(network(trained, given.real), given.classes)

    return plain_unroll(training, list(named.values()), before, window, outer, given.sources)


def is_lost(name: str, net: nn.Module) -> bool:
    """Whether a parameter is the bias of a convolution before an instance normalisation."""
    owner, _, kind = name.rpartition(".")
    normed = any(isinstance(part, nn.GroupNorm) for part in net.modules())
    return kind == "bias" and isinstance(net.get_submodule(owner), nn.Conv2d) and normed


def by_higher(given: Problem, optimizer: Adam | Sgd, before: int = 0, window: int = WINDOW) -> Found:
    """By ``higher``, which starts from exuno's state after ``before`` steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it was written for older Pythons
        higher: Any = __import__("higher")
    net = given.context.fresh(0).train()
    parameters, network = as_function(net)
    training = given.training(network, parameters, optimizer)
    state = training.walk(optimizer.begin(torch.cat([p.reshape(-1) for p in parameters])), range(before))
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(not is_lost(name, net))
    trained = [p for p in net.parameters() if p.requires_grad]
    if isinstance(optimizer, Adam):
        theirs: torch.optim.Optimizer = torch.optim.Adam(trained, optimizer.lr, eps=optimizer.eps)
        names = ("exp_avg", "exp_avg_sq")
    else:
        theirs = torch.optim.SGD(trained, optimizer.lr, optimizer.momentum, weight_decay=optimizer.weight_decay)
        names = ("momentum_buffer",)
    flat = [part.split([p.numel() for p in trained]) for part in state]
    for i, parameter in enumerate(trained):
        parameter.data = flat[0][i].view_as(parameter).clone()
        if before:
            moments = {name: part[i].view_as(parameter) for name, part in zip(names, flat[1:], strict=True)}
            theirs.state[parameter] = {"step": before, **moments}
    with higher.innerloop_ctx(net, theirs) as (patched, differentiable):
        for step in range(before, before + window):
            images, labels = given.batch(step)
            differentiable.step(F.cross_entropy(patched(images), labels))
        loss = F.cross_entropy(patched(given.real), given.classes)
        return loss.detach(), list(torch.autograd.grad(loss, given.sources))


def distance(found: Found, expected: Found) -> float:
    """The largest relative difference of the loss and of the gradients by pixels and labels."""
    pairs = zip([found[0], *found[1]], [expected[0], *expected[1]], strict=True)
    each = [(a.double() - b.double()).norm() / b.double().norm() for a, b in pairs]
    return float(torch.stack(each).max())  # nan if any is


def equal(found: Found, expected: Found) -> bool:
    return all(torch.equal(a, b) for a, b in zip([found[0], *found[1]], [expected[0], *expected[1]], strict=True))


@pytest.mark.parametrize("optimizer", [ADAM, Adam(0.01, 0.1), Sgd(0.1, 5e-4)], ids=repr)
@pytest.mark.parametrize(("before", "window"), [(0, 1), (0, 6), (3, 5)])
def test_both_back_ends_compute_what_autograd_computes(optimizer: Optimizer, before: int, window: int) -> None:
    given = problem()
    kept = gradient(given, optimizer, "reverse", before, window)
    again = gradient(given, optimizer, "checkpointed", before, window)
    assert equal(kept, again)
    assert distance(kept, plain(given, optimizer, before, window)) < 1e-9
    assert all(grad.norm() > 1e-6 for grad in kept[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("window", [1, 2, 5, 9, 10])
def test_few_kept_states_give_the_same_bits(monkeypatch: pytest.MonkeyPatch, window: int, dtype: torch.dtype) -> None:
    given = problem(dtype)
    expected = gradient(given, ADAM, "reverse", 2, window)
    assert equal(gradient(given, ADAM, "checkpointed", 2, window), expected)
    monkeypatch.setattr(module, "STATES", 0)
    assert equal(gradient(given, ADAM, "checkpointed", 2, window), expected)


def test_what_the_back_ends_cost_in_passes_and_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each keeps what it says: all graphs, or one; all states, or about twice the square root."""
    alive: dict[str, int] = {}
    calls: list[bool] = []
    original = Training.gradient

    def spy(self: Training, flat: Tensor, step: int, keep: bool) -> Any:
        calls.append(keep)
        return original(self, flat, step, keep)

    monkeypatch.setattr(Training, "gradient", spy)
    for name, backend, states in [
        ("reverse", "reverse", 1),
        ("all", "checkpointed", 1 << 40),
        ("few", "checkpointed", 0),
    ]:
        monkeypatch.setattr(module, "STATES", states)
        calls.clear()
        gradient(problem(), ADAM, backend, before=2, window=9)  # pyright: ignore[reportArgumentType]
        alive[name] = len(calls)
        assert sum(calls) == 9
        if backend == "reverse":
            assert calls == [False] * 2 + [True] * 9
    # Twice each step of the window; where few states are kept, those between their places once more.
    assert alive == {"reverse": 11, "all": 2 + 18, "few": 2 + 18 + 6}


@pytest.mark.parametrize(
    ("dtype", "before", "limit"), [(torch.float64, 0, 1e-9), (torch.float64, 20, 1e-9), (torch.float32, 20, 1e-5)]
)
def test_higher_computes_the_same(dtype: torch.dtype, before: int, limit: float) -> None:
    """Adam inside, learned labels, augmentation. In float32 after a warm-up: see the next test."""
    given = problem(dtype)
    expected = by_higher(given, Adam(0.01), before)
    for backend in ("reverse", "checkpointed"):
        assert distance(gradient(given, Adam(0.01), backend, before), expected) < limit


def test_a_float32_gradient_is_as_good_as_the_first_steps_of_adam_allow() -> None:
    """Those divide a gradient by its own size, and the derivative of that is ill conditioned where it is small: any
    float32 gradient is some 1e-4 off there, which no test can hold to a number, and 1e-6 later or where epsilon is
    large."""
    single, double = problem(torch.float32), problem()

    def error(optimizer: Adam, before: int) -> float:
        return distance(gradient(single, optimizer, before=before), gradient(double, optimizer, before=before))

    assert error(Adam(0.01), 20) < 1e-5
    assert error(Adam(0.01, eps=1e-4), 0) < 1e-5


def test_a_gradient_that_is_exactly_zero_does_not_make_nan() -> None:
    """A channel that is black everywhere: its weights have no gradient, and the root in Adam no derivative. It happens
    to the biases that normalisation removes as well, whose gradient is rounding noise; exuno drops those."""
    given = problem()
    given.pixels = (given.pixels.detach() * torch.tensor([1.0, 0]).view(2, 1, 1)).requires_grad_()
    given.context = replace(given.context, synthetic=Augmentation("none"))
    assert not plain(given, Adam(0.01))[1][0].isfinite().all()
    assert all(
        grad.isfinite().all()
        for backend in ("reverse", "checkpointed")
        for grad in gradient(given, Adam(0.01), backend)[1]
    )
    parameters, _ = as_function(given.context.fresh(0))
    assert [p.ndim for p in parameters] == [4, 1, 1, 4, 1, 1, 2, 1]


def test_higher_computes_the_same_with_sgd_and_another_network() -> None:
    for spec in ("exuno:convnet_2_8", "exuno:convnet_1_4-none"):
        given = problem(spec=spec)
        optimizer = Sgd(0.1, 5e-4)
        assert distance(gradient(given, optimizer), by_higher(given, optimizer)) < 1e-9


@pytest.mark.parametrize("spec", ["exuno:resnet8", "exuno:convnet_2_8-batch", "exuno:convnet_1_4-none"])
def test_networks_without_a_form_of_their_own(spec: str) -> None:
    given = problem(spec=spec)
    optimizer = Sgd(0.1) if "resnet" in spec else ADAM  # some of its gradients are exactly 0, see above
    kept = gradient(given, optimizer, "reverse", 1, 3)
    assert equal(gradient(given, optimizer, "checkpointed", 1, 3), kept)
    assert distance(kept, plain(given, optimizer, 1, 3)) < 1e-8


def test_a_network_of_tanh_with_frozen_and_unused_parameters() -> None:
    class Odd(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Conv2d(CHANNELS, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(108, CLASSES))
            self.unused = nn.Parameter(torch.ones(5))
            self.scale = nn.Parameter(torch.tensor(2.0), requires_grad=False)

        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input) * self.scale

    given = problem()
    net = Odd().double()
    kept = gradient(given, ADAM, "reverse", 1, 4, net)
    assert equal(gradient(given, ADAM, "checkpointed", 1, 4, net), kept)
    net.unused.requires_grad_(False)
    assert distance(kept, plain(given, ADAM, 1, 4, net=net)) < 1e-9


def test_no_window_gives_no_gradient() -> None:
    given = problem()
    loss, found = gradient(given, ADAM, before=3, window=0)
    assert loss.isfinite()
    assert not any(grad.any() for grad in found)


def test_the_networks_of_a_training_stay_as_they_were() -> None:
    given = problem()
    net = given.context.fresh(0)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    gradient(given, ADAM, net=net)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert given.pixels.grad is None


@pytest.mark.parametrize("backend", ["reverse", "checkpointed"])
def test_rat_bptt_is_that_gradient_at_a_random_moment(monkeypatch: pytest.MonkeyPatch, backend: Backend) -> None:
    """Through autograd's own interface, the real batch in pieces of uneven size."""
    given, number = problem(), 4
    given.context = replace(given.context, unroll=replace(given.context.unroll, backend=backend, least=1))
    monkeypatch.setattr(rat, "PIECE", 7)
    loss = rat.rat_bptt(given.context, *given.patches(), given.real, given.classes, number)
    found = torch.autograd.grad(3 * loss, given.sources)
    before = rat.burn_in(1, 3, 1, number)
    shifted = replace(given, first=number * 9)
    expected = plain(shifted, Adam(1e-3), before, net=given.context.fresh(number))
    assert distance((loss.detach(), [grad / 3 for grad in found]), expected) < 1e-7


def test_dropout_is_the_same_whenever_a_step_is_computed() -> None:
    def network(seed: int) -> nn.Module:
        net = fresh_network("exuno:convnet_1_4-none", CLASSES, CHANNELS, LAYOUT.image, seed)
        return nn.Sequential(nn.Dropout(0.3), net).double()

    given = problem()
    found = []
    for backend in ("reverse", "checkpointed", "checkpointed"):
        options = replace(given.context.unroll, backend=backend, least=2)
        context = replace(given.context, network=network, unroll=options)
        torch.manual_seed(len(found))
        loss = rat.rat_bptt(context, *given.patches(), given.real, given.classes, 0)
        found.append((loss.detach(), list(torch.autograd.grad(loss, given.sources))))
    assert equal(found[0], found[1])
    assert equal(found[0], found[2])


def test_rat_bptt_with_fixed_labels_asks_for_no_gradient_of_them() -> None:
    given = problem()
    images, labels = given.patches()
    loss = rat.rat_bptt(given.context, images, labels.detach(), given.real, given.classes, 0)
    (alone,) = torch.autograd.grad(loss, given.pixels)
    both = rat.rat_bptt(given.context, *given.patches(), given.real, given.classes, 0)
    assert torch.equal(alone, torch.autograd.grad(both, given.pixels)[0])


def test_the_warm_up_is_uniform_and_a_function_of_its_number() -> None:
    drawn = [rat.burn_in(2, 6, 0, number) for number in range(2000)]
    assert drawn == [rat.burn_in(2, 6, 0, number) for number in range(2000)]
    assert set(drawn) == {2, 3, 4, 5, 6}
    assert all(330 < drawn.count(value) < 470 for value in range(2, 7))
    assert drawn != [rat.burn_in(2, 6, 1, number) for number in range(2000)]
    assert rat.burn_in(0, 0, 0, 0) == 0
    with pytest.raises(ExunoError, match="leaves no room"):
        rat.burn_in(3, 2, 0, 0)


def test_each_inner_run_has_a_network_and_batches_of_its_own() -> None:
    given = problem()
    losses = [
        rat.rat_bptt(given.context, *given.patches(), given.real, given.classes, number).item() for number in (0, 0, 1)
    ]
    assert losses[0] == losses[1] != losses[2]
