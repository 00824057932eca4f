"""8 bits: calibrated on a photograph, measured on data, smaller, and told in the card."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from exuno.cli import main
from exuno.data.open import open_data
from exuno.engine.options import MelSpec
from exuno.exporting import int8
from exuno.exporting.formats.onnx import write_onnx
from exuno.models.card import Hearing
from exuno.models.files import save_model
from exuno.models.load import load_model


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that reads digits, from a short training."""
    folder = tmp_path_factory.mktemp("home") / "run"
    args = ["teach", "digits", "--budget", "0.25", "--devices", "cpu", "--run-dir", str(folder)]
    assert main(args) == 0
    return folder


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_model(load_model("exuno:resnet8", classes=3, input_size=(8, 8), pretrained=False), tmp_path / "run")
    return tmp_path / "run"


def test_digits_survive_8_bits_calibrated_on_a_photograph(digits_run: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert main(["export", str(digits_run), "--to", str(out), "--int8"]) == 0
    said = capsys.readouterr()
    assert "top-1 on digits/test" in said.out
    assert said.err == ""
    whole, small = (out / name for name in ("model.onnx", "model-int8.onnx"))
    assert small.stat().st_size < 0.6 * whole.stat().st_size
    model, test = load_model(f"run:{digits_run}", pretrained=True).eval(), open_data("digits", "test")
    images, labels = test.fetch(np.arange(len(test)))
    pixels = torch.stack([*images]) / 255
    right = [
        float((answers(pixels).argmax(1) == labels).float().mean())
        for answers in (int8.Answers(model, whole), int8.Answers(model, small))
    ]
    assert right[0] > 0.95
    assert right[1] > right[0] - 0.02  # 7 of 355 digits
    card = (out / "README.md").read_text()
    assert "## In 8 bits" in card
    assert "on 100 images of photo:astronaut" in card
    for file, share in zip((whole, small), right, strict=True):
        assert f"| `{file.name}` | {file.stat().st_size:,} | {100 * share:.2f} % | 355 |" in card


def test_the_ranges_are_those_of_the_calibration(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = load_model("exuno:convnet_1_4", classes=3, in_chans=1, input_size=(8, 8), pretrained=False).eval()
    write_onnx(model, tmp_path / "model.onnx")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "black.png")

    def scale(source: str) -> float:
        """Of the pixels."""
        images = int8.calibration_images(model, (source,), 20)
        int8.quantise(tmp_path / "model.onnx", tmp_path / "int8.onnx", images)
        graph = onnx.load(tmp_path / "int8.onnx").graph
        scales = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
        first = next(node for node in graph.node if node.op_type == "QuantizeLinear")
        return float(scales[first.input[1]])

    std = model.card.std[0]
    assert scale("digits") == pytest.approx(1 / std / 255, rel=0.05)  # from black to white
    assert scale(str(tmp_path / "black.png")) == pytest.approx(model.card.mean[0] / std / 255, rel=0.05)


def test_weights_are_int8_by_channel_and_pixels_are_not(run_dir: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert main(["export", str(run_dir), "--to", str(out), "--int8", "--calibration-images", "8"]) == 0
    assert "accuracy not measured: what to test" in capsys.readouterr().out
    assert "Its accuracy was not measured" in (out / "README.md").read_text()
    graph = onnx.load(out / "model-int8.onnx").graph
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    weights = [array for array in arrays.values() if array.dtype == np.int8 and array.ndim == 4]
    assert len(weights) == sum(node.op_type == "Conv" for node in graph.node)
    assert any(array.dtype == np.float32 and array.shape == (16,) for array in arrays.values())  # scales of a layer
    resize = [node for node in graph.node if "pixels" in node.input]
    assert resize
    assert not any(node.op_type == "QuantizeLinear" for node in resize)
    model = load_model(f"run:{run_dir}", pretrained=True).eval()
    for shape in ((1, 3, 8, 8), (5, 3, 20, 11)):  # still any batch and any size
        assert int8.Answers(model, out / "model-int8.onnx")(torch.rand(shape)).shape == (shape[0], 3)


def test_calibration_images_have_the_channels_and_the_size_of_the_network() -> None:
    model = load_model("exuno:convnet_2_8", classes=3, in_chans=1, input_size=(12, 12), pretrained=False)
    chunks = int8.calibration_images(model, ("photo:astronaut", "photo:coffee"), 70)
    assert [chunk.shape for chunk in chunks] == [(50, 1, 12, 12), (20, 1, 12, 12)]
    assert chunks[0].dtype == np.float32
    assert 0 <= chunks[0].min() < 0.2 < 0.8 < chunks[0].max() <= 1
    assert sum(map(len, int8.calibration_images(model, ("digits",), 33))) == 33


def test_mistakes(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def told(*args: object, model: object = run_dir) -> str:
        assert main(["export", str(model), "--to", str(tmp_path / "out"), *map(str, args)]) == 2
        assert not (tmp_path / "out").exists()
        return " ".join(capsys.readouterr().err.split())

    assert "--calibrate is for --int8, which is off" in told("--calibrate", "noise:1")
    assert "--calibration-images is for --int8" in told("--calibration-images", "3")
    assert "--calibration-images is 0" in told("--int8", "--calibration-images", "0")
    assert "nowhere.jpg" in told("--int8", "--calibrate", "nowhere.jpg")
    assert "--calibrate run:x is a model" in told("--int8", "--calibrate", "run:x")
    assert "mixes photographs with other data" in told("--int8", "--calibrate", "noise:1", "digits")
    assert "has 3 classes but digits" in told("--int8", "--data", "digits", "--calibration-images", "4")
    sound = load_model("exuno:resnet8", classes=3, pretrained=False, hearing=Hearing(8000, 6000, MelSpec(mels=24)))
    clips = load_model("exuno:x3d_xs_w0.2_d0.2", classes=3, pretrained=False)
    for name, model in (("sound", sound), ("clips", clips)):
        save_model(model, tmp_path / name)
        assert "and --int8 is for networks of single images" in told("--int8", model=tmp_path / name)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert '--format onnx needs onnxruntime, which is not installed. pip install "exuno[onnx]"' in told("--int8")
