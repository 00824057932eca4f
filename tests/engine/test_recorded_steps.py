"""Recorded steps: a training whose steps are replayed is the one whose steps are taken one by one."""

from collections.abc import Hashable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exuno.engine import training
from exuno.engine.devices import make_accelerator
from exuno.engine.graph import WARM
from exuno.engine.loop import fit
from exuno.engine.method import Batch, Method, Numbers, StepOutput, TrainState
from exuno.engine.options import Optim, RunOptions
from exuno.engine.run import open_run
from tape import Broken, Eager, Tape

STEPS = 14


class Batches:
    """Seven batches an epoch, the last one smaller."""

    batch_size = 4

    def __init__(self, uneven: bool = False) -> None:
        self.uneven = uneven

    def __len__(self) -> int:
        return 7

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        for b in range(start_batch, 7):
            generator = torch.Generator().manual_seed(7 * epoch + b)
            yield {"x": torch.randn(2 if self.uneven and b == 6 else 4, 3, generator=generator)}


class Toy(Method):
    """Two layers with dropout; the second one rests for some steps, and a moving average follows."""

    def __init__(self, careless: bool = False, rest: int = 0) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)
        self.register_buffer("mean", torch.zeros(2, 4))
        self.careless, self.rest = careless, rest

    def numbers(self, at: TrainState) -> dict[str, float]:
        return {"temperature": 1 + at.step / 10, "follow": 1 / (1 + at.step)}

    def phase(self, at: TrainState) -> Hashable:
        return at.step < self.rest

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        temperature = numbers["temperature"]
        hot = temperature.item() if self.careless else temperature
        hidden = nn.functional.dropout(self.first(batch["x"]).relu(), 0.3)
        loss = (self.second(hidden) / hot - 1).square().mean()
        return StepOutput(loss, {"train/hidden": hidden.detach().mean()})

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        return [
            {"params": list(self.first.parameters())},
            {"params": list(self.second.parameters()), "lr_scale": 0.5, "weight_decay": 0.1},
        ]

    def before_step(self, numbers: Numbers) -> None:
        if numbers.phase:
            for parameter in self.second.parameters():
                parameter.grad = None

    @torch.no_grad()
    def after_step(self, numbers: Numbers) -> None:
        self.mean.lerp_(self.second.weight, numbers["follow"])  # pyright: ignore[reportCallIssue]


PLANS = {
    "adam": Optim(name="adam", lr=0.05, weight_decay=0.1, weight_decay_end=0.4),
    "adamw": Optim(name="adamw", lr=0.05, weight_decay=0.1, weight_decay_end=0.4, clip=0.5, warmup=0.2),
    "sgd": Optim(name="sgd", lr=0.05, weight_decay=0.1, weight_decay_end=0.4, clip=0.1, clip_each=True),
    "lars": Optim(name="lars", lr=5.0, weight_decay=0.1, weight_decay_end=0.4, schedule="step"),
    "muon": Optim(name="muon", lr=0.05, weight_decay=0.1, weight_decay_end=0.4),
}


def train(
    folder: Path, monkeypatch: pytest.MonkeyPatch, recorder: Any, optim: Optim, uneven: bool = False, **toy: Any
) -> tuple[list[Tensor], str]:
    """Weights and buffers at the end, and the log."""
    monkeypatch.setattr(training, "recorder_for", lambda options, accelerator: recorder)
    torch.manual_seed(0)
    method, options = Toy(**toy), RunOptions(run_dir=folder, devices="cpu")
    run = open_run("teach", None, {"a": 1}, {}, options)
    accelerator = make_accelerator(options)
    fit(method, Batches(uneven), optim=optim, steps=STEPS, run=run, accelerator=accelerator, evaluations=2)
    run.close()
    lines = [line.split('"time"')[0] + line.split(",", 3)[3] for line in run.metrics.read_text().splitlines()]
    return [x.detach().clone() for x in method.state_dict().values()], "".join(lines)


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", PLANS)
def test_replayed_steps_are_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    tape = Tape()
    replayed = train(tmp_path / "tape", monkeypatch, tape, PLANS[name])
    stepped = train(tmp_path / "eager", monkeypatch, Eager(), PLANS[name])
    assert tape.recordings == 1
    assert same(replayed[0], stepped[0])
    assert replayed[1] == stepped[1]
    plain, _ = train(tmp_path / "plain", monkeypatch, None, PLANS[name])
    for x, y in zip(replayed[0], plain, strict=True):  # rates on the device are rounded to float32
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-6)


def test_what_python_reads_while_recording_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    careless = train(tmp_path / "tape", monkeypatch, Tape(), PLANS["adam"], careless=True)
    assert not same(careless[0], train(tmp_path / "eager", monkeypatch, Eager(), PLANS["adam"], careless=True)[0])


def test_every_phase_is_recorded_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tape = Tape()
    replayed, _ = train(tmp_path / "tape", monkeypatch, tape, PLANS["adamw"], rest=6)
    assert tape.recordings == 2
    assert same(replayed, train(tmp_path / "eager", monkeypatch, Eager(), PLANS["adamw"], rest=6)[0])


def test_a_phase_that_is_too_short_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tape = Tape()
    train(tmp_path / "tape", monkeypatch, tape, PLANS["adamw"], rest=WARM)
    assert tape.recordings == 1


def test_a_batch_of_another_shape_is_a_step_like_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tape = Tape()
    replayed, log = train(tmp_path / "tape", monkeypatch, tape, PLANS["sgd"], uneven=True)
    assert tape.recordings == 1
    stepped = train(tmp_path / "eager", monkeypatch, Eager(), PLANS["sgd"], uneven=True)
    assert same(replayed, stepped[0])
    assert log == stepped[1]


def test_a_recording_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed, log = train(tmp_path / "broken", monkeypatch, Broken(), PLANS["adam"])
    told = capsys.readouterr().err
    stepped = train(tmp_path / "eager", monkeypatch, Eager(), PLANS["adam"])
    assert same(failed, stepped[0])
    assert log == stepped[1]
    assert "steps are not recorded (operation not permitted when stream is capturing)" in told


def test_a_run_goes_on_on_a_device_that_does_not_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    optim = replace(PLANS["adamw"], schedule="constant", weight_decay_end=None, warmup=0.0)
    whole, _ = train(tmp_path / "whole", monkeypatch, None, optim)
    monkeypatch.setattr("test_recorded_steps.STEPS", 7)
    train(tmp_path / "cut", monkeypatch, Tape(), optim)
    monkeypatch.setattr("test_recorded_steps.STEPS", 14)
    # result.json is not written here, so the same command goes on from step 7
    for x, y in zip(train(tmp_path / "cut", monkeypatch, None, optim)[0], whole, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5)
