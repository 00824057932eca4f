"""Cells of a study that saw different content under one name of data."""

import json
from pathlib import Path

import numpy as np
import pytest

from exuno.cli import main
from exuno.study.same_data import mixed


def cell(folder: Path, data: str | None, digest: str, **more: str) -> Path:
    folder.mkdir()
    config = {"verb": "teach", "config": {"data": data, **more}}
    (folder / "config.yaml").write_text(json.dumps(config))
    (folder / "inputs.json").write_text(json.dumps({"training_data": digest, "test_data": "t"}))
    return folder


def test_only_cells_of_the_same_data_are_compared(tmp_path: Path) -> None:
    same = [cell(tmp_path / name, "npz:a.npz", "1") for name in "ab"]
    assert mixed([cell(tmp_path / name, None, name) for name in ("g", "h")]) == []  # tested on patches of their own
    others = [cell(tmp_path / "c", "npz:b.npz", "2"), cell(tmp_path / "d", "npz:a.npz", "3", holdout="0.2")]
    assert mixed([*same, *others, tmp_path / "nowhere"]) == []
    (told,) = mixed([*same, cell(tmp_path / "e", "npz:a.npz", "2"), cell(tmp_path / "f", "npz:a.npz", "2")])
    assert told.startswith("npz:a.npz has changed between cells a and e: ")


def test_a_study_that_goes_on_with_changed_data_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def write(seed: int) -> None:
        images = np.random.default_rng(seed).integers(0, 256, (24, 8, 8), np.uint8)
        labels = np.arange(12) % 2
        parts = {"train_images": images[:12], "train_labels": labels, "test_images": images[12:], "test_labels": labels}
        np.savez(tmp_path / "d.npz", **parts)

    stage = f"teach --model exuno:convnet_2_4 --data npz:{tmp_path / 'd.npz'} --epochs 1 --batch-size 4"
    command = ["study", "--stages", stage, "--axes", "seed=0,1", "--processes", "1", "--devices", "cpu"]
    command += ["--run-dir", str(tmp_path / "study")]
    write(0)
    assert main(command) == 0
    assert "has changed" not in capsys.readouterr().err
    last = max((tmp_path / "study" / "cells").iterdir())
    (last / "result.json").unlink()
    (last / "inputs.json").unlink()
    for file in (last / "checkpoints").glob("*"):
        file.unlink()
    (tmp_path / "study" / "result.json").unlink()
    write(1)
    main(command)
    assert "has changed between cells" in capsys.readouterr().err
    assert "has changed between cells" in json.loads((tmp_path / "study" / "result.json").read_text())["notes"][0]
