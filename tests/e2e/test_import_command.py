"""``exuno import``: what it says of a file, and what it writes."""

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from exuno.cli import main
from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier
from exuno.models.load import load_model


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A teacher of one block as main_ibot.py saves it."""
    net = load_model("exuno:vit_64_1_1_4", classes=0, input_size=(8, 8), pretrained=False).net
    state = {f"backbone.{key}": value for key, value in net.state_dict().items() if key != "mask_token"}
    content = {"teacher": state, "optimizer": {}, "epoch": 7, "args": Namespace(arch="vit_small", data_path="CIFAR-FS")}
    torch.save(content, tmp_path / "checkpoint.pth")
    return tmp_path / "checkpoint.pth"


def test_it_says_what_a_checkpoint_is(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(checkpoint)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for part in (
        "architecture exuno:vit_64_1_1_4",
        "input 8x8, 3 channels",
        "classes none",
        "weights of the teacher",
        "epoch 7",
        "dropped optimizer",
        "filled mask_token",
    ):
        assert part in said
    assert "written" not in said


def test_what_it_writes_is_the_same_model(checkpoint: Path, tmp_path: Path) -> None:
    assert main(["import", str(checkpoint), "--to", str(tmp_path / "new")]) == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["model.json", "model.safetensors"]
    one: Classifier = load_model(f"file:{checkpoint}", pretrained=True).eval()
    two: Classifier = load_model(f"run:{tmp_path / 'new'}", pretrained=True).eval()
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(one(images), two(images))
    card = ModelCard.from_json((tmp_path / "new/model.json").read_text())
    assert (card.lineage["epoch"], card.mean) == (7, one.card.mean)


def test_mistakes(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(checkpoint), "--to", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["import", str(tmp_path / "none.pth")]) == 2
    assert "there is no file" in capsys.readouterr().err
    assert main(["import", f"{checkpoint}#student"]) == 2
    assert "holds no student, only teacher" in capsys.readouterr().err


def test_help_needs_no_torch() -> None:
    code = "import sys; from exuno.cli import main; main(['import', '--help']); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
