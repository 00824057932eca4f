"""--dry-run makes every check of the real run that needs no training and no download, and writes nothing."""

import os
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml

from exuno.cli import main
from exuno.specs import is_to_come, to_come


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data of seven classes, data of one, and nothing else; whatever would be fetched cannot be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    images = np.random.default_rng(0).integers(0, 256, (70, 8, 8), dtype=np.uint8)
    for name, labels in (("seven", np.arange(70) % 7), ("one", np.zeros(70, np.int64))):
        np.savez(f"{name}.npz", train_images=images, train_labels=labels, test_images=images ^ 1, test_labels=labels)
    return tmp_path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    "line",
    [
        "teach digits",
        "teach digits --model timm:resnet18 --pretrained",
        "distill digits",
        "distill digits --data npz:seven.npz",
        "distill digits --source npz:seven.npz",
        "distill digits --teacher timm:resnet18 --student torchvision:resnet18 --data npz:seven.npz --pretrained",
        "poster digits",
        "poster digits --order clip",
        "fewshot pretrain digits",
        "fewshot distill digits",
        "fewshot eval random:exuno:convnet_2_16 pixels --data digits",
        "doctor",
        "doctor --sources photo:cat noise:1",
        "synth photo:cat --out patches",
        "study label-smoothing-digits",
        "study --stages 'teach digits' 'distill digits --teacher {teach}'",
    ],
)
def test_what_would_work(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(folder)
    code, said = main([*shlex.split(line), "--dry-run"]), capsys.readouterr()
    if "--teacher timm:resnet18" in line:  # of 1000 classes, which its name tells without its weights
        assert code == 2
        assert "1000 classes" in said.err
    else:
        assert code == 0, said.err
        assert "# checked" in said.out or line.startswith("synth")
    assert yaml.safe_load(said.out)
    assert files(folder) == before


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("teach digits --model exuno:vit_small_16", "cannot be cut into patches"),
        ("teach digits --label-smoothing 2", "--label-smoothing is 2"),
        ("teach digits --precision fp16", "needs a GPU"),
        ("teach digits --devices many", "is not understood"),
        ("teach digits --run-dir .", "is not empty and holds no run"),
        ("teach digits --augment.frames 4", "has single images"),
        ("distill digits --data photo:astronaut", "a photograph, not a data set"),
        ("distill digits --teacher file:nowhere.pth", "there is no file"),
        ("distill digits --teacher timm:nothing_of_the_kind", "timm has no model"),
        ("distill digits --loss.hard 0.5", "needs true labels"),
        ("distill digits --optim.lr 0", "positive --optim.lr"),
        ("distill digits --video.frames 4", "would do nothing"),
        ("distill digits --student exuno:resnet18", "cannot be built"),
        ("poster digits --patch 20", "--patch is 20"),
        ("poster --data npz:one.npz --ipc 1", "has one class"),
        ("poster digits --unroll.runs 3 --devices cpu:2", "cannot be shared by 2 processes"),
        ("poster digits --grid 3x3", "has 9 places for 10 classes"),
        ("fewshot pretrain digits --model exuno:resnet20", "no vision transformer"),
        ("fewshot distill --data digits", "nothing to start from"),
        ("fewshot eval random:exuno:convnet_2_16 --data digits --way 9", "classes"),
        ("doctor timm:resnet18 --data digits", "1000 classes"),
        ("eval timm:resnet18 --data digits", "1000 classes"),
        ("eval timm:resnet18 --data digits --split nothing", "no split"),
        ("explain neurons timm:resnet18 --layer nothing", "has no layer 'nothing'"),
        ("explain attention timm:resnet18 photo:cat", "no attention to draw"),
        ("explain penultimate timm:resnet18 --data digits", "1000 classes"),
        ("synth photo:cat --out .", "is not empty"),
        ("study --stages 'teach digits --model exuno:convnet_2_0'", "a width of 0"),
        ("study --stages 'teach digits' 'distill digits --teacher {teach} --source gone.jpg'", "no picture"),
    ],
)
def test_what_would_not(fails, line: str, words: str, folder: Path) -> None:
    before = files(folder)
    assert words in fails(*shlex.split(line), "--dry-run")
    assert files(folder) == before


def test_a_run_of_another_configuration_is_told(fails, folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "run/config.yaml").write_text("verb: teach\nconfig: {data: digits, epochs: 3}\n")
    assert "another configuration (epochs: 3 there" in fails("teach", "digits", "--run-dir", "run", "--dry-run")
    (folder / "run/config.yaml").write_text("verb: teach\nconfig: {data: digits, epochs: 1, smoke: true}\n")
    assert "another configuration (made with --smoke)" in fails("teach", "digits", "--run-dir", "run", "--dry-run")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("teach cifar10-resnet56", "cifar10 needs --data-root"),
        ("distill digits --teacher hf-hub:some/thing", "whether hf-hub:some/thing is there"),
        ("distill k400-x3d_xs-x3d_xs_e", "there is no file X3D_XS.pyth"),
    ],
)
def test_what_cannot_be_known_is_told_and_is_no_mistake(
    line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*shlex.split(line), "--dry-run"]) == 0
    [told] = [each for each in capsys.readouterr().out.splitlines() if each.startswith("# not checked")]
    assert words in told


def test_what_a_study_will_make_is_not_looked_for() -> None:
    assert not is_to_come("run:study/cells/a")
    with to_come(Path("study")):
        assert is_to_come("run:study/cells/a")
        assert not is_to_come(f"run:other{os.sep}a")
    assert not is_to_come("run:study/cells/a")
