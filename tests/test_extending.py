"""A stranger adds one file and edits nothing: ``module:Name`` wherever exuno takes a name, by the real commands."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from exuno.cli import main
from exuno.engine.errors import ExunoError
from exuno.models.load import load_model
from exuno.models.registry import known_only
from exuno.registry import Registry
from exuno.synth.options import ImageOptions
from exuno.synth.stream import PatchStream

SMOKE = ("--smoke", "--devices", "cpu", "--evaluations", "0")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that Python finds, whose name no other test has."""
    monkeypatch.syspath_prepend(tmp_path)
    return f"extension_{tmp_path.name}".replace("-", "_")


def result(run: Path) -> dict[str, float]:
    return json.loads((run / "result.json").read_text())["metrics"]


LOSS = """
from dataclasses import dataclass
import torch.nn.functional as F

@dataclass(frozen=True)
class Mse:
    scale: float = 1.0
    def __call__(self, student, teacher, labels):
        assert (labels == -1).all()
        return self.scale * F.mse_loss(student, teacher)
"""


def test_a_distillation_loss(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text(LOSS)
    words = ["distill", "digits", *SMOKE, "--loss.kind", f"{module}:Mse"]
    assert main([*words, "--run-dir", str(tmp_path / "run"), "--loss.options", "scale=2"]) == 0
    lines = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert main([*words, "--run-dir", str(tmp_path / "other"), "--loss.options", "scale=3"]) == 0
    assert (tmp_path / "other" / "metrics.jsonl").read_text() != lines
    assert result(tmp_path / "run")["student/top1"] >= 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--loss.kind", "dkdd"], "--loss.kind dkdd is no loss. Did you mean dkd?"),
        (["--loss.kind", "nowhere:Mse"], "Python finds no module 'nowhere'"),
        (["--loss.kind", "math:Mse"], "math has no Mse"),
        (
            ["--loss.kind", "dkd", "--loss.options", "gamma=2"],
            "--loss.kind dkd has no option 'gamma=2'. Its options are",
        ),
        (["--loss.kind", "dkd", "--loss.options", "beta=two"], "beta is two. Give a value of type float"),
        (["--loss.kind", "dist", "--loss.t2"], "--loss.t2 would do nothing: --loss.kind dist has no such option"),
        (["--loss.kind", "argmax", "--loss.standardise"], "--loss.standardise would do nothing"),
        (["--loss.kind", "features", "--no-fresh", "--mix.cutmix", "0", "--cache-logits"], "asks for features"),
        (["--loss.argmax"], "--loss.argmax is --loss.kind argmax now"),
    ],
)
def test_mistakes_with_losses(words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["distill", "digits", *SMOKE, "--run-dir", str(tmp_path / "run"), *words]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_configuration_of_before_is_read(tmp_path: Path) -> None:
    old = tmp_path / "old.yaml"
    config = {"teacher": "teach:digits", "student": "exuno:convnet_2_64", "data": "digits", "loss": {"argmax": True}}
    old.write_text(yaml.safe_dump({"verb": "distill", "about": {"summary": "once"}, "config": config}))
    assert main(["distill", str(old), *SMOKE, "--run-dir", str(tmp_path / "run")]) == 0
    assert "kind: argmax" in (tmp_path / "run" / "config.yaml").read_text()


def test_names_and_facts_are_read_without_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "things"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text(
        'raise RuntimeError\n@things.register(\n    "first",\n    summary="said (so)",\n)\n@other\nclass One: ...\n'
        '@register("second")\ndef two(): ...\n    # @things.register("none")\n'
    )
    registry = Registry("thing", "--thing", "exuno.things")
    monkeypatch.setattr("exuno.registry.PACKAGE", tmp_path)
    assert registry.names == ("first", "second")
    entry = registry.entries["first"]
    assert (entry.module, entry.attribute, entry.facts) == ("exuno.things.one", "One", {"summary": "said (so)"})
    with pytest.raises(ExunoError, match=r"--thing secund is no thing\. Did you mean second\? There are first, second"):
        registry.check("secund")


OPTIMIZER = """
import torch

class SignSgd(torch.optim.Optimizer):
    def __init__(self, groups, lr, weight_decay=0.0, scale=1.0):
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay, "scale": scale})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(p.grad.sign(), alpha=float(group["lr"]) * group["scale"])
"""


def test_an_optimizer(module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / f"{module}.py").write_text(OPTIMIZER)
    words = ["teach", "digits", *SMOKE, "--optim.name", f"{module}:SignSgd"]
    assert main([*words, "--run-dir", str(tmp_path / "one"), "--optim.lr", "0.002"]) == 0
    twice = ["--optim.lr", "0.001", "--optim.options", "scale=2"]
    assert main([*words, "--run-dir", str(tmp_path / "two"), *twice]) == 0
    digests = [(tmp_path / name / "model.safetensors").read_bytes()[-4000:] for name in ("one", "two")]
    assert digests[0] == digests[1]
    assert main([*words, "--run-dir", str(tmp_path / "no"), "--optim.options", "scael=2"]) == 2
    assert "has no option 'scael=2'. It takes lr, weight_decay, scale." in " ".join(capsys.readouterr().err.split())


NETWORK = """
from torch import nn

class Tiny(nn.Sequential):
    def __init__(self, num_classes, in_chans, input_size):
        super().__init__(nn.Flatten(), nn.Linear(in_chans * input_size[0] * input_size[1], num_classes))
"""


def test_a_network(module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / f"{module}.py").write_text(NETWORK)
    run = tmp_path / "run"
    assert main(["distill", "digits", *SMOKE, "--student", f"{module}:Tiny", "--run-dir", str(run)]) == 0
    assert json.loads((run / "model.json").read_text())["arch"] == f"{module}:Tiny"
    assert main(["eval", f"run:{run}", "--smoke", "--devices", "cpu"]) == 0
    assert main(["export", f"run:{run}", "--to", str(tmp_path / "out")]) == 0
    assert main(["eval", f"file:{tmp_path / 'out' / 'model.safetensors'}", "--data", "digits", "--devices", "cpu"]) == 0
    with known_only(), pytest.raises(ExunoError, match="unknown architecture"):
        load_model(f"run:{run}", pretrained=True)
    for name, told in (("Tinny", "is no class of networks"), ("nn", "is no class of networks")):
        assert main(["teach", "digits", *SMOKE, "--model", f"{module}:{name}", "--run-dir", str(tmp_path / name)]) == 2
        assert told in " ".join(capsys.readouterr().err.split())


def test_a_network_that_takes_other_arguments(module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / f"{module}.py").write_text(
        "from torch import nn\nclass Odd(nn.Module):\n  def __init__(self, x): ...\n"
    )
    assert main(["teach", "digits", *SMOKE, "--model", f"{module}:Odd", "--run-dir", str(tmp_path / "run")]) == 2
    assert "Let it take num_classes, in_chans and input_size" in " ".join(capsys.readouterr().err.split())


HEAD = """
import torch

def centre(chunk):
    centres = chunk.support_features().mean(2)
    return chunk.num_correct(torch.cdist(chunk.query_features().flatten(1, 2), centres).argmin(2))
"""


def test_a_few_shot_classifier(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text(HEAD)
    run = tmp_path / "run"
    words = [
        "fewshot",
        "eval",
        "pixels",
        "--data",
        "digits",
        "--way",
        "3",
        "--shot",
        "2",
        "--episodes",
        "50",
        "--queries",
        "5",
    ]
    assert main([*words, "--devices", "cpu", "--head", f"{module}:centre", "knn", "--run-dir", str(run)]) == 0
    metrics = result(run)
    assert len([name for name in metrics if f"{module}:centre" in name]) >= 1
    assert all(value > 0.5 for name, value in metrics.items() if "way" in name)  # pixels of digits, three classes


ALGORITHM = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Mean:
    weight: float = 1.0
    def prepare(self, context, material):
        (material.folder / "seen.txt").write_text(str(len(material.train[0])))
        return self
    def __call__(self, context, images, labels, real, classes, number):
        return self.weight * (images.mean() - real.mean()).square()
"""


def test_a_poster_algorithm(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text(ALGORITHM)
    run = tmp_path / "run"
    words = ["poster", "digits", "--smoke", "--devices", "cpu", "--run-dir", str(run)]
    assert main([*words, "--algorithm", f"{module}:Mean", "--algorithm-options", "weight=2"]) == 0
    assert int((run / "seen.txt").read_text()) > 0


DATA = """
import numpy as np

class Stripes:
    classes = ("across", "down")
    def __init__(self, split):
        self.start, self.length = {"train": (0, 60), "test": (60, 20)}[split]
    def __len__(self):
        return self.length
    def __getitem__(self, i):
        if i >= self.length:
            raise IndexError
        image = np.zeros((8, 8), np.uint8)
        image[(self.start + i) % 8] = 250
        return (image if i % 2 else image.T), i % 2

def pairs(split):
    return [(np.zeros((8, 8), np.uint8), 0), (np.zeros((9, 8), np.uint8), 1)]
"""


def test_a_data_format(module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / f"{module}.py").write_text(DATA)
    run = tmp_path / "run"
    words = ["teach", "digits", "--devices", "cpu", "--evaluations", "0", "--batch-size", "20", "--epochs", "30"]
    assert main([*words, "--data", f"{module}:Stripes", "--run-dir", str(run)]) == 0
    assert result(run)["model/top1"] == 1
    assert json.loads((run / "model.json").read_text())["class_names"] == ["across", "down"]
    assert main([*words, "--data", f"{module}:pairs", "--run-dir", str(tmp_path / "no")]) == 2
    assert "gives no pairs (image, label) of images of one size" in " ".join(capsys.readouterr().err.split())


PROGRAM = """
import numpy as np

def discs(indices, seed, size):
    radius = 1 + (indices + seed) % (size // 2)
    y, x = np.mgrid[:size, :size] - size / 2
    return (255 * (x**2 + y**2 < radius[:, None, None] ** 2)).astype(np.uint8)[..., None]

def floats(indices, seed, size):
    return np.zeros((len(indices), size, size, 3))
"""


def test_a_source_that_is_a_program(module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / f"{module}.py").write_text(PROGRAM)
    run = tmp_path / "run"
    words = ["distill", "digits", *SMOKE, "--run-dir"]
    assert main([*words, str(run), "--source", f"program:{module}:discs"]) == 0
    [lineage] = json.loads((run / "result.json").read_text())["lineage"]["source"]
    assert lineage["sha256"] == hashlib.sha256(PROGRAM.encode()).hexdigest()
    stream = PatchStream([f"program:{module}:discs", "photo:coffee"], 40, ImageOptions(size=8), seed=3)
    together, _ = stream.fetch(np.arange(40))
    assert all(torch.equal(stream[i][0], together[i]) for i in (0, 1, 7, 38))
    assert together[::2].unique().tolist() == [0, 255]
    assert together[1::2].unique().numel() > 50
    for name, told in (("floats", "gave float64 [16, 8, 8, 3]"), ("none", "has no none")):
        assert main([*words, str(tmp_path / name), "--source", f"program:{module}:{name}"]) == 2
        assert told in " ".join(capsys.readouterr().err.split())
    assert main([*words, str(tmp_path / "x"), "--source", "program:nowhere:discs"]) == 2
    assert "Python finds no module 'nowhere'" in capsys.readouterr().err
