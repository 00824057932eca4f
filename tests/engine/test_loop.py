"""The loop on a method of two numbers: order, logs, resume, NaN."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from exuno.engine.devices import make_accelerator
from exuno.engine.errors import ExunoError
from exuno.engine.loop import fit
from exuno.engine.method import Batch, Method, Numbers, StepOutput, TrainState
from exuno.engine.options import Optim, RunOptions
from exuno.engine.run import Run, open_run


class Counting:
    """Five batches an epoch; batch b of epoch e holds 10 e + b."""

    batch_size = 1

    def __len__(self) -> int:
        return 5

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        for b in range(start_batch, 5):
            yield {"x": torch.tensor([10.0 * epoch + b])}


class Toy(Method):
    """A weight that dropout and momentum push about, and the list of what it saw."""

    def __init__(self, fail_at: int | None = None, nan_at: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))
        self.seen: list[tuple[int, float]] = []
        self.fail_at, self.nan_at = fail_at, nan_at

    def numbers(self, at: TrainState) -> dict[str, float]:
        return {"step": at.step}

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        step = int(numbers["step"])
        if step == self.fail_at:
            raise KeyboardInterrupt
        self.seen.append((step, batch["x"].item()))
        noise = nn.functional.dropout(torch.ones(4), 0.5)
        loss = ((self.weight - noise * batch["x"] / 50) ** 2).mean()
        if self.nan_at is not None and step >= self.nan_at:
            loss = loss * float("nan")
        return StepOutput(loss, {"train/weight": self.weight.detach().mean()})

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        return [{"params": [self.weight]}]


def start(folder: Path) -> Run:
    return open_run("teach", None, {"a": 1}, {}, RunOptions(run_dir=folder, devices="cpu"))


def train(folder: Path, toy: Toy, steps: int = 20, evaluations: int = 4) -> Tensor:
    torch.manual_seed(0)
    run = start(folder)

    def evaluator(method: nn.Module, accelerator: Accelerator) -> Iterator[tuple[str, float]]:
        yield "toy/weight", method.weight.mean().item()  # pyright: ignore

    optim = Optim(name="sgd", lr=0.1, momentum=0.9)
    try:
        fit(
            toy,
            Counting(),
            optim=optim,
            steps=steps,
            run=run,
            accelerator=make_accelerator(run.options),
            evaluators=[evaluator],
            evaluations=evaluations,
        )
    finally:
        run.close()
    return toy.weight.detach().clone()


def lines(folder: Path) -> list[dict[str, float]]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in found]


def test_every_step_sees_its_batch_once(tmp_path: Path) -> None:
    toy = Toy()
    train(tmp_path / "run", toy, steps=12)
    assert toy.seen == [(i, 10.0 * (i // 5) + i % 5) for i in range(12)]


def test_metrics_are_logged_and_evaluated_on_time(tmp_path: Path) -> None:
    train(tmp_path / "run", Toy(), steps=20, evaluations=4)
    logged = lines(tmp_path / "run")
    assert [line["step"] for line in logged if "toy/weight" in line] == [5, 10, 15, 20]
    assert [line["step"] for line in logged if "train/loss" in line] == list(range(1, 21))


@pytest.mark.parametrize("broken", [3, 7, 11, 19])
def test_an_interrupted_run_ends_bit_identical(tmp_path: Path, broken: int) -> None:
    whole = train(tmp_path / "whole", Toy())
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", Toy(fail_at=broken))
    assert torch.equal(train(tmp_path / "cut", Toy()), whole)
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")


def test_a_resumed_run_does_not_begin_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", Toy(fail_at=12))
    toy = Toy()
    train(tmp_path / "run", toy)
    assert toy.seen[0][0] == 10


def test_a_loss_that_is_not_a_number_stops_the_run_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ExunoError, match="loss became nan by step 8"):
        train(tmp_path / "run", Toy(nan_at=7))
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-000000005.pt"]


def test_workers_leave_the_random_state_of_training_alone() -> None:
    from exuno.data.images.digits import open_digits
    from exuno.data.loader import Loader

    torch.manual_seed(0)
    before = torch.get_rng_state()
    loader = Loader(open_digits("train"), 64, workers=1)
    next(iter(loader.epoch(0)))
    assert torch.equal(torch.get_rng_state(), before)


def test_resume_from_a_path_begins_there_once(tmp_path: Path) -> None:
    train(tmp_path / "first", Toy(), steps=10)
    path = str(tmp_path / "first/checkpoints/step-000000009.pt")
    for turn in range(2):
        toy, options = Toy(), RunOptions(run_dir=tmp_path / "second", devices="cpu", resume=path)
        run = open_run("teach", None, {"a": 1}, {}, options)
        optim = Optim(name="sgd")
        fit(toy, Counting(), optim=optim, steps=10, run=run, accelerator=make_accelerator(options), evaluations=5)
        run.close()
        assert [step for step, _ in toy.seen] == ([9] if turn == 0 else [])
