"""A folder without a test split through the command line: ``--holdout`` wherever a test set is opened."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from exuno.cli import main

SMOKE = ["--smoke", "--devices", "cpu"]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Ten dark and ten light images of 8 pixels, as a data spec."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (folder / name).mkdir()
        for i in range(10):
            pixels = (level + rng.integers(0, 40, (8, 8, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return f"folder:{folder}"


@pytest.fixture(scope="module")
def teacher(images: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    args = ["teach", "--model", "exuno:convnet_2_16", "--data", images, "--holdout", "0.2", *SMOKE]
    assert main([*args, "--run-dir", str(folder)]) == 0
    return folder


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def test_the_share_is_in_config_result_and_page(teacher: Path, images: str) -> None:
    assert result(teacher)["n"] == {"model/top1": 4}
    assert (result(teacher)["lineage"]["holdout"], result(teacher)["lineage"]["holdout_seed"]) == (0.2, 0)
    config = yaml.safe_load((teacher / "config.yaml").read_text())["config"]
    assert (config["data"], config["holdout"], config["holdout_seed"]) == (images, 0.2, 0)
    assert "<code>0.2</code>" in (teacher / "report.html").read_text()


def test_eval_measures_on_the_same_images(
    teacher: Path, images: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(teacher / "evaluation/model.npz") as measured:
        expected = measured["logits"]
    asked = (), ("--data", images), ("--data", images, "--holdout", "0.2")
    for number, args in enumerate(asked):
        run = tmp_path / str(number)
        assert main(["eval", str(teacher), *args, "--devices", "cpu", "--run-dir", str(run)]) == 0
        assert "0.2 held out, n = 4" in capsys.readouterr().out
        with np.load(run / "evaluation/model.npz") as again:
            assert np.allclose(again["logits"], expected, atol=1e-5)
        assert "--holdout 0.2" in (run / "command.txt").read_text()
    assert main(["eval", str(teacher), "--split", "train", "--devices", "cpu"]) == 0
    assert "but 0.2 held out, n = 16" in capsys.readouterr().out


def test_another_part_is_refused(fails, teacher: Path, images: str, tmp_path: Path) -> None:
    assert "Add --holdout 0.2" in fails("eval", teacher, "--data", images, "--holdout", "0.3")
    assert "Add --holdout 0.2" in fails(
        "eval", teacher, "--data", f"{images}/", "--devices", "cpu"
    )  # as it is, by content
    student = ["distill", "--teacher", f"run:{teacher}", "--student", "exuno:convnet_2_16", "--data", images]
    assert "may have seen" in fails(*student, *SMOKE, "--run-dir", tmp_path / "run")


def test_data_that_have_changed_are_held_out_otherwise(fails, images: str, tmp_path: Path) -> None:
    """One more file, and others of a class are drawn."""
    folder = tmp_path / "images"
    shutil.copytree(images.removeprefix("folder:"), folder)
    run, data = tmp_path / "run", f"folder:{folder}"
    teach = ["teach", "--model", "exuno:convnet_2_16", "--data", data, "--holdout", "0.2", *SMOKE]
    assert main([*teach, "--run-dir", str(run)]) == 0
    assert main(["eval", str(run), "--devices", "cpu"]) == 0
    (folder / "dark/00.png").write_bytes((folder / "dark/1.png").read_bytes())
    student = ["distill", "--teacher", f"run:{run}", "--student", "exuno:convnet_2_16", "--data", data, *SMOKE]
    for command in (["eval", run, "--devices", "cpu"], [*student, "--holdout", "0.2"]):
        said = fails(*command)
        assert f"{data} has changed since" in said
        assert "images that it may have seen" in said


def test_a_student_never_sees_what_is_held_out(teacher: Path, images: str, tmp_path: Path) -> None:
    base = ["distill", "--teacher", f"run:{teacher}", "--student", "exuno:convnet_2_16", "--data", images]
    base += ["--source", images.removeprefix("folder:"), "--holdout", "0.2", *SMOKE]
    assert main([*base, "--run-dir", str(tmp_path / "run")]) == 0
    found = result(tmp_path / "run")
    assert found["n"]["student/top1"] == 4
    assert found["lineage"]["source"][0]["sha256"] == result(teacher)["lineage"]["data_sha256"]


def test_doctor_examines_on_it(teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(teacher), "--patches", "64", *SMOKE, "--run-dir", str(tmp_path / "run")]) == 0
    assert "of 4 images" in capsys.readouterr().out


def test_a_poster_carries_it(teacher: Path, images: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["poster", "--data", images, "--ipc", "1", "--model", "exuno:convnet_2_16", "--holdout", "0.2", *SMOKE]
    assert main([*args, "--run-dir", str(tmp_path / "poster")]) == 0
    found = result(tmp_path / "poster")
    assert found["n"] == {"poster/top1": 4}
    assert found["lineage"]["data_sha256"] == result(teacher)["lineage"]["data_sha256"]
    capsys.readouterr()
    assert main(["eval", f"poster:{tmp_path / 'poster'}", *SMOKE]) == 0
    assert "0.2 held out, n = 4" in capsys.readouterr().out


def test_without_it_the_message_names_it(fails, images: str, tmp_path: Path) -> None:
    for verb in (["teach", "--model", "exuno:convnet_2_16"], ["poster", "--ipc", "1"]):
        said = fails(*verb, "--data", images, *SMOKE, "--run-dir", tmp_path / "run")
        assert "no test images of its own" in said
        assert "--holdout 0.2" in said


def test_a_seed_without_a_share(fails, images: str, tmp_path: Path) -> None:
    args = ["teach", "--model", "exuno:convnet_2_16", "--data", images, "--holdout-seed", "3", *SMOKE]
    assert "--holdout-seed says nothing without --holdout" in fails(*args, "--run-dir", tmp_path / "run")
