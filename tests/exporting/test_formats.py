"""Other formats than ONNX: what is written answers as torch does, from the file alone; what cannot be is told."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from exuno.cli import main
from exuno.engine.errors import ExunoError
from exuno.engine.options import MelSpec
from exuno.exporting import check
from exuno.exporting.formats.torch_export import torch_export
from exuno.exporting.options import formats
from exuno.models.card import Hearing
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.load import load_model


def model_of(arch: str = "exuno:resnet8", size: tuple[int, int] = (8, 8), **options) -> Classifier:
    torch.manual_seed(0)
    return load_model(arch, classes=3, input_size=size, pretrained=False, **options).eval()


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    save_model(model_of(), tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("arch", "size", "options"),
    [
        ("exuno:resnet8", (8, 8), {}),
        ("exuno:vit_64_2_1_4", (16, 24), {}),
        ("exuno:x3d_xs_w0.2_d0.2", (32, 32), {}),
        ("exuno:resnet8", (8, 8), {"hearing": Hearing(8000, 6000, MelSpec(mels=24, hop=0.02))}),
    ],
)
def test_torch_export_takes_any_batch_and_size(arch: str, size: tuple[int, int], options: dict, tmp_path: Path) -> None:
    model = model_of(arch, size, **options)
    written = torch_export(model, tmp_path)
    assert (written.file, written.any_size) == ("model.pt2", True)
    program = torch.export.load(tmp_path / "model.pt2").module()
    own = check.sides(model)
    for batch, sides in ((1, own), (5, tuple(side + 7 for side in own)), (2, tuple(side // 2 for side in own))):
        x = check.example(model, batch, *sides)
        with torch.no_grad():
            assert torch.allclose(program(x), model(x), atol=1e-4)


def test_torch_export_needs_no_exuno(run_dir: Path, tmp_path: Path) -> None:
    assert main(["export", str(run_dir), "--to", str(tmp_path / "out"), "--format", "torch-export"]) == 0
    code = (
        "import sys, torch; program = torch.export.load(sys.argv[1]).module();"
        "print(program(torch.full((2, 3, 9, 8), 0.5)).tolist()); sys.exit('exuno' in sys.modules)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "out/model.pt2")]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    with torch.no_grad():
        expected = load_model(f"run:{run_dir}", pretrained=True).eval()(torch.full((2, 3, 9, 8), 0.5))
    assert np.allclose(np.array(eval(said)), expected.numpy(), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "module", "file"),
    [
        ("openvino", "openvino", "openvino/model.xml"),
        ("executorch", "executorch", "model.pte"),
        ("litert", "litert_torch", "model.tflite"),
    ],
)
def test_formats_of_other_packages(name: str, module: str, file: str, tmp_path: Path) -> None:
    pytest.importorskip(module)
    model = model_of("exuno:convnet_2_8", (16, 16))
    written = formats.get(name)(model, tmp_path)
    assert written.file == file
    assert (tmp_path / file).is_file()
    assert written.difference < 1e-4
    formats.get(name)(model_of("exuno:convnet_2_8", (16, 16)), tmp_path)  # takes memory that the first may have lost
    for batch in (1, 64):
        x = torch.rand(1 if written.batch == "1" else batch, 3, 16, 16, generator=torch.Generator().manual_seed(5))
        with torch.no_grad():
            assert np.allclose(np.asarray(written.run(x)), model(x).numpy(), atol=1e-4)


def test_openvino_as_another_program_reads_it(run_dir: Path, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    assert main(["export", str(run_dir), "--to", str(tmp_path / "out"), "--format", "openvino"]) == 0
    assert not (tmp_path / "out/model.onnx").exists()  # a step on the way
    compiled = openvino.Core().compile_model(tmp_path / "out/openvino/model.xml", "CPU")
    x = torch.rand(4, 3, 8, 8)
    with torch.no_grad():
        expected = load_model(f"run:{run_dir}", pretrained=True).eval()(x)
    assert np.allclose(compiled(x.numpy())[0], expected.numpy(), atol=0.05)  # perhaps in bfloat16


def test_core_ml_is_refused_where_it_cannot_be_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from exuno.exporting.formats import coreml

    monkeypatch.setattr(coreml.platform, "system", lambda: "Linux")
    with pytest.raises(ExunoError, match="runs on macOS alone"):
        coreml.coreml(model_of(), tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_core_ml_s_program_has_the_names_of_the_others() -> None:
    pytest.importorskip("coremltools")
    from exuno.exporting.formats.coreml import converted

    described = converted(model_of()).get_spec().description
    assert [each.name for each in described.input] == ["pixels"]
    assert [each.name for each in described.output] == ["logits"]


def test_another_program_is_refused_and_nothing_is_left(run_dir: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    real = torch.export.export

    def other(model: nn.Module, *rest, **options):
        program = real(model, *rest, **options)
        name = "net.linear.bias"
        program.state_dict[name] = nn.Parameter(program.state_dict[name].detach() + 0.01)
        return program

    monkeypatch.setattr(torch.export, "export", other)
    assert main(["export", str(run_dir), "--to", str(tmp_path / "out"), "--format", "torch-export"]) == 2
    assert "differ from torch's by up to 0.01" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


class Untraceable(nn.Module):
    """What no trace goes through: a choice by values."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(3, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.mean((2, 3))) if x.sum() > 0 else self.linear(x.amax((2, 3)))


def test_a_network_that_cannot_be_traced(tmp_path: Path) -> None:
    card = model_of().card
    model = Classifier(Untraceable(), card).eval()
    with pytest.raises(ExunoError, match=r"cannot be written as torch\.export: .+ Leave out this format"):
        torch_export(model, tmp_path)
    assert not [*tmp_path.iterdir()]


def test_mistakes(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def told(*args: object) -> str:
        assert main(["export", str(run_dir), "--to", str(tmp_path / "out"), *map(str, args)]) == 2
        return " ".join(capsys.readouterr().err.split())

    assert "--format onxx is no format. Did you mean onnx?" in told("--format", "onxx")
    for name, module in (("openvino", "openvino"), ("executorch", "executorch"), ("coreml", "coremltools")):
        monkeypatch.setitem(sys.modules, module, None)
        said = told("--format", "torch-export", name)
        assert f"--format {name} needs {module}, which is not installed. pip install {name[:6]}" in said
        assert "if pip finds no version, there is none for Python 3" in said
    assert not (tmp_path / "out").exists()
