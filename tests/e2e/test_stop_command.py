"""A command that is told to stop, as a cluster tells it: a checkpoint, a sentence, a code, and the same weights in the
end. Real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exuno.cli import main

REQUEUE, INTERRUPTED = 75, 130


def start(args: list[str], folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "exuno", *args, "--run-dir", str(folder)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_step(process: subprocess.Popen[str], folder: Path, step: int) -> None:
    """Until the metrics of a step are written."""
    deadline, metrics = time.monotonic() + 240, folder / "metrics.jsonl"
    while not metrics.is_file() or not any(
        json.loads(line)["step"] >= step for line in metrics.read_text().splitlines() if line.endswith("}")
    ):
        assert process.poll() is None, "it ended before it could be told to stop"
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(scope="module")
def args(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    teacher = tmp_path_factory.mktemp("teacher") / "run"
    assert main(["teach", "digits", "--smoke", "--devices", "cpu", "--run-dir", str(teacher)]) == 0
    few = ["--patches", "640", "--epochs", "8", "--batch-size", "64", "--evaluations", "1"]
    return ["distill", "digits", "--teacher", f"run:{teacher}", *few]


@pytest.mark.parametrize("devices", ["cpu", pytest.param("cpu:2", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("number", "code", "why"),
    [
        (signal.SIGTERM, REQUEUE, "told to stop by SIGTERM"),
        pytest.param(signal.SIGINT, INTERRUPTED, "interrupted", marks=pytest.mark.slow),
    ],
)
def test_told_to_stop_in_the_middle_it_goes_on_and_ends_with_the_same_weights(
    args: list[str], tmp_path: Path, devices: str, number: int, code: int, why: str
) -> None:
    """The whole group gets the signal, as on a cluster: worker processes, and each process of a training twice."""
    args = [*args, "--devices", devices, "--workers", "1", "--fresh"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert main([*args, "--run-dir", str(whole)]) == 0
    process = start(args, cut)
    wait_for_step(process, cut, 10)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == code, said
    assert said.count(f"exuno: {why}; the same command continues from the last checkpoint.") == 1
    assert "Traceback" not in said
    [checkpoint] = cut.glob("checkpoints/step-*.pt")
    assert 10 <= int(checkpoint.stem[5:]) < 80
    assert not (cut / "result.json").exists()
    assert main([*args, "--run-dir", str(cut)]) == 0
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
