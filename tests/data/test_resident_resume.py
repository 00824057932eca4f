"""A training on a resident set that is stopped and continued ends with the same weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exuno.data.base import ArrayData
from exuno.data.loader import Loader
from exuno.data.resident import Resident
from exuno.engine.devices import make_accelerator
from exuno.engine.loop import fit
from exuno.engine.method import Batch, Method, Numbers, StepOutput, TrainState
from exuno.engine.options import Augment, Optim, RunOptions
from exuno.engine.run import open_run

DATA = ArrayData(
    "noise", np.random.default_rng(0).integers(0, 256, (20, 3, 6, 6), np.uint8), np.arange(20, dtype=np.int64)
)
AUGMENT = Augment(flip=0.5, pad=1)


class Linear(Method):
    def __init__(self, fail_at: int | None) -> None:
        super().__init__()
        self.weight, self.fail_at = nn.Parameter(torch.ones(3, 6, 6)), fail_at

    def numbers(self, at: TrainState) -> dict[str, float]:
        if at.step == self.fail_at:
            raise KeyboardInterrupt
        return {}

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        answers = (self.weight * batch["images"]).mean((1, 2, 3))
        return StepOutput((answers - batch["labels"] / 20).square().mean(), {})

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        return [{"params": [self.weight]}]


def train(folder: Path, batches: Loader, fail_at: int | None = None) -> Tensor:
    run = open_run("teach", None, {"a": 1}, {}, RunOptions(run_dir=folder, devices="cpu"))
    method, accelerator = Linear(fail_at), make_accelerator(run.options)
    try:
        optim = Optim(name="sgd", lr=0.1, momentum=0.9)
        fit(method, batches, optim=optim, steps=12, run=run, accelerator=accelerator, evaluations=4)
    finally:
        run.close()
    return method.weight.detach().clone()


def resident() -> Resident:
    return Resident(DATA, 4, AUGMENT, 3, device=torch.device("cpu"))


@pytest.mark.parametrize("fail_at", [4, 8])
def test_a_stopped_training_ends_bit_identical(tmp_path: Path, fail_at: int) -> None:
    whole = train(tmp_path / "whole", resident())
    assert torch.equal(whole, train(tmp_path / "fetched", Loader(DATA, 4, AUGMENT, 3)))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", resident(), fail_at)
    assert torch.equal(train(tmp_path / "cut", resident()), whole)
