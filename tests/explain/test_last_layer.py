"""The last layer of a network, against the logits that the network itself gives."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from exuno.data.base import ArrayData
from exuno.engine.errors import ExunoError
from exuno.explain.readings import check_logits, last_layer
from exuno.features.extract import extract
from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier
from exuno.models.load import load_model


def network(spec: str, size: int = 8, channels: int = 1) -> Classifier:
    torch.manual_seed(0)
    stats: dict[str, Any] = {"mean": (0.4,) * channels, "std": (0.2,) * channels}
    return load_model(spec, classes=4, in_chans=channels, input_size=(size, size), pretrained=False, **stats)


def images(size: int = 8, channels: int = 1) -> ArrayData:
    pixels = np.random.default_rng(0).integers(0, 256, (12, channels, size, size), np.uint8)
    return ArrayData("noise", pixels, np.arange(12) % 4)


@pytest.mark.parametrize(
    ("spec", "size", "channels"),
    [
        ("exuno:convnet_2_8", 8, 1),
        ("exuno:wrn_10_1", 8, 1),
        ("exuno:resnet8", 8, 1),
        ("exuno:vit_24_2_3_2", 8, 1),
        ("timm:resnet10t", 32, 3),
        ("torchvision:resnet18", 32, 3),
        ("torchvision:mobilenet_v2", 32, 3),
    ],
)
def test_it_makes_the_logits_of_the_features(spec: str, size: int, channels: int) -> None:
    model, data = network(spec, size, channels), images(size, channels)
    layer = last_layer(model)
    features, _ = extract(model, data, features="last", size=(size, size))
    pixels = data.images / 255
    check_logits(model, layer, pixels, features)
    with torch.no_grad():
        wanted = model.eval().net((pixels - 0.4) / 0.2).numpy()
    np.testing.assert_allclose(layer.logits(features.numpy()), wanted, atol=1e-4 * np.abs(wanted).max())


def test_the_span_is_that_of_the_differences_of_weights() -> None:
    layer = last_layer(network("exuno:convnet_2_8"))
    span = layer.span
    assert span.shape == (32, 3)
    np.testing.assert_allclose(span.T @ span, np.eye(3), atol=1e-9)
    differences = layer.weight[1:] - layer.weight[0]
    np.testing.assert_allclose(differences @ span @ span.T, differences, atol=1e-9)
    features = np.random.default_rng(0).normal(size=(5, 32))
    lost = layer.logits(features) - layer.logits(features @ span @ span.T)
    np.testing.assert_allclose(lost, lost[:, :1].repeat(4, 1), atol=1e-9)


def custom(net: nn.Module) -> Classifier:
    return Classifier(net, ModelCard("exuno:custom", 4, 1, (8, 8), (0.4,), (0.2,)))


def test_a_convolution_as_last_layer() -> None:
    model = network("torchvision:squeezenet1_1", 64, 3)
    with pytest.raises(ExunoError, match=r"the logits of torchvision:squeezenet1_1 are not a linear layer"):
        last_layer(model)


def test_something_behind_the_last_layer() -> None:
    data = images()
    for last in (nn.Tanh(), nn.Identity()):
        model = custom(nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 4), last))
        layer = last_layer(model)
        features, _ = extract(model, data, features="last")
        if isinstance(last, nn.Identity):
            check_logits(model, layer, data.images / 255, features)
            continue
        with pytest.raises(ExunoError, match="not a linear layer"):
            check_logits(model, layer, data.images / 255, features)


def test_the_mode_of_the_network_stays() -> None:
    model, data = network("exuno:wrn_10_1"), images()
    features, _ = extract(model, data, features="last")
    assert model.train().training
    check_logits(model, last_layer(model), data.images / 255, features)
    assert model.training
