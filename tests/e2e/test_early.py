"""What a command names is looked at before torch is imported, and unknown words get their nearest."""

import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from exuno.cli import main

EARLY = [
    ("distill digits --source nowhere.jpg", "there is no picture 'nowhere.jpg'"),
    ("distill digits --source page.jpg", "page.jpg"),
    ("distill digits --source photo:astronout", "Did you mean photo:astronaut?"),
    ("distill digits --source noise:loud", "whole number"),
    ("distill digits --source timm:resnet18", "is a model"),
    ("distill digits --source sound:bable", "Did you mean sound:babble?"),
    ("distill digits --source nothere.wav", "there is no recording"),
    ("distill digits --source folder:nowhere", "there is no folder nowhere"),
    ("distill digits --teacher resnet18", "Did you mean timm:resnet18 or torchvision:resnet18?"),
    ("distill digits --teacher runs/mineX", "there is no such folder. Did you mean runs/mine?"),
    ("distill digits --teacher runs/mine", "Did you mean run:runs/mine?"),
    ("distill digits --teacher run:runs/mineX", "no run directory runs/mineX. Did you mean runs/mine?"),
    ("distill digits --teacher run:runs/mine", "has no model.safetensors"),
    ("distill digits --teacher file:wights.pth", "there is no file wights.pth. Did you mean weights.pth?"),
    ("distill digits --teacher file:wights.pth@timm:resnet18", "there is no file wights.pth"),
    ("distill digits --teacher tim:resnet18", "Did you mean timm:resnet18?"),
    ("distill digits --teacher teach:digitz", "Did you mean 'digits'?"),
    ("distill digits --student exuno:wrn164", "Did you mean exuno:wrn_16_4?"),
    ("distill digits --data digts", "Did you mean digits?"),
    ("distill digits --data photo:astronaut", "photo:astronaut is a photograph, not a data set"),
    ("distill digits --data fodler:runs", "Did you mean folder:runs?"),
    ("distill digits --data npz:nowhere.npz", "there is no file nowhere.npz"),
    ("distill digits --data wds:nowhere/*.tar", "there is no folder nowhere"),
    ("distill digits --data runs", "Did you mean folder:runs?"),
    ("teach cifar10-resnet56 --data-root rums", "there is no folder rums. Did you mean runs?"),
    ("teach digits --model resnet118", "resnet"),
    ("poster digits --model exuno:convnett", "Did you mean exuno:convnet?"),
    ("fewshot pretrain digits --model run:nowhere", "no run directory nowhere"),
    ("fewshot distill digits --model pretrain:digitz", "Did you mean 'digits'?"),
    ("fewshot eval run:nowhere", "no run directory nowhere"),
    ("fewshot eval random:exuno:convnett --data digits", "Did you mean exuno:convnet?"),
    ("eval resnet18", "Did you mean timm:resnet18 or torchvision:resnet18?"),
    ("eval runs/mineX", "Did you mean runs/mine?"),
    ("eval run:runs/mineX --data digits", "no run directory runs/mineX"),
    ("doctor run:nowhere", "no run directory nowhere"),
    ("doctor teach:digits --source nowhere.jpg", "no picture"),
    ("doctor teach:digits --sources photo:cat nowhere.jpg", "no picture"),
    ("explain attention run:nowhere photo:cat", "no run directory nowhere"),
    ("explain penultimate run:nowhere", "no run directory nowhere"),
    ("explain neurons file:nowhere.pth", "there is no file nowhere.pth"),
    ("export run:nowhere --to x", "no run directory nowhere"),
    ("import wights.pth", "Did you mean weights.pth?"),
    ("synth nowhere.jpg --out x", "no picture"),
    ("study --stages 'teach digitz'", "Did you mean 'digits'?"),
]
CODE = """
import contextlib, io, sys
from exuno.cli import main
for line in sys.stdin.read().splitlines():
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main(__import__("shlex").split(line))
    print(code, "torch" in sys.modules, " ".join(said.getvalue().split()))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with something to be near to."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/mine").mkdir(parents=True)
    (tmp_path / "weights.pth").touch()
    (tmp_path / "page.jpg").write_text("<!DOCTYPE html><html>404</html>")
    return tmp_path


def test_mistakes_are_told_before_torch_is_imported(folder: Path) -> None:
    lines = "\n".join(line for line, _ in EARLY)
    done = subprocess.run([sys.executable, "-c", CODE], input=lines, capture_output=True, text=True, cwd=folder)
    told = done.stdout.splitlines()
    assert len(told) == len(EARLY), done.stderr
    wrong = [
        (line, said)
        for (line, words), said in zip(EARLY, told, strict=True)
        if not said.startswith("2 False") or words not in said
    ]
    assert wrong == []


def test_nothing_is_written_for_a_mistake(folder: Path, fails) -> None:
    fails("distill", "digits", "--source", "nowhere.jpg", "--smoke")
    assert [path.name for path in (folder / "runs").iterdir()] == ["mine"]


def test_every_known_form_is_one_that_is_opened() -> None:
    """The lists without torch are those of the functions that open."""
    from exuno.data import names as data
    from exuno.data.named.benchmarks import BENCHMARKS
    from exuno.models import names as models
    from exuno.models.load import load_model
    from exuno.models.registry import exuno_models, family_of

    assert set(data.BENCHMARKS) == set(BENCHMARKS)
    found = re.findall(r'prefix == "([a-z0-9-]+)"', inspect.getsource(load_model))
    assert sorted(found) == sorted(models.PREFIXES)
    for name in exuno_models():
        family_of(name)


def test_names_of_libraries_are_read_from_their_source() -> None:
    import timm
    from torchvision.models import list_models

    from exuno.models.names import functions

    assert {"resnet18", "vit_small_patch16_224"} <= functions("timm") <= set(timm.list_models())
    assert {"resnet18", "mobilenet_v2"} <= functions("torchvision") <= set(list_models())


@pytest.mark.parametrize(
    ("spec", "there"),
    [("recordings:a@8000", "a"), ("videos:a@4/1s", "a"), ("wds:a/{000..001}.tar", "a"), ("npz:a@b", "a@b")],
)
def test_a_path_is_told_from_what_follows_it(spec: str, there: str, folder: Path) -> None:
    from exuno.data.names import check_data
    from exuno.engine.errors import ExunoError

    with pytest.raises(ExunoError, match="there is no"):
        check_data(spec)
    (folder / there).mkdir()
    check_data(spec)


@pytest.mark.parametrize("labels", [[0] * 400 + [1] * 400 + [2] * 3, [0] + [1] * 300 + [2] * 300])
def test_a_smoke_poster_of_classes_of_all_sizes(labels: list[int], tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 6, 6), dtype=np.uint8)
    test = {"test_images": images[::2] ^ 1, "test_labels": np.array(labels)[::2]}
    np.savez(tmp_path / "some.npz", train_images=images, train_labels=np.array(labels), **test)
    args = ["poster", "--data", f"npz:{tmp_path}/some.npz", "--ipc", "1", "--smoke", "--devices", "cpu"]
    few = ["--unroll.window", "1", "--unroll.total", "1", "--eval.baselines", "1", "--model", "exuno:convnet_1_8"]
    assert main([*args, *few, "--run-dir", str(tmp_path / "run")]) == 0


@pytest.mark.parametrize("command", ["poster --ipc 1", "teach --model exuno:convnet_1_8"])
def test_one_class_is_nothing_to_tell_apart(command: str, fails, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 6), dtype=np.uint8)
    labels = np.zeros(40, np.int64)
    np.savez(tmp_path / "one.npz", train_images=images, train_labels=labels, test_images=images ^ 1, test_labels=labels)
    said = fails(*command.split(), "--data", f"npz:{tmp_path}/one.npz", "--smoke", "--run-dir", tmp_path / "run")
    assert "has one class, so there is nothing to tell apart" in said


def test_devices_without_gpus_take_the_processor_and_say_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from exuno.engine.devices import make_accelerator
    from exuno.engine.options import RunOptions

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert make_accelerator(RunOptions(devices="2")).device.type == "cpu"
    assert (
        "--devices 2: there is no GPU that torch can use, so 2 processes run on the processor"
        in capsys.readouterr().err
    )
    for devices in ("auto", "cpu", "cpu:2"):
        make_accelerator(RunOptions(devices=devices))
    assert capsys.readouterr().err == ""
    assert main(shlex.split("teach digits --devices 2 --dry-run")) == 0
    assert capsys.readouterr().err.count("on the processor") == 1
