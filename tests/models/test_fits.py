"""Networks that do not take images of a size are told before anything is trained, with a size that works."""

import re

import pytest
import torch

from exuno.engine.errors import ExunoError
from exuno.models.build import memory
from exuno.models.load import load_model


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are whatever is in memory, which is never touched: to draw those of VGG-11 takes seconds and 500 MB."""
    for name in ("normal_", "kaiming_normal_", "kaiming_uniform_"):
        monkeypatch.setattr(torch.nn.init, name, lambda weight, *_, **__: weight)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("spec", "size"),
    [
        ("torchvision:vit_b_16", 40),
        ("torchvision:alexnet", 32),
        ("torchvision:squeezenet1_1", 8),
        ("torchvision:vgg11", 16),
        ("torchvision:maxvit_t", 40),
        ("timm:xcit_nano_12_p16_224", 8),
        ("timm:inception_v3", 32),
        ("exuno:convnet", 7),
    ],
)
def test_a_size_that_does_not_fit_is_told_with_one_that_does(spec: str, size: int) -> None:
    with pytest.raises(ExunoError) as told:
        load_model(spec, classes=10, input_size=(size, size), pretrained=False)
    advised = re.search(r"--size (\d+)|multiple of (\d+)", told.value.todo)
    assert advised, told.value
    side = int(advised[1] or advised[2])
    model = load_model(spec, classes=10, input_size=(side, side), pretrained=False)
    assert model.card.input_size == (side, side)


@pytest.mark.parametrize("spec", ["timm:resnet10t", "exuno:resnet20", "torchvision:shufflenet_v2_x0_5"])
def test_networks_that_take_any_size_are_let_through(spec: str) -> None:
    assert load_model(spec, classes=10, input_size=(33, 47), pretrained=False).card.input_size == (33, 47)


def test_a_side_beyond_the_memory_is_told() -> None:
    side = int((memory() / 4) ** 0.5)
    with pytest.raises(ExunoError, match=r"pixels|this machine has"):
        load_model("timm:resnet10t", classes=10, input_size=(side, side), pretrained=False)


def test_what_is_no_classifier_is_told() -> None:
    with pytest.raises(ExunoError, match="auxiliary outputs"):
        load_model("torchvision:googlenet", classes=10, input_size=(224, 224), pretrained=False)
