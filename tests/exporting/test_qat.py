"""Quantisation-aware distillation: torch rounds as ONNX Runtime does, what is learned is in the file, and it helps."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from exuno.cli import main
from exuno.exporting.formats.onnx import runner, write_onnx
from exuno.exporting.graph import Graph, fake_quantise
from exuno.exporting.int8 import calibration_images, quantise
from exuno.exporting.operators import OPERATORS
from exuno.exporting.qat import adapt
from exuno.models.classifier import Classifier
from exuno.models.files import save_model
from exuno.models.load import load_model


def made(spec: str, size: int, folder: Path, patches: int = 20) -> tuple[Classifier, Path, Path]:
    """A network with random weights, in float32 and in 8 bits."""
    torch.manual_seed(0)
    model = load_model(spec, classes=5, in_chans=3, input_size=(size, size), pretrained=False).eval()
    with torch.no_grad():  # biases of 0 would be one array in the file
        for each in model.net.parameters():
            each.add_(0.02 * torch.randn_like(each))
    whole, small = folder / "model.onnx", folder / "int8.onnx"
    write_onnx(model, whole)
    quantise(whole, small, calibration_images(model, ("photo:astronaut",), patches))
    return model, whole, small


def plainly(path: Path, pixels: torch.Tensor) -> NDArray[np.float32]:
    """What a file computes operator by operator, as it is written."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    found: Any = onnxruntime.InferenceSession(path, options).run(None, {"pixels": pixels.numpy()})
    return found[0]


NETWORKS = [("exuno:resnet8", 8), ("exuno:convnet_2_8", 8), ("exuno:wrn_10_1", 16), ("exuno:vit_32_1_2_4", 8)]


@pytest.mark.parametrize(("spec", "size"), NETWORKS)
def test_torch_rounds_as_the_file_does(spec: str, size: int, tmp_path: Path) -> None:
    """The logits are whole steps: most are the same, and a value that lay between two steps moves few of them by one or
    two."""
    model, whole, small = made(spec, size, tmp_path)
    graph, pixels = Graph(small, whole), torch.rand(16, 3, size + 3, size)  # of another size: it is resized inside

    def apart() -> NDArray[np.float32]:
        """In steps of the logits."""
        step = graph.scale("logits_scale").item()
        return np.abs(graph(pixels).detach().numpy() - plainly(small, pixels)) / step

    before = plainly(small, pixels)
    with torch.inference_mode():
        assert np.abs(before - model(pixels).numpy()).max() > 0
    assert (apart() < 0.01).mean() > 0.5
    assert apart().max() < 3
    with torch.no_grad():  # what is learned reaches the file: weights, scales, biases
        for each in graph.weights.parameters():
            each.mul_(1.2)
        for each in graph.factors.parameters():
            each.add_(0.1)
    graph.write(small)
    assert np.abs(plainly(small, pixels) - before).mean() > graph.scale("logits_scale").item()
    assert (apart() < 0.01).mean() > 0.5
    assert apart().max() < 3


def test_gradient_of_weight_and_scale() -> None:
    """LSQ, equation 3: within the range round(x/s) - x/s, beyond it the end of the range."""
    x = torch.tensor([0.26, -0.61, 9.0, -9.0], requires_grad=True)
    scale = torch.tensor(0.1, requires_grad=True)
    found = fake_quantise(x, scale, torch.tensor(0.0), -8, 7)
    assert torch.allclose(found, torch.tensor([0.3, -0.6, 0.7, -0.8]))
    for place, wanted in enumerate((3 - 2.6, -6 + 6.1, 7.0, -8.0)):
        of_x, of_scale = torch.autograd.grad(found[place], (x, scale), retain_graph=True)
        assert of_x[place] == (1 if place < 2 else 0)
        assert float(of_scale) == pytest.approx(wanted, abs=1e-4)


def test_learning_brings_it_back_to_float32(tmp_path: Path) -> None:
    """Calibrated on one patch, the ranges are too narrow; the patches of the same photograph widen them."""
    model, whole, small = made("exuno:resnet8", 8, tmp_path, patches=1)
    pixels = torch.from_numpy(calibration_images(model, ("photo:coffee",), 50)[0])
    with torch.inference_mode():
        expected = model(pixels).numpy()

    def lost() -> float:
        return float(np.abs(runner(small, model.card)(pixels) - expected).mean())

    before, kept = lost(), small.read_bytes()
    adapt(model, (whole, small), ("photo:astronaut",), 40, None)
    assert lost() < 0.8 * before
    learned = small.read_bytes()
    small.write_bytes(kept)
    adapt(model, (whole, small), ("photo:astronaut",), 40, None)
    assert small.read_bytes() == learned


