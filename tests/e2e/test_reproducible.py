"""Same seed, same weights: after a kill, with any number of workers, on two processes. Real processes where only they
can show it.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from exuno.cli import main
from exuno.engine.session import seed_everything
from exuno.models.load import load_model


def exuno(*args: str) -> list[str]:
    return [sys.executable, "-m", "exuno", *args]


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_four_epochs_equal_two_and_kill_and_resume(tmp_path: Path) -> None:
    args = ["teach", "digits", "--model", "exuno:wrn_16_1", "--epochs", "4", "--evaluations", "8", "--devices", "cpu"]
    assert main([*args, "--run-dir", str(tmp_path / "whole")]) == 0
    cut = tmp_path / "cut"
    process = subprocess.Popen(
        exuno(*args, "--run-dir", str(cut)), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    halfway = 2 * (1442 // 64)
    deadline = time.monotonic() + 120
    while not any(int(path.stem[5:]) >= halfway for path in cut.glob("checkpoints/step-*.pt")):
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (cut / "result.json").exists()
    assert main([*args, "--run-dir", str(cut)]) == 0
    assert weights(cut) == weights(tmp_path / "whole")


@pytest.mark.parametrize("fresh", ["--fresh", "--no-fresh"])
def test_workers_change_nothing(tmp_path: Path, fresh: str) -> None:
    teacher = tmp_path / "teacher"
    assert main(["teach", "digits", "--smoke", "--devices", "cpu", "--run-dir", str(teacher)]) == 0
    args = ["distill", "digits", "--smoke", "--devices", "cpu", "--teacher", f"run:{teacher}", fresh]
    for workers in ("0", "1", "2"):
        assert main([*args, "--workers", workers, "--run-dir", str(tmp_path / workers)]) == 0
    assert weights(tmp_path / "0") == weights(tmp_path / "1") == weights(tmp_path / "2")


def test_two_processes_train_to_the_weights_of_one(tmp_path: Path) -> None:
    """A network without batch statistics, CutMix on: the pairs must meet on two processes as on one."""
    teacher = tmp_path / "teacher"
    assert main(["teach", "digits", "--smoke", "--devices", "cpu", "--run-dir", str(teacher)]) == 0
    args = ["distill", "digits", "--teacher", f"run:{teacher}", "--patches", "640", "--epochs", "2"]
    args += ["--batch-size", "64"]
    args += ["--optim.name", "sgd", "--optim.lr", "0.05", "--loss.t2"]
    assert main([*args, "--devices", "cpu", "--run-dir", str(tmp_path / "one")]) == 0
    done = subprocess.run(
        exuno(*args, "--devices", "cpu:2", "--run-dir", str(tmp_path / "two")),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    seed_everything(0)
    first = load_model("exuno:convnet_2_64", classes=10, in_chans=1, input_size=(8, 8), pretrained=False)
    initial = first.net.state_dict()
    assert max((one[name] - value).abs().max() for name, value in initial.items()) > 0.01, "nothing was learned"
    for name in initial:
        torch.testing.assert_close(two[name], one[name], atol=1e-5, rtol=0)


def test_a_mistake_on_two_processes_is_told_once(tmp_path: Path) -> None:
    args = ["distill", "digits", "--smoke", "--devices", "cpu:2", "--source", "photo:nobody"]
    args += ["--run-dir", str(tmp_path / "r")]
    done = subprocess.run(exuno(*args), capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert done.stderr.count("there is no photograph 'photo:nobody'") == 1
    assert "Traceback" not in done.stderr
