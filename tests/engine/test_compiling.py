"""--compile: which steps are compiled, and that a compiled training is the training.

By a backend that compiles for nobody, so that the numbers are the same bit by bit; one run by the real one is among the
long tests.
"""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_recorded_steps import PLANS, Batches
from test_recorded_steps import Toy as Plain
from test_steps_read_nothing import images, model
from torch import Tensor

from exuno.cli import main
from exuno.distill.method import Distillation
from exuno.distill.options import Loss, Mix
from exuno.engine import compiling
from exuno.engine.compiling import REPAYS, WATCHED, Compilation
from exuno.engine.devices import make_accelerator
from exuno.engine.graph import Recordings
from exuno.engine.loop import Result, fit
from exuno.engine.method import Batch, Method, Numbers, StepOutput, TrainState, numbers_at
from exuno.engine.options import Optim, RunOptions
from exuno.engine.run import open_run
from exuno.selfsup.methods.bigan import BiGAN
from exuno.selfsup.methods.deepcluster import DeepCluster
from exuno.selfsup.methods.dino import Dino
from exuno.selfsup.methods.rotnet import RotNet
from exuno.selfsup.methods.simclr import SimCLR
from exuno.teach.train import Supervised

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")
    yield
    torch._dynamo.reset()


def pretext(options: Any) -> Callable[[], Method]:
    return lambda: options.make(model(4, "convnet_1_4-batch", 3), 20, (8, 8), 0)


