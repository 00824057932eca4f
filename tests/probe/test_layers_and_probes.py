"""Layers, their pooling, and the probes: all at once as one at a time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from exuno.data.base import ArrayData
from exuno.data.images.corners import views_of
from exuno.engine.errors import ExunoError
from exuno.engine.method import Numbers
from exuno.features.neighbours import neighbour_votes
from exuno.models.load import load_model
from exuno.probe.layers import absorbed, activations, layers_of, pooling_of
from exuno.probe.linear import Probes, solve, standardise
from exuno.probe.measure import read, ten_crop_test


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


ALEXNET = [
    (96, 55, 6, 3, 9600),
    (256, 27, 4, 0, 9216),
    (384, 13, 3, 1, 9600),
    (384, 13, 3, 1, 9600),
    (256, 13, 2, 0, 9216),
]
"""Channels, side, kernel, padding and numbers of the five layers: yukimasano/linear-probes, eval_linear_probes.py."""


@pytest.mark.parametrize(("channels", "side", "kernel", "padding", "numbers"), ALEXNET)
def test_alexnet_is_pooled_as_published(channels: int, side: int, kernel: int, padding: int, numbers: int) -> None:
    pooling = pooling_of(channels, side, side, 9600)
    assert (pooling.kernel, pooling.padding) == (kernel, padding)
    maps = random(2, channels, side, side)
    found = pooling(maps)
    assert found[0].numel() == numbers
    assert torch.equal(found, F.max_pool2d(maps, kernel, kernel, padding))


def test_pooling_of_small_maps_oblongs_and_tokens() -> None:
    assert pooling_of(16, 4, 4, 9600)(random(1, 16, 4, 4)).shape == (1, 16, 4, 4)
    assert pooling_of(100, 8, 30, 900)(random(1, 100, 8, 30)).shape == (1, 100, 3, 3)
    assert pooling_of(64, 17, 1, 640)(random(1, 64, 17, 1)).shape == (1, 64, 10, 1)


@pytest.mark.parametrize(
    ("arch", "size", "names"),
    [
        ("exuno:convnet_2_8-batch", 8, ["blocks.0.2", "blocks.1.2"]),
        ("exuno:resnet20", 16, None),
        ("exuno:vit_32_3_2_8", 16, None),
        ("timm:resnet18", 32, None),
    ],
)
def test_layers_of_networks(arch: str, size: int, names: list[str] | None) -> None:
    model = load_model(arch, classes=3, input_size=(size, size), pretrained=False)
    layers = layers_of(model, (size, size), 100)
    if names is not None:
        assert [layer.name for layer in layers] == names
    assert 2 <= len(layers) <= 20
    found = activations(model, layers, torch.rand(2, 3, size, size))
    for layer, maps in zip(layers, found, strict=True):
        assert maps.flatten(1).shape == (2, layer.numbers)
        assert layer.numbers <= max(100, layer.channels)


def test_layers_by_name() -> None:
    model = load_model("exuno:convnet_2_8-batch", classes=3, input_size=(8, 8), pretrained=False)
    assert [layer.name for layer in layers_of(model, (8, 8), 100, ["blocks.1.0"])] == ["blocks.1.0"]
    with pytest.raises(ExunoError, match="no module 'conv9'"):
        layers_of(model, (8, 8), 100, ["conv9"])
    with pytest.raises(ExunoError, match=r"'linear' of .* gives no maps"):
        layers_of(model, (8, 8), 100, ["linear"])


def published(tmp_path: Path, heads: dict[str, int]) -> Path:
    """A checkpoint of the layout of the single-image paper, made up: its names and shapes, random numbers."""
    state: dict[str, Tensor] = {}
    for at, (out, into, kernel) in zip(
        (0, 4, 8, 11, 14), ((96, 3, 11), (256, 96, 5), (384, 256, 3), (384, 384, 3), (256, 384, 3)), strict=True
    ):
        state[f"features.{at}.weight"] = random(out, into, kernel, kernel) * (2 / (into * kernel**2)) ** 0.5
        state[f"features.{at}.bias"] = random(out) * 0.1
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"features.{at + 1}.{name}"] = random(out, seed=at).abs() + 0.5 * ("bias" not in name)
        state[f"features.{at + 1}.num_batches_tracked"] = torch.tensor(1)
    for at, into in ((1, 9216), (4, 4096)):
        state[f"classifier.{at}.weight"] = torch.zeros(4096, into)
        state[f"classifier.{at}.bias"] = random(4096)
    for head, classes in heads.items():
        state[f"{head}.weight"], state[f"{head}.bias"] = random(classes, 4096), random(classes)
    path = tmp_path / "ckpt.pth"
    torch.save({"epoch": 1, "arch": "alexnet", "state_dict": state}, path)
    return path


def forward(state: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """The five layers after ReLU, by their formulas."""
    found = []
    for at, stride, padding, pool in (
        (0, 4, 2, True),
        (4, 1, 2, True),
        (8, 1, 1, False),
        (11, 1, 1, False),
        (14, 1, 1, False),
    ):
        x = F.conv2d(x, state[f"features.{at}.weight"], state[f"features.{at}.bias"], stride, padding)
        mean, variance, scale, shift = (
            state[f"features.{at + 1}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
        )
        x = F.relu(F.batch_norm(x, mean, variance, scale, shift))
        found.append(x)
        x = F.max_pool2d(x, 3, 2) if pool else x
    return found


def test_a_published_alexnet_is_read_strictly_and_probed(tmp_path: Path) -> None:
    path = published(tmp_path, {"top_layer0": 10, "top_layer1": 20})
    model = load_model(f"file:{path}", pretrained=True).eval()
    assert (model.card.arch, model.card.classes, model.card.input_size) == ("exuno:alexnet_bn", 10, (224, 224))
    assert model.card.lineage["dropped"] == ["top_layer1.weight", "top_layer1.bias"]
    layers = layers_of(model, (224, 224), 9600)
    assert [layer.name for layer in layers] == [f"features.{at}" for at in (2, 6, 10, 13, 16)]
    assert [layer.numbers for layer in layers] == [numbers for *_, numbers in ALEXNET]
    x = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    state = torch.load(path)["state_dict"]
    found = activations(model, layers, x)
    for layer, maps, expected in zip(layers, found, forward(state, model.prepare(x)), strict=True):
        torch.testing.assert_close(maps, layer.pooling(expected), rtol=1e-4, atol=1e-4)
    data = ArrayData("made", np.random.default_rng(0).integers(0, 256, (4, 3, 224, 224), np.uint8), np.arange(4) % 2)
    features, labels = read(model, layers, data, (224, 224), 0, torch.device("cpu"))
    assert labels.tolist() == [0, 1, 0, 1]
    logits = solve([each.flatten(1) for each in features], labels, [each.flatten(1) for each in features], 2, epochs=1)
    assert logits.shape == (5, 4, 2)


def test_an_alexnet_that_lacks_a_layer_is_refused(tmp_path: Path) -> None:
    path = published(tmp_path, {"top_layer": 10})
    content = torch.load(path)
    del content["state_dict"]["features.8.bias"]
    torch.save(content, path)
    with pytest.raises(ExunoError, match=r"missing features\.8\.bias"):
        load_model(f"file:{path}", pretrained=True)


def test_standardised_features_are_those_of_batch_normalisation() -> None:
    train, test = random(50, 4, 6) * 3 + 2, random(20, 4, 6, seed=1)
    norm = torch.nn.BatchNorm1d(4, affine=False, momentum=1.0)
    expected = norm(train)
    after = (test - train.mean((0, 2))[:, None]) / (train.var((0, 2), correction=0) + 1e-5).sqrt()[:, None]
    standardise(train, test)
    torch.testing.assert_close(train, expected)
    torch.testing.assert_close(test, after)


def test_probes_together_are_probes_alone() -> None:
    """The layers' problems do not touch: logits agree with those of each layer solved by itself, up to rounding; widths
    differ, so that padding counts."""
    labels = torch.arange(60) % 3
    layers = [random(60, 7) + labels[:, None], random(60, 7, seed=1) - labels[:, None] * 0.3]
    narrow = [*layers, random(60, 4, seed=2)]
    options: dict[str, Any] = {"epochs": 2, "batch_size": 20, "seed": 3}
    together = solve(narrow, labels, narrow, 3, **options)
    for place, each in enumerate(narrow):
        alone = solve([each], labels, [each], 3, **options)
        torch.testing.assert_close(together[place], alone[0], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=0.1)


def test_the_probes_agree_with_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    labels = torch.arange(300) % 3
    train, test = random(300, 5), random(300, 5, seed=1)
    for part in (train, test):
        part[:, :3] += 2 * F.one_hot(labels, 3)
    ours = solve([train], labels, [test], 3, epochs=300)[0].argmax(1)
    theirs = LogisticRegression(C=1e3).fit(train.numpy(), labels.numpy()).predict(test.numpy())
    assert (ours.numpy() == theirs).mean() > 0.95


def test_the_published_step_trains_heads_alone_by_their_sum() -> None:
    model = load_model("exuno:convnet_2_8-batch", classes=3, in_chans=1, input_size=(8, 8), pretrained=False)
    before = {key: value.clone() for key, value in model.net.state_dict().items()}
    method = Probes([(model, layers_of(model, (8, 8), 50))], 4).train()
    x, labels = torch.rand(10, 1, 8, 8), torch.arange(10) % 4
    out = method({"images": x, "labels": labels}, Numbers({}))
    expected = sum(F.cross_entropy(each, labels) for each in method.logits(x))
    torch.testing.assert_close(out.loss, expected)
    out.loss.backward()
    assert all(value.grad is not None for value in method.heads.parameters())
    assert all(value.grad is None for value in model.parameters())
    assert all(torch.equal(value, model.net.state_dict()[key]) for key, value in before.items())
    assert not any("features" in key or "blocks" in key for key in method.state_dict())


def test_a_published_probe_begins_as_it_would_alone() -> None:
    model = load_model("exuno:convnet_2_8-batch", classes=3, in_chans=1, input_size=(8, 8), pretrained=False)
    layers = layers_of(model, (8, 8), 50)
    torch.manual_seed(0)
    together = Probes([(model, layers)], 4, seed=5)
    torch.manual_seed(1)
    for head, layer in zip(together.heads, layers, strict=True):
        [alone] = Probes([(model, [layer])], 4, seed=5).heads
        assert all(torch.equal(a, b) for a, b in zip(head.parameters(), alone.parameters(), strict=True))
    other = Probes([(model, layers)], 4, seed=6).state_dict()
    assert not torch.equal(other["heads.0.2.weight"], together.state_dict()["heads.0.2.weight"])
    limit = (6 / (layers[0].numbers + 4)) ** 0.5
    assert 0.9 * limit < together.state_dict()["heads.0.2.weight"].abs().max() <= limit


def test_batch_norms_are_absorbed_where_the_layers_stay_the_same() -> None:
    torch.manual_seed(0)
    model = load_model("exuno:convnet_2_8-batch", classes=3, in_chans=1, input_size=(8, 8), pretrained=False)
    model(torch.rand(32, 1, 8, 8))  # running statistics that are not those of the beginning
    model.eval()
    layers, x = layers_of(model, (8, 8), 50), torch.rand(5, 1, 8, 8)
    found = absorbed(model, layers)
    assert not any(isinstance(each, torch.nn.BatchNorm2d) for each in found.net.modules())
    for one, other in zip(activations(found, layers, x), activations(model, layers, x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    names = [
        name for name, each in model.net.named_modules() if isinstance(each, torch.nn.BatchNorm2d | torch.nn.Conv2d)
    ]
    for name in names[:2]:  # their outputs would be gone, or others
        assert absorbed(model, layers_of(model, (8, 8), 50, [name])) is model


def test_ten_crops_are_averaged() -> None:
    model = load_model("exuno:convnet_1_4", classes=3, in_chans=1, input_size=(7, 7), pretrained=False)
    method = Probes([(model, layers_of(model, (7, 7), 50))], 2).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 1, 8, 8), np.uint8)
    labels = np.arange(6) % 2
    x = torch.from_numpy(pixels) / 255
    with torch.no_grad():
        mean = torch.stack(
            [method.logits(torch.cat([*views_of(x[i : i + 1], (7, 7), 10)]))[0].mean(0) for i in range(6)]
        )
    expected = int((mean.argmax(1) == torch.from_numpy(labels)).sum())
    assert ten_crop_test(method, ArrayData("made", pixels, labels), (8, 8), (7, 7), 0, torch.device("cpu")) == [
        expected
    ]


def test_votes_of_neighbours() -> None:
    known = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    votes = neighbour_votes(known, torch.tensor([0, 0, 1]), torch.tensor([[2.0, 0.0], [0.0, 3.0]]), neighbours=2)
    assert votes.argmax(1).tolist() == [0, 1]
    cosine = 0.1 / 1.01**0.5
    expected = torch.tensor([[0, 0], [np.exp((cosine - 1) / 0.07), 1.0]])
    torch.testing.assert_close(votes[1], expected[1].float())
