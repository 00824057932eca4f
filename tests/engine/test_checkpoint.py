"""Checkpoints: exact, atomic, and no pickle."""

import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from exuno.engine import checkpoint
from exuno.engine.errors import ExunoError


def draws() -> tuple[float, float, float, float]:
    return random.random(), random.gauss(0, 1), float(np.random.randn()), torch.rand(()).item()  # noqa: NPY002


def test_random_states_come_back_through_a_file(tmp_path: Path) -> None:
    draws()  # leaves a cached normal number in numpy and random
    checkpoint.save(tmp_path, 1, {"step": 1, "rng": checkpoint.rng_state()})
    expected = draws()
    draws()
    checkpoint.set_rng_state(checkpoint.load(tmp_path / "step-000000001.pt")["rng"])
    assert draws() == expected


def test_only_the_newest_two_stay(tmp_path: Path) -> None:
    for step in (1, 2, 30):
        checkpoint.save(tmp_path, step, {"step": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000002.pt", "step-000000030.pt"]


def test_a_damaged_newest_file_costs_one_interval(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, {"step": 1})
    newest = checkpoint.save(tmp_path, 2, {"step": 2})
    newest.write_bytes(newest.read_bytes()[:100])
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found["step"] == 1


def test_nothing_there_is_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path / "none") is None
    with pytest.raises(ExunoError, match="no checkpoint"):
        checkpoint.load(tmp_path / "none.pt")


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # pyright: ignore[reportReturnType]


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    file, sprung = tmp_path / "step-000000001.pt", tmp_path / "sprung"
    file.write_bytes(pickle.dumps({"step": 1, "trap": Trap(sprung)}))
    with pytest.raises(ExunoError, match="not a readable checkpoint"):
        checkpoint.load(file)
    assert not sprung.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, 1, {"step": 1})

    def full(self: Path, content: bytes) -> None:
        with self.open("wb") as file:
            file.write(bytes(content)[:100])
        with Path("/dev/full").open("wb", buffering=0) as device:
            device.write(b"x")  # the real error of a real full device

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ExunoError, match="disk is full"):
        checkpoint.save(tmp_path, 2, {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001.pt"]
