"""``--split``: options are chosen on another part of the data than the test, of which the student saw nothing."""

import json
from pathlib import Path

import pytest

from exuno.cli import main
from exuno.data.images.digits import open_digits
from exuno.models.files import save_model
from exuno.models.load import load_model


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("teacher")
    save_model(load_model("exuno:convnet_1_8", classes=10, in_chans=1, input_size=(8, 8), pretrained=False), folder)
    return ["distill", "digits", "--teacher", f"run:{folder}", "--devices", "cpu"]


def test_another_part_is_measured_and_recorded(words: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    short = ["--patches", "64", "--epochs", "1", "--batch-size", "32", "--evaluations", "0"]
    assert main([*words, *short, "--split", "train", "--run-dir", str(run)]) == 0
    result = json.loads((run / "result.json").read_text())
    assert result["n"]["student/top1"] == result["n"]["teacher/top1"] == len(open_digits("train")) == 1442
    assert result["lineage"]["split"] == "train"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--split", "val"], "digits has no split 'val'"),
        (["--split", "train", "--source", "digits", "--no-fresh"], "is what --source digits shows the student"),
    ],
)
def test_mistakes(
    words: list[str], more: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, *more, "--smoke", "--run-dir", str(tmp_path / "run")]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_without_data_there_are_no_parts(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = ["distill", *words[2:], "--student", "exuno:convnet_1_8", "--split", "train", "--smoke"]
    assert main([*bare, "--run-dir", str(tmp_path / "run")]) == 2
    assert "--split train is a part of --data, which were not given" in " ".join(capsys.readouterr().err.split())
