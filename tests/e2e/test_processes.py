"""A training goes on with another number of processes, and ``--sync-batchnorm`` on real commands."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from exuno.cli import main
from exuno.engine.stop import REQUEUE


def start(args: list[str], folder: Path, devices: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "exuno", *args, "--devices", devices, "--run-dir", str(folder)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def finish(args: list[str], folder: Path, devices: str) -> dict[str, Tensor]:
    process = start(args, folder, devices)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return load_file(folder / "model.safetensors")


def stopped(args: list[str], folder: Path, devices: str) -> int:
    """Tells a training to stop when it has taken ten steps; the step at which it did."""

    def last() -> int:
        return max((int(path.stem[5:]) for path in folder.glob("checkpoints/step-*.pt")), default=0)

    process = start(args, folder, devices)
    deadline = time.monotonic() + 300
    while last() < 10:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == REQUEUE or last() == 60, said
    return last()


@pytest.fixture
def args(tmp_path: Path) -> list[str]:
    """A distillation with CutMix of a network without batch statistics."""
    teacher = tmp_path / "teacher"
    assert main(["teach", "digits", "--smoke", "--devices", "cpu", "--run-dir", str(teacher)]) == 0
    few = ["--patches", "640", "--epochs", "6", "--batch-size", "64", "--evaluations", "60"]
    return ["distill", "digits", "--teacher", f"run:{teacher}", *few, "--optim.name", "sgd", "--optim.lr", "0.05"]


@pytest.mark.parametrize("change", [("cpu", "cpu:2"), pytest.param(("cpu:2", "cpu"), marks=pytest.mark.slow)])
def test_a_run_goes_on_with_another_number_of_processes(
    args: list[str], tmp_path: Path, change: tuple[str, str]
) -> None:
    whole = finish([*args, "--loss.t2"], tmp_path / "whole", "cpu")
    cut, (before, after) = tmp_path / "cut", change
    for _ in range(5):  # on a busy machine it may have taken its 60 steps before it is told
        if stopped([*args, "--loss.t2"], cut, before) < 60:
            break
        shutil.rmtree(cut)
    metrics = cut / "metrics.jsonl"
    # A mark in the first line, which a training that began anew would write over.
    marked = re.sub(r"\d(?=\D*\n)", lambda digit: str((int(digit[0]) + 1) % 10), metrics.read_text(), count=1)
    metrics.write_text(marked)
    found = finish([*args, "--loss.t2"], cut, after)
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
