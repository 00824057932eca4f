"""ONNX equals torch within 1e-4 of the largest logit for every family of networks, at its own size and others, in
batches of any size."""

from pathlib import Path

import onnxruntime
import pytest
import torch

from exuno.exporting.onnx import write_onnx
from exuno.models.load import load_model

FAMILIES = {
    "exuno:resnet8": (32, 32),
    "exuno:wrn_10_2": (32, 32),
    "exuno:wrn_10_2_tf": (32, 32),
    "exuno:convnet_2_8": (16, 16),
    "exuno:convnet_2_8-group-doubling": (16, 16),
    "exuno:vit_64_2_1_4": (16, 24),
    "exuno:mobilenet_v1_025": (64, 64),
    "exuno:mobilenet_v2_035": (64, 64),
    "exuno:x3d_xs_w0.5_d1": (64, 64),
    "timm:test_resnet": (64, 64),
    "timm:test_vit": (64, 64),
    "torchvision:squeezenet1_1": (64, 64),
    "torchvision:resnet18": (64, 64),
}


@pytest.mark.slow
@pytest.mark.parametrize("arch", FAMILIES)
def test_onnx_equals_torch(arch: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = load_model(arch, classes=5, input_size=FAMILIES[arch], pretrained=False)
    frames = (model.card.frames,) if model.card.frames else ()
    height, width = model.card.input_size
    with torch.no_grad():  # moves the running statistics
        model(torch.rand(4, 3, *frames, height, width))
    model.eval()
    assert write_onnx(model, tmp_path / "model.onnx") < 5e-4
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for batch, size in ((1, (height, width)), (5, (height + 31, width)), (2, (height // 2, width * 2))):
        pixels = torch.rand(batch, 3, *frames, *size)
        (found,) = session.run(["logits"], {"pixels": pixels.numpy()})
        with torch.no_grad():
            expected = model(pixels)
        tolerance = 1e-4 * max(1.0, expected.abs().max().item())  # untrained MobileNets reach 6
        assert (torch.from_numpy(found) - expected).abs().max().item() < tolerance
