"""``exuno doctor`` through the command line: what it says of teachers whose history is known, and of mistakes."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from exuno.cli import main

CPU = ["--devices", "cpu"]
QUICK = [*CPU, "--patches", "200", "--source", "photo:coffee"]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A label-smoothed teacher of the digits, with batch normalisation, so that it minds its input."""
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    smoothed = ["--model", "exuno:convnet_2_32-batch", "--epochs", "20", "--label-smoothing", "0.1"]
    assert main(["teach", "digits", *smoothed, *CPU, "--run-dir", str(folder)]) == 0
    return folder


def examined(folder: Path, *args: str | Path) -> dict[str, Any]:
    assert main(["doctor", *map(str, args), *QUICK, "--run-dir", str(folder)]) == 0
    return json.loads((folder / "result.json").read_text())


def test_examines_a_smoothed_teacher(teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = examined(tmp_path / "run", teacher)
    trained = json.loads((teacher / "result.json").read_text())
    assert result["metrics"]["teacher/top1"] == trained["metrics"]["model/top1"]
    assert result["baselines"]["claimed/top1"] == trained["metrics"]["model/top1"]
    findings = result["findings"]
    assert "that agrees with" in findings["accuracy"]
    assert "wrong" not in findings["normalisation"]
    assert findings["label smoothing"].startswith("it looks label-smoothed")
    assert 0.03 < result["smoothing"]["alpha"] < 0.15
    assert findings["calibration"].startswith("under-confident")
    assert result["calibration"]["best"][0] < 1
    assert result["temperature"] == 1
    said = capsys.readouterr().out
    assert all(f"{name}: {text}" in said for name, text in findings.items())
    page = (tmp_path / "run/report.html").read_text()
    assert "Normalisation of the input" in page
    assert "None" not in page
    assert "The teacher&#x27;s answers to 200 patches" in page


def test_a_finished_examination_is_shown_again(
    teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examined(tmp_path / "run", teacher)
    first, written = capsys.readouterr().out, (tmp_path / "run/result.json").stat().st_mtime_ns
    examined(tmp_path / "run", teacher)
    assert capsys.readouterr().out == first
    assert (tmp_path / "run/result.json").stat().st_mtime_ns == written


def test_names_the_right_normalisation_for_a_wrong_card(teacher: Path, tmp_path: Path) -> None:
    wrong = shutil.copytree(teacher, tmp_path / "wrong")
    card = json.loads((wrong / "model.json").read_text()) | {"mean": [0.0], "std": [1 / 255]}
    (wrong / "model.json").write_text(json.dumps(card))
    save_file(load_file(wrong / "model.safetensors"), wrong / "model.safetensors")  # without a card of its own
    result = examined(tmp_path / "run", wrong)
    assert "the card's is wrong: with the data's own" in result["findings"]["normalisation"]
    assert "below the" in result["findings"]["accuracy"]
    assert "Look at normalisation" in result["findings"]["accuracy"]


def test_a_teacher_that_was_trained_anew_is_another_patient(teacher: Path, tmp_path: Path, fails) -> None:
    place = shutil.copytree(teacher, tmp_path / "teacher")
    command = ["doctor", str(place), *QUICK, "--run-dir", str(tmp_path / "failed")]
    assert main(command) == 0
    weights = load_file(place / "model.safetensors")
    with safe_open(place / "model.safetensors", "pt") as file:
        card = {"model.json": file.metadata()["model.json"]}  # without the digest of the old weights
    save_file({key: value * 1.5 for key, value in weights.items()}, place / "model.safetensors", card)
    assert "has changed since the run" in fails(place)


def test_a_corrected_card_is_another_patient(teacher: Path, tmp_path: Path, fails) -> None:
    place = shutil.copytree(teacher, tmp_path / "teacher")
    save_file(load_file(place / "model.safetensors"), place / "model.safetensors")  # without a card of its own
    assert main(["doctor", str(place), *QUICK, "--run-dir", str(tmp_path / "failed")]) == 0
    card = json.loads((place / "model.json").read_text()) | {"mean": [0.0], "std": [1 / 255]}
    (place / "model.json").write_text(json.dumps(card))
    assert "has changed since the run" in fails(place)


def scaled(teacher: Path, place: Path, factor: float) -> Path:
    """A copy of a teacher with all its weights multiplied."""
    shutil.copytree(teacher, place)
    weights = load_file(place / "model.safetensors")
    with safe_open(place / "model.safetensors", "pt") as file:
        card = {"model.json": file.metadata()["model.json"]}  # without the digest of the old weights
    changed = {key: value * factor if value.is_floating_point() else value for key, value in weights.items()}
    save_file(changed, place / "model.safetensors", card)
    return place


def test_weights_that_are_not_numbers(teacher: Path, tmp_path: Path, fails) -> None:
    assert "Its training diverged, or it is damaged" in fails(scaled(teacher, tmp_path / "nan", float("nan")))
    broken = scaled(teacher, tmp_path / "broken", 1e30)  # each is a number; what they give is none
    assert "no answer of the teacher to the images of digits is finite" in fails(broken)


def test_a_constant_network(teacher: Path, tmp_path: Path) -> None:
    result = examined(tmp_path / "run", scaled(teacher, tmp_path / "still", 0.0))
    assert result["findings"]["answers"] == "its answers do not depend on the image."
    assert set(result["findings"]) == {"accuracy", "normalisation", "answers"}
    text = (tmp_path / "run/result.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text


def test_a_claim_of_ones_own(teacher: Path, tmp_path: Path) -> None:
    result = examined(tmp_path / "run", teacher, "--claimed", "0.5")
    assert "above the 50.00 % that was claimed" in result["findings"]["accuracy"]


def test_the_written_command_repeats_it(teacher: Path, tmp_path: Path) -> None:
    import shlex

    result = examined(tmp_path / "run", teacher, "--synth.first-crop", "None")
    command = shlex.split((tmp_path / "run/command.txt").read_text().splitlines()[0])
    assert main([*command[1:], *CPU]) == 0
    again = json.loads((tmp_path / "run-replay/result.json").read_text())
    assert again["findings"] == result["findings"]
    assert again["entropy"] == result["entropy"]
    configured = yaml.safe_load((tmp_path / "run-replay/config.yaml").read_text())["config"]
    assert configured["synth"]["first_crop"] is None


def test_ranks_photographs(teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    specs = ["photo:coffee", "noise:0", "photo:page"]
    command = ["doctor", str(teacher), *CPU, "--patches", "300", "--sources", *specs, "--run-dir", str(tmp_path / "r")]
    assert main(command) == 0
    result = json.loads((tmp_path / "r/result.json").read_text())
    ranked = result["ranking"]
    assert sorted(each["spec"] for each in ranked) == sorted(specs)
    assert [each["score"] for each in ranked] == sorted((each["score"] for each in ranked), reverse=True)
    coffee, noise = (next(each for each in ranked if each["spec"] == spec) for spec in specs[:2])
    assert coffee["balance"] > noise["balance"]
    assert coffee["diversity"] > noise["diversity"]
    said = capsys.readouterr().out
    assert "Photographs ranked as sources" in said
    assert "not told apart" in said
    for each in ranked:
        assert each["interval"][0] <= each["score"] <= each["interval"][1]
    assert (tmp_path / "r/figures/patches2.png").is_file()


def test_alone_it_examines_the_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--smoke", *CPU]) == 0
    assert "examination: 100 %" in capsys.readouterr().err
    [run] = (tmp_path / "runs").iterdir()
    assert (run / "teacher/model.safetensors").is_file()
    assert json.loads((run / "result.json").read_text())["n"]["teacher/top1"] == 64


def test_a_dry_run_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "teacher: teach:digits" in said
    assert "data: digits" in said
    assert "# before that, the teacher: exuno teach digits --dry-run" in said
    assert not list(tmp_path.iterdir())


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Runs an examination that must fail; returns the one sentence and the advice."""

    def run(*args: str | Path) -> str:
        capsys.readouterr()
        assert main(["doctor", *map(str, args), *QUICK, "--run-dir", str(tmp_path / "failed")]) == 2
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert len(said.splitlines()) <= 2
        return said

    return run


def test_data_without_labels(teacher: Path, tmp_path: Path, fails) -> None:
    np.savez(tmp_path / "bare.npz", test_images=np.zeros((5, 8, 8), np.uint8))
    assert "has no labels" in fails(teacher, "--data", f"npz:{tmp_path / 'bare.npz'}")


def test_photographs_are_ranked_on_data_without_labels(teacher: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8), np.uint8)
    np.savez(tmp_path / "bare.npz", test_images=images)
    command = ["doctor", teacher, "--data", f"npz:{tmp_path / 'bare.npz'}", "--sources", "noise:0", "photo:page"]
    assert main([*map(str, command), "--patches", "40", *CPU, "--run-dir", str(tmp_path / "r")]) == 0


def test_wrong_classes(teacher: Path, tmp_path: Path, fails) -> None:
    np.savez(tmp_path / "three.npz", test_images=np.zeros((6, 8, 8), np.uint8), test_labels=np.arange(6) % 3)
    assert "has 10 classes but" in fails(teacher, "--data", f"npz:{tmp_path / 'three.npz'}")


def test_a_model_without_classes(tmp_path: Path, fails) -> None:
    folder = tmp_path / "pretrained"
    command = ["fewshot", "pretrain", "digits", "--smoke", *CPU, "--run-dir", str(folder)]
    assert main(command) == 0
    assert "extracts features and names no classes" in fails(folder, "--data", "digits")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--source", "no-such.jpg"], "there is no picture 'no-such.jpg'"),
        (["--sources", "photo:cofee", "noise:0"], "there is no photograph 'photo:cofee'"),
        (["--source", "digits"], "'digits' is no photograph"),
        (["--sources", "noise:0", "noise:0"], "names noise:0 twice"),
        (["--claimed", "93.39"], "--claimed is 93.39"),
        (["--patches", "1"], "--patches is 1"),
        (["--sources", "noise:0"], "two photographs or more"),
        (["--sources", "noise:0", "noise:1", "--source", "noise:2"], "--source says nothing beside --sources"),
        (["--sources", "noise:0", "noise:1", "."], "Put the teacher before --sources."),
        (["--sources", "noise:0", "w.safetensors"], "Put the teacher before --sources."),
        (["--sources", "noise:0", "noise:1", "--claimed", "0.9"], "--claimed says nothing about --sources"),
        (["--data", "digitz"], "Did you mean digits?"),
        (["--split", "exam"], "digits has no split 'exam'"),
    ],
)
def test_mistakes(args: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["doctor", "--devices", "cpu", "--run-dir", str(tmp_path / "run"), *args]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert "Traceback" not in said.err
    assert "teach:" not in said.err  # told before a teacher is trained


def test_unknown_teachers(fails, tmp_path: Path) -> None:
    assert "no preset of teach" in fails("teach:nothing")
    assert "there is no run and no file" in fails("runs/none")
    (tmp_path / "w.safetensors").touch()
    assert "what to test file:" in fails(f"file:{tmp_path}/w.safetensors")


def test_the_published_teacher(shared: Path, cifar10_test, tmp_path: Path) -> None:
    images, labels = cifar10_test[0].transpose(0, 2, 3, 1)[::20], cifar10_test[1][::20]
    np.savez(tmp_path / "c.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    weights = shared / "data/teachers/cifar10_resnet20.safetensors"
    result = examined(tmp_path / "run", f"file:{weights}", "--data", f"npz:{tmp_path / 'c.npz'}", "--claimed", "0.9173")
    assert "that agrees with the 91.73 % that was claimed" in result["findings"]["accuracy"]
    assert "wrong" not in result["findings"]["normalisation"]
    assert result["normalisations"][0]["top1"] == result["metrics"]["teacher/top1"]  # 500 images: the very same
    assert result["normalisations"][0]["name"] == "the card's = ImageNet's"
    assert result["findings"]["label smoothing"].startswith("it looks plain")
