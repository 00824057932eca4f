"""ONNX equals torch within 1e-4 of the largest logit for every family of networks, of images, clips and recordings, at
its own size and others, in batches of any size."""

from pathlib import Path

import onnxruntime
import pytest
import torch

from exuno.engine.options import MelSpec
from exuno.exporting.formats.onnx import write_onnx
from exuno.models.card import Hearing
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "hearing"),
    [
        ("exuno:resnet8", Hearing(8000, 6000, MelSpec(mels=24, hop=0.02))),
        ("exuno:convnet_3_8-batch", Hearing(16000, 16000)),
        ("timm:test_resnet", Hearing(8000, 100)),  # shorter than half of one transform
    ],
)
def test_onnx_hears_as_torch(arch: str, hearing: Hearing, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = load_model(arch, classes=5, pretrained=False, hearing=hearing)
    with torch.no_grad():
        model(torch.randn(4, 1, hearing.length))
    assert write_onnx(model.eval(), tmp_path / "model.onnx") < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    samples = torch.arange(2 * hearing.length) / hearing.rate
    for batch, length in ((1, hearing.length), (5, hearing.length + 31), (2, hearing.length // 3)):
        tones = torch.sin(2 * torch.pi * 440 * (1 + torch.arange(batch))[:, None, None] * samples[:length])
        for recordings in (tones, 1e-3 * torch.randn(batch, 1, length)):
            (found,) = session.run(["logits"], {"recordings": recordings.numpy()})
            with torch.no_grad():
                expected = model(recordings)
            tolerance = 1e-4 * max(1.0, expected.abs().max().item())
            assert (torch.from_numpy(found) - expected).abs().max().item() < tolerance
    (silent,) = session.run(["logits"], {"recordings": torch.zeros(1, 1, hearing.length).numpy()})
    assert torch.from_numpy(silent).isfinite().all()  # its spectrogram is rounding error, which no two libraries share
