"""A finished run that is given again, and whose data are others by now: through the command line."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exuno.cli import main
from exuno.data.poster.format import load, save

CPU = ["--devices", "cpu", "--smoke"]
TEACH = ["teach", "--model", "exuno:convnet_1_4"]


def pictures(folder: Path, seed: int = 0) -> str:
    """A folder of 3 classes, 8 BMP files each in train and test, which keep their sizes whatever they show."""
    rng = np.random.default_rng(seed)
    for part in ("train", "test"):
        for name in ("a", "b", "c"):
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            for number in range(8):
                image = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8))
                image.save(folder / part / name / f"{number}.bmp")
    return f"folder:{folder}"


def edit(folder: Path, file: str) -> None:
    Image.fromarray(np.full((8, 8, 3), 3, np.uint8)).save(folder / file)


def poster(data: str) -> list[str]:
    return ["poster", "--data", data, "--canvas", "8x8", "--size", "8"]


def few(data: str) -> list[str]:
    return ["fewshot", "pretrain", "digits", "--data", data, "--size", "8", "--split", "all"]


def alone(folder: Path) -> list[str]:
    return ["selfsup", "rotnet", "--model", "exuno:convnet_1_4", "--source", str(folder / "train"), "--size", "8"]


@pytest.mark.parametrize(
    ("file", "said"), [("train/b/3.bmp", "the training data (content)"), ("test/b/3.bmp", "the test data (content)")]
)
def test_teach(tmp_path: Path, fails, capsys: pytest.CaptureFixture[str], file: str, said: str) -> None:
    command = [*TEACH, "--data", pictures(tmp_path / "data"), *CPU, "--run-dir", str(tmp_path / "run")]
    assert main(command) == 0
    assert main(command) == 0
    assert "was finished before; nothing is trained again." in capsys.readouterr().err
    edit(tmp_path / "data", file)
    before = (tmp_path / "run/result.json").read_bytes()
    told = fails(*command)
    assert f"{said} of the run in {tmp_path / 'run'} has changed since it began" in told
    assert "--run-dir" in told
    assert (tmp_path / "run/result.json").read_bytes() == before


@pytest.mark.parametrize("holdout", [False, True])
def test_a_class_more(tmp_path: Path, fails, holdout: bool) -> None:
    """Which the model that was trained does not know, so that its test cannot be opened for it."""
    data = pictures(tmp_path / "data")
    command = [*TEACH, "--data", f"{data}/train" if holdout else data, *(["--holdout", "0.25"] if holdout else [])]
    command += [*CPU, "--run-dir", str(tmp_path / "run")]
    assert main(command) == 0
    for part in ("train", "test"):
        shutil.copytree(tmp_path / "data" / part / "a", tmp_path / "data" / part / "d")
    told = fails(*command)
    assert f"what the run in {tmp_path / 'run'} learned from has other classes than when it began: " in told
    assert "has 4" in told


def test_class_names_of_a_poster(tmp_path: Path, fails) -> None:
    """By which the model that learned from it calls its classes: another poster for it, not for what is learned."""
    data = pictures(tmp_path / "data")
    assert main([*poster(data), *CPU, "--run-dir", str(tmp_path / "poster")]) == 0
    path = tmp_path / "poster/distilled.poster"
    command = [*TEACH, "--data", f"poster:{path}?test={data}", *CPU, "--run-dir", str(tmp_path / "run")]
    assert main(command) == main(command) == 0
    made = load(path)
    renamed = replace(made, class_names=("b", "a", "c"))
    assert renamed.fingerprint == made.fingerprint
    save(renamed, path)
    assert f"the training data (class names) of the run in {tmp_path / 'run'} has changed" in fails(*command)


def test_a_poster_that_is_tested_beside_edited_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = pictures(tmp_path / "data")
    assert main([*poster(data), *CPU, "--run-dir", str(tmp_path / "run")]) == 0
    path = tmp_path / "run/distilled.poster"
    command = ["eval", f"poster:{path}", "--networks", "1", "--steps", "1", "--baselines", "1", "--devices", "cpu"]
    told = f"not the {data} that it was distilled from"
    assert main(command) == 0
    assert told not in capsys.readouterr().out
    edit(tmp_path / "data", "train/b/3.bmp")
    assert main(command) == 0
    assert told in capsys.readouterr().out
    made = load(path)
    save(replace(made, lineage={k: v for k, v in made.lineage.items() if k != "data_content"}), path)
    assert main(command) == 0  # of an earlier version
    assert told not in capsys.readouterr().out


def test_a_run_of_an_earlier_version_is_as_it_was(tmp_path: Path, fails) -> None:
    """Its record knows names and sizes alone."""
    command = [*TEACH, "--data", pictures(tmp_path / "data"), *CPU, "--run-dir", str(tmp_path / "run")]
    assert main(command) == 0
    record = tmp_path / "run/inputs.json"
    old = {name: digest for name, digest in json.loads(record.read_text()).items() if "(" not in name}
    assert set(old) == {"training_data", "test_data"}
    record.write_text(json.dumps(old))
    edit(tmp_path / "data", "train/b/3.bmp")
    assert main(command) == 0
    assert json.loads(record.read_text()) == old
    (tmp_path / "data/train/a/9.bmp").write_bytes((tmp_path / "data/train/a/1.bmp").read_bytes())
    assert "the training data of the run" in fails(*command)


def test_data_that_are_not_there_any_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*TEACH, "--data", pictures(tmp_path / "data"), *CPU, "--run-dir", str(tmp_path / "run")]
    assert main(command) == 0
    (tmp_path / "data/train").rename(tmp_path / "train")
    (tmp_path / "data/test").rename(tmp_path / "test")
    capsys.readouterr()
    assert main(command) == 0
    told = capsys.readouterr().err
    assert "nothing is trained again, and whether its data are still the same is not known: " in told
    assert not told.strip().endswith("..")


def test_distill(tmp_path: Path, fails) -> None:
    data, source = pictures(tmp_path / "data"), pictures(tmp_path / "source", 1)
    teach = [*TEACH, "--data", data, *CPU, "--run-dir", str(tmp_path / "teacher")]
    assert main(teach) == 0
    command = ["distill", "--teacher", f"run:{tmp_path / 'teacher'}", "--student", "exuno:convnet_1_4", "--data", data]
    command += ["--source", source, *CPU, "--run-dir", str(tmp_path / "run")]
    assert main(command) == main(command) == 0
    edit(tmp_path / "source", "train/a/1.bmp")
    assert "the source (content) of the run" in fails(*command)
    pictures(tmp_path / "source", 1)
    assert main(command) == 0
    edit(tmp_path / "data", "test/a/1.bmp")
    assert "the test data (content) of the run" in fails(*command)
    pictures(tmp_path / "data")
    (tmp_path / "teacher").rename(tmp_path / "before")
    assert main([*teach, "--seed", "1"]) == 0
    assert "the teacher of the run" in fails(*command)


def test_what_the_teacher_inside_a_run_learned_from(tmp_path: Path, fails) -> None:
    """Its training data are none of the student's, which learns from patches."""
    data, run = pictures(tmp_path / "data"), tmp_path / "run"
    command = ["distill", "digits", "--data", data, "--size", "8", *CPU, "--run-dir", str(run)]
    assert main(command) == main(command) == 0
    edit(tmp_path / "data", "train/a/1.bmp")
    assert f"the training data (content) of the run in {run / 'teacher'} has changed" in fails(*command)


@pytest.mark.parametrize("verb", ["poster", "fewshot", "selfsup"])
def test_other_verbs(tmp_path: Path, fails, verb: str) -> None:
    data = pictures(tmp_path / "data")
    words: Sequence[str] = {"poster": poster(data), "fewshot": few(data), "selfsup": alone(tmp_path / "data")}[verb]
    command = [*words, *CPU, "--run-dir", str(tmp_path / "run")]
    assert main(command) == main(command) == 0
    edit(tmp_path / "data", "train/a/1.bmp")
    assert "(content) of the run" in fails(*command)
