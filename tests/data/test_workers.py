"""Worker processes that die, stumble or find no shared memory end the run with a sentence, never with a hang."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exuno.cli import main
from exuno.data.loader import Loader
from exuno.engine.errors import ExunoError, as_mistake

PARENT = os.getpid()


class Faulty:
    """Images whose reading goes wrong in a worker process."""

    name, image_size = "faulty", (8, 8)

    def __init__(self, fault: Any) -> None:
        self.fault = fault

    def __len__(self) -> int:
        return 8

    def fetch(self, positions: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        if os.getpid() != PARENT:
            self.fault()
        return torch.zeros(len(positions), 1, 8, 8, dtype=torch.uint8), torch.zeros(len(positions), dtype=torch.int64)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def full() -> None:
    raise OSError(28, "No space left on device", "photo.png")


def mistaken() -> None:
    raise ExunoError("photo.png is damaged", "Copy it again.")


def exhausted() -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("fault", "what", "todo"),
    [
        (killed, "worker process that prepared batches was killed", "fewer --workers"),
        (full, "photo.png: No space left on device", "free some room"),
        (mistaken, "photo.png is damaged", "Copy it again"),
        (exhausted, "not enough memory", "--batch-size"),
    ],
)
def test_the_fault_of_a_worker_is_a_sentence(fault: Any, what: str, todo: str) -> None:
    loader = Loader(Faulty(fault), 4, workers=1, shuffle=False)
    try:
        next(iter(loader.epoch(0)))
        pytest.fail("nothing was told")
    except Exception as error:
        mistake = as_mistake(error.with_traceback(None))  # which holds the loader, and with it the worker
    assert mistake is not None
    assert what in mistake.what
    assert todo in mistake.todo


def test_a_command_that_ends_with_a_mistake_leaves_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python would wait for it, and the worker for its training."""

    def work(args: Sequence[str]) -> None:
        loader = Loader(Faulty(mistaken), 4, workers=1, shuffle=False)
        next(iter(loader.epoch(0)))

    before = {process.pid for process in multiprocessing.active_children()}
    monkeypatch.setattr("exuno.cli.run_verb", work)
    assert main(["teach", "digits"]) == 2
    assert {process.pid for process in multiprocessing.active_children()} <= before


def test_a_mistake_survives_the_way_between_processes() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(ExunoError("it is wrong", "Mend it.")))
    assert (error.what, error.todo) == ("it is wrong.", "Mend it.")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root may give /dev/shm another size")
def test_full_shared_memory_is_told_and_does_not_hang(tmp_path: Path) -> None:
    command = (
        f"{sys.executable} -m exuno distill digits --devices cpu --workers 1 --budget 0.1 --run-dir {tmp_path}/run"
    )
    script = f"mount -t tmpfs -o size=64k tmpfs /dev/shm && exec {command}"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=120)
    if "mount" in done.stderr:
        pytest.skip("this machine lets nobody mount")
    assert done.returncode == 2, done.stderr
    assert "shared memory is full" in done.stderr
    assert "--workers 0" in done.stderr
    assert "Traceback" not in done.stderr