METHODS: dict[str, tuple[Callable[[], Method], Batch]] = {
    "teach": (lambda: Supervised(model(name="convnet_1_8-batch", channels=3), 0.1), images(channels=3, side=11)),
    "distill": (lambda: Distillation(model(), model(), Loss(hard=0.3), Mix(1.0, 1.0), 0, (8, 8)), images(channels=3)),
    "kept answers": (
        lambda: Distillation(model(), model(), Loss(), Mix(), 0, (8, 8), torch.rand(6, 5)), images()
    ),
    "rotnet": (pretext(RotNet()), images(6, 3)),
    "bigan": (pretext(BiGAN(codes=4, width=4)), images(6, 3)),
    "deepcluster": (pretext(DeepCluster(clusters=4)), images(6, 3) | {"labels": torch.arange(6) % 4}),
}  # fmt: skip
OTHERS: dict[str, Callable[[], Method]] = {
    "features": lambda: Distillation(model(), model(), Loss(kind="features"), Mix(), 0, (8, 8)),
    "simclr": pretext(SimCLR(hidden=4)),
    "dino": pretext(Dino(hidden=4)),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_step_is_one_graph(name: str) -> None:
    make, batch = METHODS[name]
    torch.manual_seed(0)
    plain = make().train()
    compiled = copy.deepcopy(plain)
    assert compiled.compilable
    told: list[str] = []
    accelerator = make_accelerator(RunOptions(devices="cpu"))
    compilation = Compilation("on", compiled, accelerator, Recordings(None, told.append), True, told.append)
    assert list(compiled.state_dict()) == list(plain.state_dict())
    found = []
    for method in (plain, compiled):
        torch.manual_seed(1)
        numbers = numbers_at(method, TrainState(3, 10, 5), CPU)

        def passes(method: Method = method, numbers: Numbers = numbers) -> StepOutput:
            out = method(batch, numbers)
            out.loss.backward()
            return out

        out = compilation(passes, method.zero_grad) if method is compiled else passes()
        found.append([out.loss.detach(), *(p.grad for p in method.parameters() if p.grad is not None)])
    assert compilation.made, told
    assert len(found[0]) == len(found[1])
    for x, y in zip(*found, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", OTHERS)
def test_the_others_are_not_compiled_and_say_so(name: str) -> None:
    told: list[str] = []
    method = OTHERS[name]()
    compilation = Compilation(
        "on", method, make_accelerator(RunOptions(devices="cpu")), Recordings(None, told.append), True, told.append
    )
    assert not compilation.tried
    assert told == ["exuno: steps are not compiled (this method is not one graph)"]


class Toy(Plain):
    """With dropout and a batch normalisation; a broken one is no single graph."""

    compilable = True

    def __init__(self, broken: bool = False, fail_at: int | None = None) -> None:
        super().__init__()
        self.norm, self.broken, self.fail_at = torch.nn.BatchNorm1d(3), broken, fail_at

    def numbers(self, at: TrainState) -> dict[str, float]:
        if at.step == self.fail_at:
            raise KeyboardInterrupt
        return super().numbers(at)

    def forward(self, batch: Batch, numbers: Numbers) -> StepOutput:
        out = super().forward({"x": self.norm(batch["x"])}, numbers)
        if self.broken:
            torch._dynamo.graph_break()
        return out

    def parameter_groups(self, optim: Optim) -> list[dict[str, Any]]:
        return [*super().parameter_groups(optim), {"params": list(self.norm.parameters())}]


def train(folder: Path, way: Any, **toy: Any) -> tuple[dict[str, Tensor], Result]:
    torch.manual_seed(0)
    method, options = Toy(**toy), RunOptions(run_dir=folder, devices="cpu", compile=way)
    run = open_run("teach", None, {"a": 1}, {}, options)
    try:
        where, optim = make_accelerator(options), PLANS["adamw"]
        done = fit(method, Batches(), optim=optim, steps=12, run=run, accelerator=where, evaluations=4)
    finally:
        run.close()
    return {name: x.detach().clone() for name, x in method.state_dict().items()}, done


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(x, b[name]) for name, x in a.items())


def test_a_compiled_training_is_the_training_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, how = train(tmp_path / "plain", "auto")
    assert not how.compiled
    assert "compiled" not in capsys.readouterr().err
    whole, how = train(tmp_path / "whole", "on")
    assert how.compiled
    assert "exuno: steps are compiled (torch.compile" in capsys.readouterr().err
    assert same(whole, plain)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", "on", fail_at=8)
    again, how = train(tmp_path / "cut", "on")
    assert how.compiled
    assert same(again, whole)


def test_what_cannot_be_compiled_is_done_as_if_nobody_had_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, _ = train(tmp_path / "plain", "off", broken=True)
    asked, how = train(tmp_path / "asked", "on", broken=True)
    assert not how.compiled
    assert "exuno: steps are not compiled (" in capsys.readouterr().err
    assert same(asked, plain)


@pytest.mark.parametrize(
    ("way", "device", "fixed", "seconds", "made", "words"),
    [
        ("auto", "cuda", False, 1.01, 0, "compiled"),
        ("auto", "cuda", False, 0.99, 0, "20 minutes are left, which would not repay it"),
        ("auto", "cuda", False, 1.01, 1, "they are recorded, which gains the same; --compile on does both"),
        ("auto", "cuda", True, 1.01, 0, ""),
        ("auto", "cpu", False, 1.01, 0, ""),
        ("off", "cuda", False, 1.01, 0, ""),
    ],
)
def test_auto(
    way: Any, device: str, fixed: bool, seconds: float, made: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that takes ``seconds`` of what would just repay it."""
    told, clock, total = [], [0.0], 1000
    where: Any = SimpleNamespace(device=torch.device(device), num_processes=1)
    monkeypatch.setattr(compiling.time, "perf_counter", lambda: clock[0])
    recordings = Recordings(None, told.append)
    recordings.made = made
    compilation = Compilation(way, Toy(), where, recordings, fixed, told.append)
    for step in range(WATCHED[1] + 5):
        assert not compilation.tried or step > WATCHED[1]
        compilation.consider(TrainState(step, total, 10), lambda: None)
        clock[0] += seconds * REPAYS / (total - WATCHED[1])
    assert compilation.tried == (words == "compiled")
    expected = [f"exuno: steps are not compiled ({words})"] if words and not compilation.tried else []
    assert told == expected


@pytest.mark.parametrize("line", ["poster digits", "fewshot pretrain digits"])
def test_other_verbs_refuse_it(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*line.split(), "--compile", "on"]) == 2
    assert "only teach, distill and selfsup can be compiled" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_by_the_real_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiling, "BACKEND", "inductor")
    plain, _ = train(tmp_path / "plain", "off")
    capfd.readouterr()
    compiled, how = train(tmp_path / "compiled", "on")
    assert how.compiled
    said = capfd.readouterr().err
    assert said.count("exuno: steps are compiled") == 1
    assert not [line for line in said.splitlines() if line.startswith("W") or "arning" in line], "from a library"
    for name, x in plain.items():
        torch.testing.assert_close(compiled[name], x, rtol=1e-4, atol=1e-5)
