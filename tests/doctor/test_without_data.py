"""Photographs ranked for a teacher of which no images are known."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from exuno.cli import main
from exuno.doctor.words import WITHOUT_DATA
from exuno.models.files import save_model
from exuno.models.load import load_model

SOURCES = ("--sources", "photo:astronaut", "noise:1")


def network(folder: Path, names: tuple[str, ...]) -> str:
    torch.manual_seed(0)
    size = (12, 12)
    model = load_model("exuno:convnet_2_8", classes=len(names), class_names=names, input_size=size, pretrained=False)
    save_model(model, folder)
    return f"run:{folder}"


@pytest.fixture
def teacher(tmp_path: Path) -> str:
    return network(tmp_path / "teacher", ("a", "b", "c"))


def test_the_places_are_those_that_data_give(tmp_path: Path, capsys: Any) -> None:
    """Balance and what is near a boundary are the same; diversity has another unit, which moves no place."""
    teacher, runs = network(tmp_path / "ten", tuple("abcdefghij")), []
    for given in ([], ["--data", "digits", "--classes", "by-number"]):
        run = tmp_path / f"run{len(given)}"
        words = ["doctor", teacher, *SOURCES, *given, "--size", "12", "--smoke", "--devices", "cpu"]
        assert main([*words, "--run-dir", str(run)]) == 0
        runs.append(json.loads((run / "result.json").read_text()))
    assert "the places are those that data would give (at the same --size)" in " ".join(capsys.readouterr().out.split())
    bare, known = runs
    assert [each["spec"] for each in bare["ranking"]] == [each["spec"] for each in known["ranking"]]
    for one, other in zip(bare["ranking"], known["ranking"], strict=True):
        assert (one["balance"], one["doubt"], one["score"]) == (other["balance"], other["doubt"], other["score"])
        assert one["diversity"] != other["diversity"]
    assert bare["findings"]["without data"] == WITHOUT_DATA
    assert "without data" not in known["findings"]
    assert "that of two test images being 1" not in bare["tables"][0]["note"]


def test_a_plan(teacher: str, capsys: Any) -> None:
    assert main(["doctor", teacher, *SOURCES, "--dry-run", "--devices", "cpu"]) == 0
    assert "# checked: what this names is there" in capsys.readouterr().out


def test_an_examination_still_needs_data(fails: Any, teacher: str) -> None:
    assert "Give --data" in fails("doctor", teacher)


def test_a_teacher_of_vectors_ranks_nothing(fails: Any, teacher: str, tmp_path: Path) -> None:
    said = fails("doctor", f"features:{teacher}", *SOURCES, "--devices", "cpu", "--run-dir", tmp_path / "run")
    assert "names no classes" in said
