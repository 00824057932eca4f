"""Training from a poster and testing it."""

import numpy as np
import pytest
import torch
from torch import nn

from exuno.engine.errors import ExunoError
from exuno.engine.progress import ProgressBar
from exuno.poster.network import fresh_network, seeded
from exuno.poster.options import Inner
from exuno.poster.protocol import batch_size, subset, train, train_and_test

CPU = torch.device("cpu")
PLAIN = Inner(augment="none")


def stripes(count: int, noise: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    """Horizontal and vertical stripes, noisy: [N, 1, 8, 8] and labels [N]."""
    labels = torch.arange(count) % 2
    wave = torch.tensor([1.0, -1.0]).repeat(4)
    images = torch.where(labels[:, None, None] == 0, wave[:, None], wave[None])[:, None].expand(-1, 1, 8, 8)
    return images + noise * torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(0)), labels


def small(seed: int) -> nn.Module:
    return fresh_network("exuno:convnet_2_8", 2, 1, (8, 8), seed)


class Watched(nn.Module):
    """Counts the batches it is trained on, and their sizes; the logits are linear in the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 2)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.trained: list[torch.Tensor] = []
        self.tested: list[tuple[int, int]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.trained.append(x.detach().clone())
        else:
            self.tested.append((len(self.trained), len(x)))
        return self.linear(x.flatten(1))


def test_an_easy_problem_is_learned() -> None:
    images, labels = stripes(4)[0], torch.eye(2).repeat(2, 1)
    found = train_and_test(images, labels, small, Inner(), {"test": stripes(700)}, (1, 40), 2, 0, CPU)
    assert found.steps == (1, 40)
    assert found.accuracies["test"].shape == (2, 2)
    assert (found.accuracies["test"][:, 1] > 0.98).all()
    # Exchanged labels teach the opposite: what is learned comes from the poster.
    swapped = train_and_test(images, labels.flip(1), small, Inner(), {"test": stripes(700)}, (40,), 1, 0, CPU)
    assert (swapped.accuracies["test"] < 0.02).all()


def test_networks_are_a_function_of_seed_and_number() -> None:
    images, labels = stripes(6)[0], torch.eye(2).repeat(3, 1)
    inner = Inner(batch=3)

    def accuracies(networks: int, seed: int) -> np.ndarray:
        torch.rand(seed + networks)  # the state of the global generator says nothing
        found = train_and_test(
            images, labels, small, inner, {"test": stripes(400, 3.0)}, (5,), networks, seed, CPU, keep=5
        )
        assert found.logits is not None
        return found.logits

    first = accuracies(2, 0)
    assert np.array_equal(first, accuracies(2, 0))
    assert np.array_equal(first[:1], accuracies(1, 0))
    assert not np.allclose(first[0], first[1])
    assert not np.allclose(first, accuracies(2, 1))


def test_dropout_is_a_function_of_the_seed_too_and_the_global_generator_goes_on() -> None:
    images, labels = stripes(4)[0], torch.eye(2).repeat(2, 1)

    def run() -> np.ndarray:
        def nets(seed: int) -> nn.Module:
            return nn.Sequential(nn.Dropout(0.5), small(seed))

        found = train_and_test(images, labels, nets, PLAIN, {"test": stripes(50)}, (4,), 1, 0, CPU, keep=4)
        assert found.logits is not None
        return found.logits

    torch.manual_seed(5)
    first = run()
    after = torch.rand(3)
    torch.manual_seed(6)
    assert np.array_equal(first, run())
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))


def test_steps_and_batches_are_counted_right() -> None:
    images, labels = stripes(7)[0], torch.full((7, 2), 0.5)
    net = Watched()
    with ProgressBar("test", 9, "steps", quiet=True) as bar:
        train_and_test(
            images,
            labels,
            lambda seed: net,
            Inner(batch=3, augment="none"),
            {"a": stripes(700)},
            (9, 2, 5),
            1,
            0,
            CPU,
            bar,
        )
    assert bar.done == 9
    assert len(net.trained) == 9
    assert all(len(batch) == 3 for batch in net.trained)
    assert len({batch.numpy().tobytes() for batch in net.trained}) > 3  # drawn anew for each step
    whole = {image.numpy().tobytes() for image in images}
    assert all(image.numpy().tobytes() in whole for batch in net.trained for image in batch)
    # Tested after 2, 5 and 9 steps, on all 700 images in chunks.
    assert net.tested == [(2, 500), (2, 200), (5, 500), (5, 200), (9, 500), (9, 200)]


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_the_first_steps_by_hand(name: str) -> None:
    """Soft cross-entropy of a linear network, whose gradient is (softmax - labels) x / P."""
    images, labels = stripes(5)[0], torch.tensor([[0.7, 0.3]]).repeat(5, 1)
    inner = Inner(name=name, lr=0.1, momentum=0.9, weight_decay=0.01, augment="none")  # pyright: ignore
    net = Watched()
    assert list(train(net, images, labels, inner, (2,), 0, 0)) == [2]
    x, y, w, b = images.flatten(1).double().numpy(), labels.double().numpy(), np.zeros((2, 64)), np.zeros(2)
    state = {"w": np.zeros((2, 64)), "b": np.zeros(2)}
    squares = {"w": np.zeros((2, 64)), "b": np.zeros(2)}
    for step in (1, 2):
        logits = x @ w.T + b
        error = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True) - y) / 5
        for key, value, gradient in (("w", w, error.T @ x), ("b", b, error.sum(0))):
            gradient = gradient + 0.01 * value
            if name == "sgd":
                state[key] = 0.9 * state[key] + gradient if step > 1 else gradient
                value -= 0.1 * state[key]
            else:
                state[key] = 0.9 * state[key] + 0.1 * gradient
                squares[key] = 0.999 * squares[key] + 0.001 * gradient**2
                root = np.sqrt(squares[key] / (1 - 0.999**step)) + 1e-8
                value -= 0.1 * state[key] / (1 - 0.9**step) / root
    np.testing.assert_allclose(net.linear.weight.detach().numpy(), w, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(net.linear.bias.detach().numpy(), b, rtol=1e-3, atol=1e-6)


def test_a_test_is_in_evaluation_mode_and_training_goes_on_after_it() -> None:
    images, labels = stripes(4)[0], torch.eye(2).repeat(2, 1)
    norm = nn.BatchNorm1d(64)
    net = nn.Sequential(nn.Flatten(), norm, nn.Linear(64, 2))
    train_and_test(images, labels, lambda seed: net, PLAIN, {"test": stripes(600)}, (3, 6), 1, 0, CPU)
    assert norm.num_batches_tracked is not None
    assert norm.num_batches_tracked.item() == 6  # training steps only, and all of them


def test_answers_that_are_not_finite_are_wrong() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full((len(x), 2), torch.nan) * self.weight

    images, labels = stripes(4)[0], torch.eye(2).repeat(2, 1)
    found = train_and_test(images, labels, lambda seed: Broken(), PLAIN, {"test": stripes(10)}, (1,), 1, 0, CPU)
    assert found.accuracies["test"] == 0


def test_subsets() -> None:
    assert subset(7, 7, 0, "test", 0) is None
    drawn = [subset(7, 3, 0, "test", index) for index in range(200)]
    assert all(each is not None and each.tolist() == sorted(set(each.tolist())) and len(each) == 3 for each in drawn)
    counts = torch.bincount(torch.cat([each for each in drawn if each is not None]), minlength=7)
    assert (counts > 55).all()  # 86 expected
    assert batch_size(Inner(), 500) == 128
    assert batch_size(Inner(), 50) == 50
    assert batch_size(Inner(batch=200), 500) == 200


def test_fresh_networks() -> None:
    def weights(seed: int) -> torch.Tensor:
        return torch.cat([p.detach().flatten() for p in small(seed).parameters()])

    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    first = weights(3)
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(first, weights(3))
    assert not torch.equal(first, weights(4))
    assert small(0).training
    with seeded(3):
        one = torch.rand(2)
    with seeded(3):
        assert torch.equal(one, torch.rand(2))


def test_a_network_of_colours_takes_gray() -> None:
    net = fresh_network("torchvision:resnet18", 5, 1, (32, 32), 0).eval()
    gray = torch.rand(2, 1, 32, 32)
    assert net(gray).shape == (2, 5)
    inner = net.get_submodule("1")
    assert torch.equal(net(gray), inner(gray.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize("spec", ["run:somewhere", "file:weights.pt", "hf-hub:a/b", "resnet18"])
def test_trained_networks_are_refused(spec: str) -> None:
    with pytest.raises(ExunoError, match="no network with random weights"):
        fresh_network(spec, 5, 1, (8, 8), 0)


@pytest.mark.parametrize(("steps", "networks"), [((), 1), ((0, 5), 1), ((5,), 0)])
def test_nothing_to_do(steps: tuple[int, ...], networks: int) -> None:
    with pytest.raises(ExunoError, match="Give at least 1"):
        train_and_test(stripes(2)[0], torch.eye(2), small, PLAIN, {"test": stripes(2)}, steps, networks, 0, CPU)
