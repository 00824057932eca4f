"""Videos from end to end, as a user types it: teach, eval, distil from a photograph and from clips on disk."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from exuno.cli import main

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from make_video import make_video  # pyright: ignore[reportMissingImports]

SMALL = ("--size", "32", "--smoke", "--devices", "cpu")
NET = "exuno:x3d_xs_w0.5_d0.5"


def metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / "result.json").read_text())["metrics"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for split in ("train", "test"):
        for label in ("calm", "wild"):
            for number in range(2):
                make_video(folder / split / label / f"{number}.mp4", 30 + len(split), noise=label == "wild")
    (folder / "test/wild/empty.mp4").touch()
    return folder


def test_teach_eval_and_distil(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = f"videos:{videos}@4/1s"
    teacher = tmp_path / "teacher"
    augment = ("--augment.augmix", "3", "--augment.short-side", "32", "40", "--augment.flip", "0.5")
    command = ["teach", "--model", NET, "--data", data, "--run-dir", str(teacher), "--batch-size", "4", *SMALL]
    assert main([*command, *augment]) == 0
    assert capsys.readouterr().err.count("1 of 5 videos of") == 1
    assert 0 <= metrics(teacher)["model/clip_top1"] <= 1
    card = json.loads((teacher / "model.json").read_text())
    assert (card["frames"], card["class_names"], card["mean"]) == (4, ["calm", "wild"], [0.45] * 3)

    assert main(["eval", f"run:{teacher}", "--run-dir", str(tmp_path / "eval")]) == 0
    said = capsys.readouterr().out
    assert "n = 4" in said  # videos, of ten clips each
    assert "per clip" in said
    logits = np.load(tmp_path / "eval/evaluation/model.npz")["logits"]
    assert logits.shape == (4, 2)

    clips = tmp_path / "clips"
    made = ["synth", "video", "photo:astronaut", "--out", str(clips), "--size", "40", "--container", "wds", "--smoke"]
    assert main(made) == 0
    for name, source in (("photo", "photo:astronaut"), ("disk", f"videos:{clips}/*.tar")):
        student = tmp_path / name
        plan = ["distill", "--teacher", f"run:{teacher}", "--student", NET, "--data", data, "--source", source]
        assert (
            main([*plan, "--run-dir", str(student), "--mix.cutmix", "1", "--augment.frames", "4", *augment, *SMALL])
            == 0
        )
        assert {"teacher/top1", "student/top1", "student/clip_top1"} <= set(metrics(student))
        assert (student / "report.html").is_file()
