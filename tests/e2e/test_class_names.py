"""Models and data whose classes have another order, other names, or numbers for names: through the command line."""

import io
import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import exuno
from exuno.cli import main
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.load import load_model

NAMES = ("ship", "cat", "dog")
CPU = ["--devices", "cpu"]
COLOURS = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], np.float64)


def pictures(labels: Sequence[int] | NDArray[np.int64], seed: int = 0) -> NDArray[np.uint8]:
    """uint8 [N, 8, 8, 3]: class 0 is red, 1 green, 2 blue, with noise."""
    noise = np.random.default_rng(seed).normal(0, 20, (len(labels), 8, 8, 3))
    return np.clip(COLOURS[list(labels)][:, None, None] + noise, 0, 255).astype(np.uint8)


def arrays(path: Path, names: Sequence[str] | None = NAMES) -> str:
    """An npz set of 96 training and 48 test images."""
    content: dict[str, Any] = {f"{part}_labels": np.arange(n) % 3 for part, n in (("train", 96), ("test", 48))}
    content |= {f"{part}_images": pictures(content[f"{part}_labels"], n) for n, part in enumerate(("train", "test"))}
    content |= {"class_names": np.array(names)} if names else {}
    np.savez(path, allow_pickle=False, **content)
    return f"npz:{path}"


def folder(path: Path, names: Sequence[str], labels: Sequence[int] = (0, 1, 2), each: int = 8) -> str:
    """A folder of ``each`` images a class; ``names`` are those of the colours ``labels``."""
    for name, label in zip(names, labels, strict=True):
        (path / name).mkdir(parents=True)
        for number, image in enumerate(pictures([label] * each, label)):
            Image.fromarray(image).save(path / name / f"{number}.png")
    return f"folder:{path}"


