"""The label-smoothing study from end to end: recipes, tiny archives of the published layout, two processes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from exuno.cli import main
from exuno.engine.session import seed_everything
from exuno.models.load import load_model
from exuno.presets import read

CPU = ["--devices", "cpu"]
STAGES = read("study", "label-smoothing-digits").config["stages"]
RANDOM = np.random.default_rng(0)
STUDIES = [
    ("label-smoothing-imagenet", "imagenet"),
    ("label-smoothing-cub200", "cub200"),
    ("label-smoothing-compact", "cub200"),
    ("label-smoothing-compact-imagenet", "imagenet"),
]
STUDENTS = ("resnet18", "resnet50", "mobilenet_v2", "convnext_tiny")


def jpeg(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = RANDOM.integers(100, 160, 2).tolist()
    Image.fromarray(RANDOM.integers(0, 256, (*size, 3), np.uint8)).save(path, quality=60)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``imagenet/`` and ``cub200/``: the layouts of the owners, all classes, 24 training and 8 test images each."""
    root = tmp_path_factory.mktemp("data")
    for split, count in (("train", 24), ("val", 8)):
        for i in range(1000):
            (root / f"imagenet/{split}/n{i:08}").mkdir(parents=True)
        for i in range(count):
            jpeg(root / f"imagenet/{split}/n{41 * i:08}/{i}.JPEG")
    birds = [f"{i + 1:03}.Bird_{i}" for i in range(200)]
    base, labels = root / "cub200/CUB_200_2011", [7 * i % 200 for i in range(32)]
    for i, label in enumerate(labels):
        jpeg(base / f"images/{birds[label]}/{i}.jpg")
    lists = {
        "classes.txt": enumerate(birds, 1),
        "images.txt": ((i + 1, f"{birds[label]}/{i}.jpg") for i, label in enumerate(labels)),
        "image_class_labels.txt": ((i + 1, label + 1) for i, label in enumerate(labels)),
        "train_test_split.txt": ((i + 1, int(i < 24)) for i in range(32)),
    }
    for name, rows in lists.items():
        (base / name).write_text("".join(f"{number} {text}\n" for number, text in rows))
    return root


def publish(folder: Path, names: tuple[str, ...]) -> None:
    """Random weights under the names of torchvision's published ones, in the cache where it looks first."""
    import torchvision

    (folder / "hub/checkpoints").mkdir(parents=True, exist_ok=True)
    for name in names:
        url = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"].url
        net = torchvision.models.get_model(name, weights=None)
        torch.save(net.state_dict(), folder / "hub/checkpoints" / Path(url).name)


@pytest.fixture
def weights(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torchvision's cache, empty."""
    folder = tmp_path_factory.mktemp("torch")
    monkeypatch.setenv("TORCH_HOME", str(folder))
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda url, *_, **__: pytest.fail(f"{url} is not there"))
    return folder


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def explained(args: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*args, "--dry-run"]) == 0
    return yaml.safe_load(capsys.readouterr().out)["config"]


# verb, preset, epochs, rate, weight decay, epochs of the steps, warm-up epochs; from the published scripts by hand.
RECIPES = [
    ("teach", "imagenet-resnet50", 90, 0.1, 1e-4, [30, 60], 0),
    ("teach", "cub200-resnet50", 90, 0.01, 1e-4, [30, 60], 0),
    ("distill", "imagenet-resnet50-kd", 200, 0.1, 1e-4, [80, 160], 5),
    ("distill", "cub200-resnet50-kd", 200, 0.01, 1e-3, [80, 160], 0),
]


