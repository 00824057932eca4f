"""``exuno import``: what it says of a file, and what it writes."""

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

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


def test_an_8_bit_file_becomes_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = load_model("exuno:mobilenet_v1_025", classes=3, input_size=(32, 32), pretrained=False).net
    state = {}
    for key, value in net.state_dict().items():
        state[key] = value if key.endswith("bias") else (value * 50 + 128).clamp(0, 255).to(torch.uint8).contiguous()
        if not key.endswith("bias"):
            state |= {f"{key}_scale": torch.tensor([0.02]), f"{key}_zero_point": torch.tensor([128])}
    save_file(state, tmp_path / "mobilenet_128.safetensors")
    assert main(["import", str(tmp_path / "mobilenet_128.safetensors"), "--to", str(tmp_path / "new")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for part in ("architecture exuno:mobilenet_v1_025", "input 128x128", "dequantised 8 bit integers"):
        assert part in said
    one, two = (
        load_model(spec, pretrained=True).eval()
        for spec in (f"file:{tmp_path}/mobilenet_128.safetensors", f"run:{tmp_path}/new")
    )
    images = torch.rand(2, 3, 40, 40)
    assert torch.equal(one(images), two(images))


def test_a_distillation_by_lightning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nets = {part: load_model("exuno:resnet8", classes=10, pretrained=False).net for part in ("teacher", "student")}
    state = {f"{part}.{key}": value for part, net in nets.items() for key, value in net.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 5, "optimizer_states": []}, tmp_path / "last.ckpt")
    assert main(["import", str(tmp_path / "last.ckpt")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for part in (
        "architecture exuno:resnet8",
        "weights of the student",
        "epoch 5",
        "dropped teacher, optimizer_states",
    ):
        assert part in said


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
