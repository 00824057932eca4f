"""Statistics of several processes: they, the outputs and the gradients are those of one process that has the batch."""

import multiprocessing
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from exuno.engine.batch_statistics import share_statistics
from exuno.engine.errors import ExunoError
from exuno.fewshot.network import TokenNorm

PATIENCE = timedelta(seconds=240)
"""With a process that never comes."""

OnTwo = dict[str, list[dict[str, Tensor]]]


def network() -> nn.Module:
    """All kinds of layers: torch's, exuno's own, timm's with an activation, one of cumulative statistics."""
    torch.manual_seed(0)
    cumulative = nn.BatchNorm2d(4, momentum=None)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), BatchNormAct2d(4), cumulative]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16, 5), TokenNorm(5), nn.BatchNorm1d(5, affine=False))


def steps(module: nn.Module, net: nn.Module, images: Tensor, target: Tensor) -> dict[str, Tensor]:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    for part in range(3):
        optimizer.zero_grad()
        (module(images[part]) - target[part]).square().mean().backward()
        optimizer.step()
    net.eval()
    return {**net.state_dict(), "answers": net(images.flatten(0, 1)[:4]).detach()}


def batches() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 8, 3, 6, 6, generator=generator) * 3 + 5, torch.randn(3, 8, 5, generator=generator)


def train(rank: int, store: str, folder: Path) -> None:
    """One of two processes: once with statistics of its own, once with shared ones."""
    where = f"file://{store}"
    torch.distributed.init_process_group("gloo", init_method=where, rank=rank, world_size=2, timeout=PATIENCE)
    try:
        for shared in (False, True):
            net = network()
            if shared:
                assert share_statistics(net) == 5
                assert share_statistics(net) == 5  # twice is once
            images, target = (each[:, rank::2] for each in batches())
            found = steps(DistributedDataParallel(net), net, images, target)
            torch.save(found, folder / f"{'shared' if shared else 'own'}-{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def on_two(tmp_path_factory: pytest.TempPathFactory) -> OnTwo:
    """What each of two processes, of which this is the first, ends with: ``shared`` statistics, and its ``own``."""
    folder = tmp_path_factory.mktemp("two")
    other = multiprocessing.get_context("spawn").Process(target=train, args=(1, str(folder / "store"), folder))
    other.start()
    try:
        train(0, str(folder / "store"), folder)
        other.join()
        assert other.exitcode == 0
    finally:
        other.kill()
    return {
        name: [torch.load(folder / f"{name}-{rank}.pt", weights_only=True) for rank in range(2)]
        for name in ("own", "shared")
    }


def test_two_processes_train_to_the_weights_and_statistics_of_one(on_two: OnTwo) -> None:
    net = network()
    images, target = batches()
    one = steps(net, net, images, target)
    one.pop("answers")
    for two in on_two["shared"]:
        assert two.keys() - {"answers"} == one.keys()  # no name of a weight has changed
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("compiled", [False, True])
def test_of_one_process_they_are_those_of_torch(compiled: bool) -> None:
    net, shared = network(), network()
    share_statistics(shared)
    if compiled:  # as --compile does it
        shared.compile(backend="aot_eager", fullgraph=True, dynamic=False)
    store = torch.distributed.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        found = steps(shared, shared, *batches())
    finally:
        torch.distributed.destroy_process_group()
    for name, value in steps(net, net, *batches()).items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_without_it_they_do_not(on_two: OnTwo) -> None:
    net = network()
    one = steps(net, net, *batches())
    assert (on_two["own"][0]["1.running_var"] - one["1.running_var"]).abs().max() > 1e-3


def test_in_a_test_nothing_is_asked_of_others() -> None:
    """There are none here, so that asking would fail."""
    net = network().eval()
    x = torch.randn(4, 3, 6, 6)
    before = net[:6](x)  # pyright: ignore[reportIndexIssue]
    share_statistics(net)
    assert torch.equal(net[:6](x), before)  # pyright: ignore[reportIndexIssue]


def test_a_layer_of_another_library_is_refused() -> None:
    class Own(nn.BatchNorm2d):
        def forward(self, input: Tensor) -> Tensor:
            return torch.nn.functional.batch_norm(input, None, None, training=True)

    with pytest.raises(ExunoError, match=r"does not know the layer .*Own"):
        share_statistics(nn.Sequential(Own(3)))