@pytest.mark.parametrize(("verb", "name", "epochs", "lr", "decay", "steps", "warmup"), RECIPES)
def test_the_recipes_are_those_of_the_published_code(
    verb: str, name: str, epochs: int, lr: float, decay: float, steps: list[int], warmup: int,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    config = explained([verb, name], capsys)
    optim, augment = config["optim"], config["augment"]
    assert (config["epochs"], config["batch_size"], config["size"]) == (epochs, 256, 224)
    assert (optim["name"], optim["lr"], optim["momentum"], optim["weight_decay"]) == ("sgd", lr, 0.9, decay)
    assert (optim["schedule"], optim["gamma"], optim["nesterov"]) == ("step", 0.1, False)
    assert [epochs * at for at in optim["milestones"]] == pytest.approx(steps)
    assert epochs * optim["warmup"] == warmup
    assert augment["flip"] == 0.5
    if config["data"] == "cub200":
        assert config["pretrained"]
        assert (augment["resized_crop"], augment["aspect"]) == ([0.2, 1], [0.8, 1.25])
        assert (augment["rotate"], augment["gray"], augment["jitter"]) == (45, 0.2, [0.2, 0.2, 0, 0])
    else:
        assert (augment["resized_crop"], augment["rotate"], augment["gray"]) == ([0.08, 1], 0, 0)
        assert not config.get("pretrained")
    if verb == "distill":
        assert config["source"] == [config["data"]]
        assert (config["loss"]["t2"], config["loss"]["hard"], config["mix"]["cutmix"]) == (True, 0, 0)


def test_the_rate_falls_with_the_epoch() -> None:
    """Not a step before, for the number of batches of either data set."""
    from exuno.commandline.presets import resolve
    from exuno.engine.method import TrainState, learning_rate
    from exuno.teach.options import TeachConfig

    rate = learning_rate(resolve(TeachConfig, read("teach", "imagenet-resnet50")).optim)
    for batches in (23, 5004):
        total = 90 * batches
        at = [rate(TrainState(step, total, batches)) for step in (30 * batches - 1, 30 * batches, 60 * batches)]
        assert at == pytest.approx([0.1, 0.01, 0.001])


def test_the_grid_of_every_study_is_that_of_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    axes = {name: explained(["study", name], capsys)["axes"] for name, _ in STUDIES}
    for each in axes.values():
        assert each[:2] == ["teach.label-smoothing=0,0.1", "distill.loss.temperature=1,2,3,64"]
    for name, expected in (("imagenet", "resnet50"), ("cub200", "resnet50"), ("compact", "convnext_tiny")):
        assert expected in axes[f"label-smoothing-{name}"][2]


@pytest.mark.slow
def test_birds_from_published_weights_to_two_students(data: Path, tmp_path: Path, weights: Path) -> None:
    """At 32 pixels: a smoothed teacher with a new head, and a student that starts from published weights."""
    publish(weights, ("squeezenet1_1", "mobilenet_v2"))
    rest = ["--data-root", str(data / "cub200"), "--smoke", "--size", "32", "--workers", "0", "--precision", "no", *CPU]
    teacher = tmp_path / "teacher"
    args = ["teach", "cub200-resnet50", "--model", "torchvision:squeezenet1_1@IMAGENET1K_V1", *rest]
    args += ["--label-smoothing", "0.1", "--run-dir", str(teacher)]
    assert main(args) == 0
    assert json.loads((teacher / "model.json").read_text())["classes"] == 200
    student = tmp_path / "student"
    args = ["distill", "cub200-resnet50-kd", *rest, "--teacher", f"run:{teacher}", "--loss.temperature", "3"]
    args += ["--student", "torchvision:mobilenet_v2@IMAGENET1K_V1", "--optim.lr", "1e-6", "--run-dir", str(student)]
    assert main(args) == 0
    card = json.loads((student / "model.json").read_text())
    assert (card["arch"], card["classes"]) == ("torchvision:mobilenet_v2", 200)
    assert card["mean"] == pytest.approx([0.485, 0.456, 0.406])
    [file] = (weights / "hub/checkpoints").glob("mobilenet*")
    first, now = torch.load(file), load_file(student / "model.safetensors")
    body = [key for key in now if key.endswith("weight") and not key.startswith("classifier")]
    assert all((now[key] - first[key]).abs().max() < 1e-3 for key in body), "the body starts where it was published"
    assert result(student)["metrics"].keys() >= {"teacher/top5", "student/top1", "student/top5"}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "source"), [*STUDIES, ("label-smoothing-digits", "")])
def test_every_study_runs_on_a_sliver(name: str, source: str, data: Path, tmp_path: Path, weights: Path) -> None:
    """As published, 224 pixels and all: a corner of the grid, four steps each."""
    publish(weights, STUDENTS)
    args = ["study", name, "--smoke", *CPU, "--data-root", str(data / source), "--run-dir", str(tmp_path / "study")]
    assert main(args) == 0
    cells = [result(path) for path in (tmp_path / "study/cells").iterdir()]
    assert len(cells) >= 2
    assert (tmp_path / "study/report.html").stat().st_size > 1000


def stages(folder: Path) -> dict[str, list[str]]:
    """Verb -> its options: the stages of the digits study, 11 steps of each.

    Sums of two processes round differently, and training magnifies that: at this rate by a hundred in 11 steps more.
    """
    lines = (line.format(teach=f"run:{folder / 'teach'}", study=folder).split() for line in STAGES)
    short = {verb: [*args, "--epochs", "1", "--budget", "0.5", "--evaluations", "1"] for verb, *args in lines}
    return {
        "teach": [*short["teach"], "--label-smoothing", "0.1"],
        "distill": [*short["distill"], "--loss.temperature", "3"],
    }


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``teach/`` and ``distill/``: a smoothed teacher and its student, in one process."""
    folder = tmp_path_factory.mktemp("one")
    for verb, more in stages(folder).items():
        assert main([verb, *more, *CPU, "--run-dir", str(folder / verb)]) == 0
    return folder


TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "exuno"]


@pytest.mark.parametrize(
    ("launcher", "verb", "devices"),
    [
        pytest.param(["-m", "exuno"], "teach", "cpu:2", marks=pytest.mark.slow),
        pytest.param(["-m", "exuno"], "distill", "cpu:2", marks=pytest.mark.slow),
        pytest.param(TORCHRUN, "distill", "cpu", marks=pytest.mark.slow),
    ],
)
def test_two_processes_bring_a_cell_of_the_digits_study_to_the_result_of_one(
    launcher: list[str], verb: str, devices: str, one: Path, tmp_path: Path
) -> None:
    """Gloo; neither network has batch statistics. The teacher's logits of two processes are cached apart."""
    more = ["--cache-dir", str(tmp_path / "cache")] if verb == "distill" else []
    command = [sys.executable, *launcher, verb, *stages(one)[verb], "--devices", devices, *more]
    done = subprocess.run([*command, "--run-dir", str(tmp_path / "two")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    expected, found = (load_file(folder / "model.safetensors") for folder in (one / verb, tmp_path / "two"))
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], atol=1e-5, rtol=0)
    assert result(tmp_path / "two")["metrics"] == pytest.approx(result(one / verb)["metrics"], abs=1e-4)
    seed_everything(0)
    width = 64 if verb == "teach" else 4
    first = load_model(f"exuno:convnet_2_{width}", classes=10, in_chans=1, input_size=(8, 8), pretrained=False)
    moved = max((expected[key] - value).abs().max() for key, value in first.net.state_dict().items())
    assert moved > 0.01, "nothing was learned"
    assert len([*tmp_path.glob("cache/*")]) == (verb == "distill")
