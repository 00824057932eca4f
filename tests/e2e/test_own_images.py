"""A user's own folder of photographs: teach a teacher, distill a student of another library, size and shape."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exuno.cli import main


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """``folder:`` layout, two classes, photographs of several sizes."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 10), ("test", 4)):
        for label, name in enumerate(("dark", "light")):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(100 * label, 100 * label + 100, (40 + i, 52, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.jpg")
    return tmp_path / "images"


def test_from_a_folder_to_a_student(images: Path, tmp_path: Path) -> None:
    data = ["--data", f"folder:{images}", "--size", "32", "--devices", "cpu", "--batch-size", "10"]
    teacher = tmp_path / "teacher"
    args = ["teach", "--model", "exuno:convnet_2_16", *data, "--epochs", "10", "--augment.resized-crop", "0.5", "1"]
    assert (
        main([*args, "--augment.flip", "0.5", "--augment.jitter", "0.1", "0.1", "0", "0", "--run-dir", str(teacher)])
        == 0
    )
    assert json.loads((teacher / "result.json").read_text())["metrics"]["model/top1"] == 1.0
    student = tmp_path / "student"
    args = ["distill", "--teacher", f"run:{teacher}", "--student", "torchvision:resnet18", *data, "--smoke"]
    args += ["--source", "photo:astronaut", "--synth.size", "40", "--augment.resized-crop", "0.08", "1"]
    assert main([*args, "--augment.solarize", "0.2", "--run-dir", str(student)]) == 0
    card = json.loads((student / "model.json").read_text())
    assert card["class_names"] == ["dark", "light"]
    assert card["arch"] == "torchvision:resnet18"
    assert main(["eval", str(student), "--devices", "cpu"]) == 0


def test_a_folder_of_patches_made_by_synth_is_a_source(images: Path, tmp_path: Path) -> None:
    patches = tmp_path / "patches"
    assert main(["synth", "photo:coffee", "--out", str(patches), "--size", "8", "--count", "64"]) == 0
    args = ["distill", "digits", "--smoke", "--devices", "cpu", "--source", str(patches)]
    assert main([*args, "--run-dir", str(tmp_path / "run")]) == 0


def test_12_bits_in_files_of_16(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for label in range(2):
            folder = tmp_path / "scans" / split / str(label)
            folder.mkdir(parents=True)
            for i in range(4):
                Image.fromarray(rng.integers(2000 * label, 2000 * label + 2000, (16, 16), np.uint16)).save(
                    folder / f"{i}.png"
                )
    told = []
    for spec in (f"folder:{tmp_path}/scans", f"folder:{tmp_path}/scans@12bit"):
        run = tmp_path / f"run{len(told)}"
        args = ["teach", "--model", "exuno:convnet_2_16", "--data", spec, "--devices", "cpu", "--smoke"]
        assert main([*args, "--run-dir", str(run)]) == 0
        told.append((capsys.readouterr().err, json.loads((run / "result.json").read_text())["lineage"]))
    (said, plain), (silent, scaled) = told
    assert said.count("@12bit takes 4,095 for white") == 1
    assert "bit" not in silent
    assert scaled["data"].endswith("scans@12bit")
    assert scaled["data_sha256"] != plain["data_sha256"]
    scan = tmp_path / "scans/test/1/0.png"
    assert main(["synth", f"{scan}@12bit", "--out", str(tmp_path / "patches"), "--size", "8", "--smoke"]) == 0
