"""The numbered examples run, one after the other in one folder, as a reader would; here with less training."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all of them run, so that their teacher is trained once."""
    return tmp_path_factory.mktemp("examples")


@pytest.fixture
def example(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    monkeypatch.chdir(folder)
    return lambda number: runpy.run_path(str(next(EXAMPLES.glob(f"{number}_*.py"))))


def test_each_is_short_and_says_what_one_sees() -> None:
    files = sorted(EXAMPLES.glob("*.py"))
    assert [file.name[:2] for file in files] == [f"{number:02}" for number in range(1, len(files) + 1)]
    for file in files:
        text = file.read_text()
        assert "You see" in text.split('"""')[1], file
        assert len(text.splitlines()) <= 60, file
        assert f"test_{file.stem[3:]}" in Path(__file__).read_text(), file


def test_one_photograph(example, capsys: pytest.CaptureFixture[str]) -> None:
    student = example("01")["main"](budget=0.03)
    assert student.metrics["teacher/top1"] > 0.95
    assert student.metrics["student/top1"] > 0.15
    assert "digits:   5 0 9 8" in capsys.readouterr().out
    assert student.report.is_file()


def test_your_own(example, folder: Path) -> None:
    found = example("02")
    photo, images = found["made"](folder / "made")
    student = found["main"](photo, images, budget=0.2)
    assert student.metrics["teacher/top1"] > 0.6
    assert student.result["lineage"]["source"][0]["spec"] == photo


def test_stream(example) -> None:
    assert example("03")["main"](steps=100) > 0.5


@pytest.mark.slow
def test_poster(example) -> None:
    made, other = example("04")["main"]()
    assert made.poster.pixels.size == 10 * 8 * 8
    assert made.metrics["poster/top1"] > 0.3
    assert other.metrics["model/top1"] > 0.25


def test_few_shot(example) -> None:
    found = example("05")["main"](budget=0.01, episodes=100)
    taught = next(value for name, value in found["metrics"].items() if name.startswith("teach") and "5-shot" in name)
    assert taught > found["baselines"]["raw pixels/5-way-5-shot/prototype"]


@pytest.mark.slow
def test_which_teacher(example) -> None:
    study = example("06")["main"](budget=0.05)
    assert study.result["cells"] == 6
    assert not study.result["failures"]


def test_look_inside(example) -> None:
    found = example("07")["main"](budget=0.03, steps=40)
    assert "normalisation" in found["findings"].result["findings"]
    assert found["ranking"].result["tables"][0]["rows"][-1][0] == "noise:0"
    assert found["features"].report.is_file()
    teacher = found["neurons"].result["units"][0]["model"]
    assert found["neurons"].metrics[f"{teacher}/of-{teacher}/probability"] > 0.9


def test_own_method(example) -> None:
    assert example("08")["main"](steps=100)["model/top1"] > 0.3


def test_hand_it_on(example) -> None:
    pytest.importorskip("onnxruntime")
    folder, apart = example("09")["main"]()
    assert (folder / "README.md").is_file()
    assert apart < 1e-3
