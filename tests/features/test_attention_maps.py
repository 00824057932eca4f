"""Attention of [CLS]: the softmax that the network itself takes, drawn where it belongs."""

import numpy as np
import pytest
import torch
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.features.attention import HEAT, attention, cls_attention, heat, overlay
from exuno.models.classifier import Classifier
from exuno.models.load import load_model


@pytest.fixture(scope="module")
def vit() -> Classifier:
    torch.manual_seed(0)
    model = load_model("exuno:vit_24_2_3_2", classes=3, in_chans=1, input_size=(8, 8), pretrained=False)
    return model.eval()


@pytest.mark.parametrize("block", [0, 1, -1])
def test_the_rows_are_those_of_the_network_and_sum_to_one(vit: Classifier, block: int) -> None:
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = cls_attention(vit.net, x, block)
    assert found.shape == (2, 3, 1 + 16)
    torch.testing.assert_close(found.sum(2), torch.ones(2, 3))
    layer, seen = vit.net.blocks[block].attn, []  # pyright: ignore
    layer.fused_attn = False
    handle = layer.attn_drop.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    vit.net(x)
    handle.remove()
    layer.fused_attn = True
    torch.testing.assert_close(found, seen[0][:, :, 0])


def test_maps_lie_as_the_patches_do(vit: Classifier) -> None:
    pixels = torch.rand(2, 1, 8, 12, generator=torch.Generator().manual_seed(0))
    maps = attention(vit, pixels)
    assert maps.shape == (2, 3, 4, 6)
    x = (pixels - vit.mean) / vit.std
    torch.testing.assert_close(maps.flatten(2), vit.net.read(x).attention)  # pyright: ignore


def test_attention_is_drawn_over_the_images() -> None:
    pixels = torch.rand(2, 1, 8, 12, generator=torch.Generator().manual_seed(0))
    maps = torch.zeros(2, 3, 4, 6)
    drawn = overlay(pixels, maps)
    assert drawn.shape == (2, 2 + 3, 8, 12, 3)
    np.testing.assert_array_equal(drawn[:, 0], (pixels[:, 0, :, :, None] * 255).round().byte().expand(-1, -1, -1, 3))
    maps[0, 1, 1, 4] = 0.2  # second row of patches, fifth column, second head
    drawn = overlay(torch.zeros(2, 1, 8, 12), maps).astype(int).sum(-1)
    for column, hot in ((1, True), (2, False), (3, True), (4, False)):
        dark = drawn[1, column, 0, 0]
        bright = drawn[0, column] > 2 * dark
        assert bright[2:4, 8:10].all() == hot
        assert not bright[:, :6].any()
        assert not bright[6:].any()


def test_heat_goes_through_its_colours() -> None:
    found = heat(torch.linspace(0, 1, 5).view(1, 1, 1, 5))
    torch.testing.assert_close(found[0, 0, :, 0].T, torch.tensor(HEAT))


def pixels(side: int, channels: int = 1) -> Tensor:
    return torch.zeros(1, channels, side, side)


def test_networks_without_attention_and_sizes_are_refused(vit: Classifier) -> None:
    with pytest.raises(ExunoError, match="no attention to draw"):
        attention(load_model("exuno:convnet_1_4", classes=2, pretrained=False), pixels(32, 3))
    with pytest.raises(ExunoError, match="--block is 2, but exuno:vit_24_2_3_2 has 2"):
        attention(vit, pixels(8), 2)
    with pytest.raises(ExunoError, match="cannot be cut into the patches"):
        attention(vit, pixels(9))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vit_tiny_patch16_224", None),
        ("deit_tiny_distilled_patch16_224", None),
        ("vit_base_patch16_rope_224", "tokens"),
    ],
)
def test_transformers_of_timm(name: str, said: str | None) -> None:
    import timm

    net = timm.create_model(name, depth=2, embed_dim=24, num_heads=2, num_classes=3).eval()
    model = load_model("exuno:vit_24_2_3_2", classes=3, input_size=(224, 224), pretrained=False).eval()
    model.net = net
    if said:
        with pytest.raises(ExunoError, match=said):
            attention(model, pixels(224, 3))
        return
    torch.testing.assert_close(cls_attention(net, torch.zeros(1, 3, 224, 224)).sum(2), torch.ones(1, 2))
    assert attention(model, pixels(224, 3)).shape == (1, 2, 14, 14)
    with pytest.raises(ExunoError, match="does not take images of 192x192 pixels"):
        attention(model, pixels(192, 3))
