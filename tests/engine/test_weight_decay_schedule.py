"""Schedules of weight decay and learning rate, and clipping, on the one loop."""

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from exuno.engine.devices import make_accelerator
from exuno.engine.loop import fit
from exuno.engine.method import Batch, Method, Numbers, StepOutput, TrainState, learning_rate
from exuno.engine.options import Optim, RunOptions
from exuno.engine.run import open_run

STEPS = 10


class One:
    """One batch an epoch, of nothing."""

    batch_size = 1

    def __len__(self) -> int:
        return 1

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        yield {"x": torch.zeros(1)}


class Pair(Method):
    """Two groups, the second of which has a weight decay of its own; gradients of known size."""

    def __init__(self, scale: float = 0.0) -> None:
        super().__init__()
        self.one, self.two, self.scale = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(4)), scale
        self.norms: list[tuple[float, float]] = []
        self.ones: list[float] = []

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        loss = self.scale * (self.one.sum() + 0.01 * self.two.sum())
        return StepOutput(loss, {})

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        return [{"params": [self.one]}, {"params": [self.two], "weight_decay": 0.5, "lr_scale": 0.1}]

    def before_step(self, numbers: Numbers) -> None:
        assert self.one.grad is not None
        assert self.two.grad is not None
        self.norms.append((self.one.grad.norm().item(), self.two.grad.norm().item()))

    def after_step(self, numbers: Numbers) -> None:
        self.ones.append(self.one[0].item())


def train(folder: Path, pair: Pair, **optim: Any) -> Pair:
    options = RunOptions(run_dir=folder / "run", devices="cpu")
    run = open_run("teach", None, {"a": 1}, {}, options)
    plan = Optim(name="sgd", momentum=0.0, **optim)
    fit(pair, One(), optim=plan, steps=STEPS, run=run, accelerator=make_accelerator(options), evaluations=1)
    run.close()
    return pair


def shrunk(rates: list[float], decays: list[float]) -> float:
    """What weight decay alone leaves of 1."""
    return math.prod(1 - rate * decay for rate, decay in zip(rates, decays, strict=True))


def test_weight_decay_follows_a_cosine_and_spares_groups_with_their_own(tmp_path: Path) -> None:
    pair = train(tmp_path, Pair(), lr=0.1, schedule="constant", weight_decay=0.04, weight_decay_end=0.4)
    decays = [0.4 - 0.36 * (1 + math.cos(math.pi * step / STEPS)) / 2 for step in range(STEPS)]
    assert decays[0] == pytest.approx(0.04)
    assert pair.one.tolist() == pytest.approx([shrunk([0.1] * STEPS, decays)] * 3, rel=1e-5)
    assert pair.two.tolist() == pytest.approx([shrunk([0.01] * STEPS, [0.5] * STEPS)] * 4, rel=1e-5)


def test_weight_decay_is_constant_by_default(tmp_path: Path) -> None:
    pair = train(tmp_path, Pair(), lr=0.1, schedule="constant", weight_decay=0.04)
    assert pair.one[0].item() == pytest.approx(shrunk([0.1] * STEPS, [0.04] * STEPS), rel=1e-5)


def test_a_resumed_training_has_the_weight_decay_of_its_moment(tmp_path: Path) -> None:
    class Breaking(Pair):
        def numbers(self, at: TrainState) -> dict[str, float]:
            if at.step == 6:
                raise KeyboardInterrupt
            return super().numbers(at)

    options = {"lr": 0.1, "weight_decay": 0.0, "weight_decay_end": 0.4}
    whole = train(tmp_path / "whole", Pair(1.0), **options)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", Breaking(1.0), **options)
    again = train(tmp_path / "cut", Pair(1.0), **options)
    assert torch.equal(again.one, whole.one)
    assert torch.equal(again.two, whole.two)


def test_the_learning_rate_ends_where_it_should() -> None:
    rate = learning_rate(Optim(lr=0.5, lr_end=0.1, warmup=0.2))
    found = [rate(TrainState(step, 1000, 10)) for step in range(1001)]
    assert found[0] == pytest.approx(0.5 / 201)
    assert max(found) == found[200] == pytest.approx(0.5)
    assert found[600] == pytest.approx(0.3)
    assert found[1000] == pytest.approx(0.1)
    assert all(later <= before for before, later in pairwise(found[200:]))


@pytest.mark.parametrize("scale", [100.0, 0.01])
def test_each_parameter_is_clipped_by_itself(tmp_path: Path, scale: float) -> None:
    ((one, two), *_) = train(tmp_path, Pair(scale), lr=0.1, clip=0.3, clip_each=True).norms
    assert one == pytest.approx(min(0.3, scale * 3**0.5), rel=1e-4)
    assert two == pytest.approx(min(0.3, scale * 0.01 * 2), rel=1e-4)


def test_by_default_all_parameters_are_clipped_together(tmp_path: Path) -> None:
    ((one, two), *_) = train(tmp_path, Pair(100.0), lr=0.1, clip=0.3).norms
    assert math.hypot(one, two) == pytest.approx(0.3, rel=1e-4)
    assert two / one == pytest.approx(0.01 * 2 / 3**0.5, rel=1e-4)