def test_export_tells_all_three(tmp_path: Path, capsys) -> None:
    torch.manual_seed(0)
    save_model(
        load_model("exuno:convnet_1_8", classes=10, in_chans=1, input_size=(8, 8), pretrained=False), tmp_path / "run"
    )
    out = tmp_path / "out"
    args = ["--int8", "--qat", "2", "--calibration-images", "8", "--data", "digits"]
    assert main(["export", str(tmp_path / "run"), "--to", str(out), *args]) == 0
    share = r"\d\S+ %"
    assert re.search(
        f"after 2 steps of learning; top-1 on digits/test {share} -> {share} -> {share}", capsys.readouterr().out
    )
    card = (out / "README.md").read_text()
    rows = re.findall(
        r"^\| (`model.onnx`|in 8 bits, as calibrated|`model-int8.onnx`) \|.*\| 355 \|", card, re.MULTILINE
    )
    assert rows == ["`model.onnx`", "in 8 bits, as calibrated", "`model-int8.onnx`"]
    assert "in 2 steps on other images of photo:astronaut" in card


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    torch.manual_seed(0)
    save_model(
        load_model("exuno:convnet_1_8", classes=3, in_chans=1, input_size=(8, 8), pretrained=False), tmp_path / "run"
    )

    def told(*args: str) -> str:
        assert main(["export", str(tmp_path / "run"), "--to", str(tmp_path / "out"), *args]) == 2
        assert not (tmp_path / "out").exists()
        return " ".join(capsys.readouterr().err.split())

    assert "--qat is for --int8, which is off" in told("--qat", "5")
    assert "--qat is -1" in told("--int8", "--qat", "-1")
    monkeypatch.delitem(OPERATORS, "InstanceNormalization")
    said = told("--int8", "--qat", "5", "--calibration-images", "4")
    assert "--qat does not know the operator InstanceNormalization of this network. Leave out --qat." in said


CASES = {
    "AveragePool": ([(1, 2, 5, 6)], {"kernel_shape": [2, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "Clip": ([(2, 3)], {}),
    "Conv": ([(2, 4, 7, 7), (6, 2, 3, 3), (6,)], {"group": 2, "strides": [2, 1], "pads": [0, 1, 2, 1]}),
    "Gelu": ([(2, 3)], {"approximate": "tanh"}),
    "Gemm": ([(4, 3), (5, 4), (5,)], {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0}),
    "GlobalAveragePool": ([(1, 2, 5, 6)], {}),
    "HardSigmoid": ([(9,)], {"alpha": 0.3, "beta": 0.4}),
    "HardSwish": ([(9,)], {}),
    "LayerNormalization": ([(2, 3, 4), (4,), (4,)], {"axis": -1, "epsilon": 1e-3}),
    "LeakyRelu": ([(9,)], {"alpha": 0.2}),
    "MaxPool": ([(1, 2, 6, 6)], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]}),
    "Softmax": ([(2, 3)], {"axis": 0}),
    "Transpose": ([(2, 3, 4)], {"perm": [2, 0, 1]}),
}
"""Operator -> shapes of its inputs, attributes."""

WHOLE = {
    "Expand": ([(2, 1)], {}, [[2, 3]]),
    "Gather": ([(2, 3, 4)], {"axis": 1}, [[-1, 0]]),
    "Pad": ([(1, 2, 3, 3)], {}, [[0, 0, 1, 2, 0, 1, 0, 3]]),
    "ReduceMean": ([(2, 3, 4)], {"keepdims": 0}, [[1, -1]]),
    "Reshape": ([(2, 3, 4)], {}, [[0, -1]]),
    "Slice": ([(2, 7, 4)], {}, [[1], [2**62], [1], [2]]),
    "Squeeze": ([(1, 3, 1)], {}, [[0]]),
    "Unsqueeze": ([(2, 3)], {}, [[0, -1]]),
}
"""Likewise, with inputs of whole numbers behind them."""


@pytest.mark.parametrize("kind", [*CASES, *WHOLE])
def test_operators(kind: str) -> None:
    shapes, options, *rest = CASES.get(kind) or WHOLE[kind]
    random = np.random.default_rng(0)
    inputs = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    inputs += [np.array(each, np.int64) for each in (rest[0] if rest else ())]
    names = [f"in{place}" for place in range(len(inputs))]
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(each.dtype), each.shape)
        for name, each in zip(names, inputs, strict=True)
    ]
    graph = helper.make_graph(
        [helper.make_node(kind, names, ["out"], **options)],
        "one",
        values,
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    expected: Any = session.run(None, dict(zip(names, inputs, strict=True)))[0]
    found = OPERATORS[kind](options, *map(torch.from_numpy, inputs))
    assert found.shape == expected.shape
    assert np.allclose(found.numpy(), expected, atol=1e-5)


def test_integers_of_the_file_stay_in_range(tmp_path: Path) -> None:
    _, whole, small = made("exuno:resnet8", 8, tmp_path)
    graph = Graph(small, whole)
    with torch.no_grad():
        for each in graph.weights.parameters():
            each.mul_(3)
    graph.write(small)
    arrays = [
        numpy_helper.to_array(each)
        for each in onnx.load(small).graph.initializer
        if each.name.endswith("weight_quantized")
    ]
    assert arrays
    assert all(each.min() == -127 and each.max() == 127 for each in arrays)
