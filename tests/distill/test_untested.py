"""A distillation without labelled images: sizes come from the teacher, and the student is held against it alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exuno.cli import main
from exuno.distill.options import DistillConfig
from exuno.distill.untested import NOTE, compared, unseen
from exuno.engine.options import RunOptions
from exuno.models.card import Hearing, ModelCard
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.load import load_model

NAMES = ("cat", "dog", "bird")


def network(seed: int, name: str = "exuno:convnet_2_16") -> Classifier:
    torch.manual_seed(seed)
    given: dict[str, Any] = {"class_names": NAMES, "input_size": (12, 12), "mean": (0.4,) * 3, "std": (0.3,) * 3}
    return load_model(name, classes=3, pretrained=False, **given).eval()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    save_model(network(0), folder)
    return folder


def words(teacher: Path, run: Path, *more: str) -> list[str]:
    options = ["--smoke", "--devices", "cpu", "--run-dir", str(run), *more]
    return ["distill", "--teacher", f"run:{teacher}", "--student", "exuno:convnet_2_8", *options]


def test_the_student_and_what_is_known_of_it(teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert main(words(teacher, run)) == 0
    said = capsys.readouterr().out
    assert "agreement" in said
    assert "tested on" not in said
    result = json.loads((run / "result.json").read_text())
    assert set(result["metrics"]) == {"agreement/top1", "agreement/kl"}
    assert result["n"] == {"agreement/top1": 64}
    low, high = result["intervals"]["agreement/top1"]
    assert low <= result["metrics"]["agreement/top1"] <= high
    assert result["baselines"]["chance/top1"] == pytest.approx(1 / 3)
    assert result["notes"] == [NOTE]
    assert "data" not in result["lineage"]
    card = ModelCard.from_json((run / "model.json").read_text())
    assert (card.class_names, card.input_size, card.in_chans) == (NAMES, (12, 12), 3)
    assert card.mean == (0.4,) * 3
    assert NOTE in (run / "report.html").read_text()


def test_another_size(teacher: Path, tmp_path: Path) -> None:
    assert main(words(teacher, tmp_path / "run", "--size", "8")) == 0
    assert load_model(f"run:{tmp_path / 'run'}", pretrained=True).card.input_size == (8, 8)


def test_a_plan_is_checked(teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(teacher, tmp_path / "run", "--dry-run")) == 0
    assert "# checked: what this names is there, and fits together" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_the_patches_are_no_others_and_labelled_by_the_teacher() -> None:
    config = DistillConfig("", "", patches=50, run=RunOptions(smoke=True))
    model, cpu = network(0), torch.device("cpu")
    patches = unseen(config, model, (12, 12), 3, cpu)
    assert torch.equal(patches.images, unseen(config, network(1), (12, 12), 3, cpu).images)
    assert patches.classes == NAMES
    with torch.no_grad():
        assert torch.equal(patches.labels, model(patches.images / 255).argmax(1))
    from exuno.distill.source import stream_of
    from exuno.distill.untested import NoData

    stream, _ = stream_of(config, NoData(model.card), (12, 12), 0)
    learnt = {image.tobytes() for image in stream.fetch(np.arange(1000))[0].numpy()}
    assert not learnt & {image.tobytes() for image in patches.images.numpy()}


def test_agreement_is_with_the_teacher() -> None:
    config = DistillConfig("", "", run=RunOptions(smoke=True))
    model, other, cpu = network(0), network(5), torch.device("cpu")
    patches = unseen(config, model, (12, 12), 3, cpu)
    same = compared(model, model, patches, (12, 12), cpu)
    assert same["metrics"] == {"agreement/top1": 1.0, "agreement/kl": 0.0}
    with torch.no_grad():
        share = (other(patches.images / 255).argmax(1) == patches.labels).float().mean().item()
    assert compared(model, other, patches, (12, 12), cpu)["metrics"]["agreement/top1"] == pytest.approx(share)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--teacher", "teach:digits"], "teach:digits is to be trained, and no --data were given"),
        (["--source", "digits"], "--source digits is no photograph"),
        (["--holdout", "0.2"], "--holdout holds out a part of --data"),
        (["--loss.hard", "0.5"], "needs true labels"),
        (["--mel.mels", "40"], "--mel.mels is for recordings"),
    ],
)
def test_what_needs_labelled_images(fails, teacher: Path, tmp_path: Path, more: list[str], told: str) -> None:
    assert told in fails(*words(teacher, tmp_path / "run", *more))
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_teacher_that_hears(fails, tmp_path: Path) -> None:
    hearing = Hearing(8000, 4000)
    ear = load_model("exuno:convnet_2_8", classes=2, pretrained=False, hearing=hearing)
    save_model(ear, tmp_path)
    assert "takes recordings, and without --data patches are images" in fails(*words(tmp_path, tmp_path / "run"))


def test_no_data_of_a_run_are_asked_for(fails, teacher: Path, tmp_path: Path) -> None:
    assert main(words(teacher, tmp_path / "run")) == 0
    assert "Give --data" in fails("eval", tmp_path / "run")