def shards(path: Path, part: str, names: Sequence[str] | None, order: Sequence[int]) -> None:
    """A shard ``PART/0.tar`` whose label i has the colour ``order[i]``, and its classes.txt."""
    (path / part).mkdir(parents=True)
    labels = [i % 3 for i in range(24)]
    images = pictures([order[label] for label in labels], len(part))
    with tarfile.open(path / part / "0.tar", "w") as tar:
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            file = io.BytesIO()
            Image.fromarray(image).save(file, "PNG")
            for suffix, content in (("png", file.getvalue()), ("cls", str(label).encode())):
                entry = tarfile.TarInfo(f"{part}{number}.{suffix}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    if names:
        (path / part / "classes.txt").write_text("\n".join(names))


TRAIN = [
    "--model",
    "exuno:convnet_1_8",
    "--epochs",
    "30",
    "--batch-size",
    "32",
    "--optim.lr",
    "0.01",
    "--evaluations",
    "0",
]


def teach(run: Path, data: str, *more: str) -> Path:
    assert main(["teach", *TRAIN, *CPU, "--data", data, "--run-dir", str(run), *more]) == 0
    return run


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that tells the colours apart, and calls them ship, cat and dog."""
    place = tmp_path_factory.mktemp("runs")
    return teach(place / "teacher", arrays(place / "colours.npz"))


def turned(run: Path, folder: Path) -> Path:
    """The model of a run with its logits, and so its classes, in another order: dog, ship, cat."""
    model = load_model(f"run:{run}", pretrained=True)
    state = model.net.state_dict()
    for key in [key for key, value in state.items() if len(value.shape) and len(value) == 3][-2:]:
        state[key].copy_(state[key][[2, 0, 1]].clone())
    model.card = replace(model.card, class_names=("dog", "ship", "cat"))
    save_model(model, folder)
    return folder


@pytest.fixture
def measured(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., tuple[dict, str]]:
    """Runs exuno eval; returns its metrics and what stood on standard error."""

    def run(model: Path | str, data: str, *more: str) -> tuple[dict, str]:
        capsys.readouterr()
        out = tmp_path / f"eval{len([*tmp_path.glob('eval*')])}"
        assert main(["eval", str(model), "--data", data, *CPU, "--run-dir", str(out), *more]) == 0
        return json.loads((out / "result.json").read_text())["metrics"], capsys.readouterr().err

    return run


def test_folders_in_another_order_are_matched_by_name(teacher: Path, tmp_path: Path, measured) -> None:
    for names in (NAMES, ("Ship", "CAT", "dog"), ("Ship_", " c-a-t", "dog")):
        metrics, said = measured(teacher, folder(tmp_path / names[0] / names[1], names))
        assert metrics["model/top1"] == 1
        assert "matched by name with those of the model" in said
        assert "--classes by-number" in said
    with np.load(next(tmp_path.glob("eval0/evaluation/model.npz"))) as found:
        assert tuple(found["class_names"]) == NAMES
    assert measured(teacher, f"folder:{tmp_path / 'ship' / 'cat'}", "--classes", "by-number")[0]["model/top1"] == 0


def test_some_of_a_models_classes(teacher: Path, tmp_path: Path, measured) -> None:
    metrics, said = measured(teacher, folder(tmp_path / "two", ("dog", "ship"), (2, 0)))
    assert metrics["model/top1"] == 1
    assert "has 2 of the 3 classes of the model" in said


def test_other_classes_are_refused_with_both_lists_and_the_flag(
    teacher: Path, tmp_path: Path, fails, measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = folder(tmp_path / "other", ("boat", "kitty", "puppy"))
    distill = ["distill", "--teacher", f"run:{teacher}", "--student", "exuno:convnet_1_4", "--data", data, "--smoke"]
    commands = (["eval", teacher, "--data", data], ["doctor", teacher, "--data", data], distill)
    for command in commands:
        said = fails(*command, *CPU)
        for part in ("ship, cat, dog", "boat, kitty, puppy", "--classes by-number"):
            assert part in said, command
    assert measured(teacher, data, "--classes", "by-number")[0]["model/top1"] == 1
    assert main([*distill, *CPU, "--classes", "by-number"]) == 0
    assert "3 classes but" in fails("eval", teacher, "--data", folder(tmp_path / "two", ("cat", "cow"), (0, 1)))


def test_numbered_folders_and_a_model_with_names(teacher: Path, tmp_path: Path, measured, fails) -> None:
    data = folder(tmp_path / "numbers", ("0", "1", "2"))
    metrics, said = measured(teacher, data)
    assert metrics["model/top1"] == 1
    assert "label 0 (0) is class 0 (ship)" in said
    assert "by-name" in said
    assert "0, 1, 2" in fails("eval", teacher, "--data", data, "--classes", "by-name")
    some = folder(tmp_path / "some", ("0", "2"), (0, 2))
    assert "--classes by-number" in fails("eval", teacher, "--data", some)
    assert measured(teacher, some, "--classes", "by-number")[0]["model/top1"] == 1


def test_a_model_of_folders_in_the_order_of_text_is_matched_by_name(teacher: Path, tmp_path: Path, measured) -> None:
    """What was trained when 10 stood before 2 keeps its names, and is right."""
    old = load_model(f"run:{teacher}", pretrained=True)
    old.card = replace(old.card, class_names=("1", "10", "2"))
    save_model(old, tmp_path / "old")
    metrics, said = measured(f"run:{tmp_path / 'old'}", folder(tmp_path / "data", ("1", "10", "2")))
    assert metrics["model/top1"] == 1
    assert "order of the numbers" in said
    assert "matched by name" in said


def test_agreement_of_two_models_in_different_orders(teacher: Path, tmp_path: Path, measured, fails) -> None:
    twin = turned(teacher, tmp_path / "twin")
    data = arrays(tmp_path / "colours.npz")
    metrics, _ = measured(f"run:{twin}", data, "--teacher", str(teacher))
    assert metrics["model/top1"] == metrics["teacher/top1"] == metrics["agreement/top1"] == 1
    assert metrics["agreement/kl"] == pytest.approx(0, abs=1e-5)


def test_a_student_learns_in_the_order_of_its_teacher(teacher: Path, tmp_path: Path) -> None:
    for number, part in enumerate(("train", "test")):
        folder(tmp_path / "data" / part, NAMES, each=8 + number)
    command = ["distill", "--teacher", f"run:{teacher}", "--student", "exuno:convnet_1_8", "--epochs", "10"]
    source = [
        "--source",
        str(tmp_path / "data" / "train"),
        "--loss.hard",
        "0.5",
        "--batch-size",
        "8",
        "--optim.lr",
        "0.01",
    ]
    data = f"folder:{tmp_path / 'data'}"
    assert main([*command, *source, *CPU, "--data", data, "--run-dir", str(tmp_path / "run")]) == 0
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["metrics"]["teacher/top1"] == result["metrics"]["student/top1"] == 1
    assert load_model(f"run:{tmp_path / 'run'}", pretrained=True).card.class_names == NAMES


def test_train_and_test_parts_with_lists_of_their_own(tmp_path: Path, fails) -> None:
    shards(tmp_path / "own", "train", NAMES, (0, 1, 2))
    shards(tmp_path / "own", "test", ("cat", "dog", "ship"), (1, 2, 0))
    data = f"wds:{tmp_path}/own/{{split}}/0.tar"
    more = ["--size", "8", "--batch-size", "8"]
    run = teach(tmp_path / "run", data, *more)
    assert json.loads((run / "result.json").read_text())["metrics"]["model/top1"] == 1
    (tmp_path / "own/test/classes.txt").write_text("boat\nkitty\npuppy")
    for command in (["teach", *TRAIN, *more], ["poster", "--canvas", "8x8", "--size", "8"]):
        said = fails(*command, *CPU, "--data", data, "--smoke", "--run-dir", tmp_path / command[0])
        assert "boat, kitty, puppy" in said
        assert "--classes by-number" in said


def test_a_poster_on_data_in_another_order(tmp_path: Path, fails, capsys: pytest.CaptureFixture[str]) -> None:
    poster = ["poster", "--data", arrays(tmp_path / "colours.npz"), "--ipc", "1", "--model", "exuno:convnet_1_8"]
    assert main([*poster, "--smoke", *CPU, "--run-dir", str(tmp_path / "made")]) == 0
    command = ["eval", f"poster:{tmp_path / 'made'}", *CPU, "--networks", "2", "--steps", "60", "--baselines", "1"]
    for part in ("train", "test"):
        folder(tmp_path / "named" / part, NAMES, each=6 + len(part))
        folder(tmp_path / "other" / part, ("boat", "kitty", "puppy"), each=6 + len(part))
    assert main([*command, "--data", f"folder:{tmp_path / 'named'}", "--run-dir", str(tmp_path / "out")]) == 0
    assert "matched by name with those of the poster" in capsys.readouterr().err
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert max(result["baselines"].values()) == 1  # real images in the poster's order
    said = fails(*command, "--data", f"folder:{tmp_path / 'other'}")
    assert "ship, cat, dog; and boat, kitty, puppy" in said


def test_weights_to_start_from_know_the_classes_in_another_order(teacher: Path, tmp_path: Path, capsys) -> None:
    start = load_model(f"run:{teacher}", pretrained=True)
    images = torch.from_numpy(pictures([0, 1, 2])).permute(0, 3, 1, 2) / 255
    same = arrays(tmp_path / "same.npz")  # ship, cat, dog
    turned(teacher, tmp_path / "turned")
    little = ["--epochs", "1", "--optim.lr", "1e-9"]
    run = teach(tmp_path / "run", same, "--model", f"run:{tmp_path / 'turned'}", *little)
    assert "matched by name" in capsys.readouterr().err
    found = load_model(f"run:{run}", pretrained=True)
    assert found.card.class_names == NAMES
    assert torch.allclose(found.eval()(images), start.eval()(images), atol=1e-3)
    other = arrays(tmp_path / "other.npz", ("boat", "kitty", "puppy"))
    run = teach(tmp_path / "new", other, "--model", f"run:{teacher}", *little)
    assert "a new last layer" in capsys.readouterr().err
    found = load_model(f"run:{run}", pretrained=True)
    assert found.card.class_names == ("boat", "kitty", "puppy")
    assert not torch.allclose(found.eval()(images), start.eval()(images), atol=1e-1)
    run = teach(tmp_path / "kept", other, "--model", f"run:{teacher}", *little, "--classes", "by-number")
    found = load_model(f"run:{run}", pretrained=True)
    assert found.card.class_names == ("boat", "kitty", "puppy")
    assert torch.allclose(found.eval()(images), start.eval()(images), atol=1e-3)


def test_the_doctor_examines_in_the_order_of_the_teacher(teacher: Path, tmp_path: Path) -> None:
    data = folder(tmp_path / "data", NAMES)
    assert main(["doctor", str(teacher), "--data", data, "--smoke", *CPU, "--run-dir", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out/result.json").read_text())["metrics"]["teacher/top1"] == 1


def test_explain_compares_models_in_different_orders(teacher: Path, tmp_path: Path, fails) -> None:
    turned(teacher, tmp_path / "turned")
    models = [str(teacher), f"run:{tmp_path / 'turned'}"]
    data = folder(tmp_path / "data", NAMES)
    base = ["--cache", str(tmp_path / "cache"), "--smoke", *CPU]
    assert main(["explain", "penultimate", *models, "--data", data, *base, "--run-dir", str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out/result.json").read_text())
    one, two = result["geometry"].values()
    assert one["top1"] == two["top1"] == 1
    assert next(iter(result["metrics"].values())) == pytest.approx(0, abs=1e-4)
    assert main(["explain", "neurons", *models, "--smoke", *CPU, "--run-dir", str(tmp_path / "drawn")]) == 0
    units = json.loads((tmp_path / "drawn/result.json").read_text())["units"]
    assert all(len({f"{value:.3f}" for value in row["probabilities"].values()}) == 1 for row in units)
    other = folder(tmp_path / "other", ("boat", "kitty", "puppy"))
    said = fails("explain", "penultimate", teacher, "--data", other, *base)
    assert "knows the classes ship, cat, dog, but" in said
    assert "--classes by-number" in said
    numbered = ["explain", "penultimate", str(teacher), "--data", other, *base, "--run-dir", str(tmp_path / "numbered")]
    assert main([*numbered, "--classes", "by-number", "kitty", "puppy", "boat"]) == 0
    assert json.loads((tmp_path / "numbered/result.json").read_text())["projected"] == ["kitty", "puppy", "boat"]


def test_two_parts_of_which_one_has_no_names_are_the_same_new_classes(tmp_path: Path) -> None:
    from exuno.fewshot.classes import open_classes
    from exuno.fewshot.options import Classes

    shards(tmp_path / "own", "train", NAMES, (0, 1, 2))
    shards(tmp_path / "own", "test", None, (0, 1, 2))
    found = open_classes(f"wds:{tmp_path}/own/{{split}}/0.tar", "train", Classes("all"), None, 0)
    assert found is not None
    assert (found.classes, len(found)) == (NAMES, 48)


def test_in_python(teacher: Path, tmp_path: Path) -> None:
    data = folder(tmp_path / "other", ("boat", "kitty", "puppy"))
    with pytest.raises(exuno.ExunoError, match="classes by-number") as error:
        exuno.evaluate(teacher, data=data)
    assert "--" not in str(error.value)
    assert exuno.evaluate(teacher, data=data, classes="by-number")["model/top1"] == 1


def biased(run: Path, label: int, bias: float) -> Classifier:
    """The model of a run, with something added to one of its logits."""
    model = load_model(f"run:{run}", pretrained=True)
    state = model.net.state_dict()
    state[[key for key in state if key.endswith("bias") and state[key].shape == (3,)][-1]][label] += bias
    return model


def test_a_teacher_at_chance_is_told_before_the_student_starts(
    teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(biased(teacher, 0, 1e6), tmp_path / "bad")
    data = arrays(tmp_path / "colours.npz")
    rest = ["--student", "exuno:convnet_1_4", "--epochs", "1", "--patches", "64", "--data", data, *CPU]
    for name, spec in (("bad", f"run:{tmp_path / 'bad'}"), ("good", f"run:{teacher}")):
        assert main(["distill", "--teacher", spec, *rest, "--run-dir", str(tmp_path / "runs" / name)]) == 0
        said = capsys.readouterr().err
        result = json.loads((tmp_path / "runs" / name / "result.json").read_text())
        page = (tmp_path / "runs" / name / "report.html").read_text()
        assert ("no better than chance, 33.3 %" in said) == ("no better than chance" in page) == (name == "bad")
        assert len(result["notes"]) == (name == "bad")
        if name == "bad":
            assert f"exuno doctor {spec} --data {data}" in said
            assert said.index("no better than chance") < said.index("distill: ")


def test_a_teacher_far_below_what_its_run_measured(teacher: Path, tmp_path: Path, capsys) -> None:
    data = json.loads((teacher / "result.json").read_text())["lineage"]["data"]
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in ("config.yaml", "result.json"):
        (damaged / file).write_bytes((teacher / file).read_bytes())
    save_model(biased(teacher, 2, -1e6), damaged)  # never answers dog, and so is right on two thirds of the images
    rest = ["--student", "exuno:convnet_1_4", "--epochs", "1", "--patches", "64", "--data", data, *CPU]
    assert main(["distill", "--teacher", f"run:{damaged}", *rest, "--run-dir", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().err
    assert "right on 66.67 % of 48 test samples" in said
    assert "its run measured 100.00 % on the same data" in said


def test_a_mistake_that_shows_after_the_teacher_was_measured_leaves_no_run(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails
) -> None:
    def fit(*_: object, **__: object) -> None:
        raise exuno.ExunoError("there is no room", "Make some.")

    monkeypatch.setattr("exuno.distill.train.fit", fit)
    command = ["distill", "--teacher", f"run:{teacher}", "--student", "exuno:convnet_1_4", "--smoke", *CPU]
    data = ["--data", arrays(tmp_path / "colours.npz")]
    assert "there is no room" in fails(*command, *data, "--run-dir", tmp_path / "run")
    assert not (tmp_path / "run").exists()
