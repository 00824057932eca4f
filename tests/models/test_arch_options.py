"""``file:PATH@timm:NAME?KEY=VALUE``: options of an architecture, typed, and only those that a card may set."""

from pathlib import Path

import pytest
import torch

from exuno.engine.errors import ExunoError
from exuno.models.foreign import build_timm, split_options
from exuno.models.load import load_model


def test_options_are_typed() -> None:
    text = "timm:a?img_size=518&num_classes=0&drop_rate=0.5&dynamic_img_size=True&global_pool=avg"
    assert split_options(text) == (
        "timm:a",
        {"img_size": 518, "num_classes": 0, "drop_rate": 0.5, "dynamic_img_size": True, "global_pool": "avg"},
    )


@pytest.mark.parametrize(
    "option",
    [
        *("pretrained=True", "checkpoint_path=x", "pretrained_cfg=a", "pretrained_cfg_overlay=a", "cache_dir=a", "x=1"),
        *("global_pool=https://a.b", "img_size", "img_size=", "", "num_classes=ten", "img_size=1&img_size=2"),
        "num_classes=true",
    ],
)
def test_other_options_are_refused(option: str, tmp_path: Path) -> None:
    torch.save({"a.b": torch.ones(1)}, tmp_path / "m.pth")
    with pytest.raises(ExunoError) as caught:
        load_model(f"file:{tmp_path / 'm.pth'}@timm:vit_tiny_patch16_224?{option}", pretrained=True)
    assert "timm:vit_tiny_patch16_224" in f"{caught.value.what} {caught.value.todo}" or "option" in caught.value.what


@pytest.mark.parametrize("wrap", ["", "module.backbone.", "my_own."])
def test_a_file_of_another_size_without_a_head(wrap: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = build_timm("test_vit", 0, 1, {"img_size": 48})
    torch.save({wrap + key: value for key, value in net.state_dict().items()}, tmp_path / "m.pth")
    spec = f"file:{tmp_path / 'm.pth'}@timm:test_vit?img_size=48&num_classes=0&in_chans=1"
    model = load_model(spec, pretrained=True).eval()
    assert (model.card.input_size, model.card.classes, model.card.in_chans) == ((48, 48), 0, 1)
    images = torch.randn(2, 1, 48, 48)
    torch.testing.assert_close(model.net(images), net.eval()(images))


def test_classes_come_from_the_weights_unless_given(tmp_path: Path) -> None:
    torch.save(build_timm("test_vit", 7, 3, {}).state_dict(), tmp_path / "m.pth")
    assert load_model(f"file:{tmp_path / 'm.pth'}@timm:test_vit", pretrained=True).card.classes == 7
    with pytest.raises(ExunoError, match="do not fit"):
        load_model(f"file:{tmp_path / 'm.pth'}@timm:test_vit?num_classes=3", pretrained=True)


def test_an_option_that_the_network_does_not_take(tmp_path: Path) -> None:
    torch.save(build_timm("resnet10t", 7, 3, {}).state_dict(), tmp_path / "m.pth")
    with pytest.raises(ExunoError, match="cannot be built with mlp_ratio=4"):
        load_model(f"file:{tmp_path / 'm.pth'}@timm:resnet10t?mlp_ratio=4", pretrained=True)
