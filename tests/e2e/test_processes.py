"""A training goes on with another number of processes, and ``--sync-batchnorm`` on real commands."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from exuno.cli import main
from exuno.engine.ballot import Wishes
from exuno.engine.stop import REQUEUE
from exuno.engine.training import Training


def finish(args: list[str], folder: Path, devices: str) -> dict[str, Tensor]:
    assert main([*args, "--devices", devices, "--run-dir", str(folder)]) == 0
    return load_file(folder / "model.safetensors")


def stop(args: list[str], folder: Path) -> None:
    """A training in this process, told to stop after its tenth step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "wishes", lambda self: Wishes(save=False, stop=self.step >= 10))
        assert main([*args, "--devices", "cpu", "--run-dir", str(folder)]) == REQUEUE


def stop_two(args: list[str], folder: Path) -> None:
    """A training in two processes, told to stop when it has taken ten steps."""

    def last() -> int:
        return max((int(path.stem[5:]) for path in folder.glob("checkpoints/step-*.pt")), default=0)

    command = [sys.executable, "-m", "exuno", *args, "--devices", "cpu:2", "--run-dir", str(folder)]
    for _ in range(5):  # on a busy machine it may have taken its 60 steps before it is told
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        deadline = time.monotonic() + 300
        while last() < 10:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGTERM)
        _, said = process.communicate(timeout=120)
        assert process.returncode == REQUEUE or last() == 60, said
        if last() < 60:
            return
        shutil.rmtree(folder)


@pytest.fixture
def args(tmp_path: Path) -> list[str]:
    """A distillation with CutMix of a network without batch statistics."""
    teacher = tmp_path / "teacher"
    assert main(["teach", "digits", "--smoke", "--devices", "cpu", "--run-dir", str(teacher)]) == 0
    few = ["--patches", "640", "--epochs", "6", "--batch-size", "64", "--evaluations", "60"]
    return ["distill", "digits", "--teacher", f"run:{teacher}", *few, "--optim.name", "sgd", "--optim.lr", "0.05"]


@pytest.mark.slow  # starts of two processes; that two train to the weights of one is in test_reproducible.py
@pytest.mark.parametrize(("begin", "after"), [(stop, "cpu:2"), (stop_two, "cpu")], ids=["1-2", "2-1"])
def test_a_run_goes_on_with_another_number_of_processes(
    args: list[str], tmp_path: Path, begin: Callable[[list[str], Path], None], after: str
) -> None:
    args, cut = [*args, "--loss.t2"], tmp_path / "cut"
    whole = finish(args, tmp_path / "whole", "cpu")
    begin(args, cut)
    metrics = cut / "metrics.jsonl"
    # A mark in the first line, which a training that began anew would write over.
    marked = re.sub(r"\d(?=\D*\n)", lambda digit: str((int(digit[0]) + 1) % 10), metrics.read_text(), count=1)
    metrics.write_text(marked)
    found = finish(args, cut, after)
    assert metrics.read_text().splitlines()[0] == marked.splitlines()[0]
    for name, value in whole.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.slow  # three starts of commands
def test_batch_normalisation_on_two_processes_is_that_of_one(tmp_path: Path) -> None:
    args = ["teach", "digits", "--model", "exuno:resnet8", "--epochs", "2", "--batch-size", "64", "--augment.pad", "0"]
    args += ["--optim.name", "sgd", "--optim.lr", "0.02", "--smoke"]
    one = finish(args, tmp_path / "one", "cpu")
    two = finish([*args, "--sync-batchnorm"], tmp_path / "two", "cpu:2")
    apart = finish(args, tmp_path / "apart", "cpu:2")
    assert max(float((two[name] - value).abs().max()) for name, value in one.items()) < 1e-4
    assert max(float((apart[name] - value).abs().max()) for name, value in one.items()) > 1e-3


def test_where_it_has_no_effect_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["teach", "digits", "--smoke", "--devices", "cpu", "--sync-batchnorm", "--run-dir", str(tmp_path / "run")]
    assert main(args) == 0
    assert "--sync-batchnorm has no effect: there is one process" in capsys.readouterr().err


def test_posters_have_none(fails) -> None:
    said = fails("poster", "digits", "--smoke", "--sync-batchnorm", "--dry-run")
    assert "--sync-batchnorm is not for posters: each process trains networks of its own." in said
