"""``--loader dali`` through the command line. Skips without DALI."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from exuno.cli import main
from exuno.engine.configuration import fingerprint
from exuno.engine.options import RunOptions
from exuno.presets import to_dict

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed: pip install 'exuno[dali]'")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """``folder:`` layout, a dark and a light class, photographs of several sizes."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 10), ("test", 4)):
        for label, name in enumerate(("dark", "light")):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(100 * label, 100 * label + 100, (90 + i, 110, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.{'png' if i == 3 else 'jpg'}")
    return tmp_path / "images"


def test_a_teacher_and_a_student(images: Path, tmp_path: Path) -> None:
    common = [
        "--data",
        f"folder:{images}",
        "--size",
        "64",
        "--devices",
        "cpu",
        "--batch-size",
        "10",
        "--loader",
        "dali",
    ]
    common += ["--augment.resized-crop", "0.5", "1", "--augment.flip", "0.5", "--evaluations", "1"]
    teacher = tmp_path / "teacher"
    teach = ["teach", "--model", "exuno:convnet_2_16", *common, "--epochs", "10", "--workers", "2"]
    assert main([*teach, "--run-dir", str(teacher)]) == 0
    assert json.loads((teacher / "result.json").read_text())["metrics"]["model/top1"] == 1.0
    assert yaml.safe_load((teacher / "config.yaml").read_text())["config"]["loader"] == "dali"

    student = tmp_path / "student"
    distill = [
        "distill",
        "--teacher",
        f"run:{teacher}",
        "--student",
        "exuno:convnet_2_16",
        *common,
        "--epochs",
        "2",
    ]
    assert main([*distill, "--source", str(images / "train"), "--run-dir", str(student)]) == 0
    assert (student / "figures" / "samples.png").stat().st_size > 1000


def test_data_without_files_are_told_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["teach", "digits", "--smoke", "--loader", "dali", "--run-dir", str(tmp_path / "run")]) == 2
    assert "digits/train holds no such files" in " ".join(capsys.readouterr().err.split())


def test_the_loader_belongs_to_what_a_run_is() -> None:
    torch, dali = (fingerprint(to_dict(RunOptions(loader=loader))) for loader in ("torch", "dali"))
    assert torch != dali
