"""Published networks that files do not name: each computes what its own code computes, written here a second time as
functions of the state dict."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from exuno.data.constants import CIFAR, CIFAR10_CLASSES, CIFAR100, IMAGENET
from exuno.engine.errors import ExunoError
from exuno.models.load import load_model

State = dict[str, Tensor]


def conv(state: State, key: str, outputs: int, inputs: int, side: int) -> None:
    state[f"{key}.weight"] = torch.randn(outputs, inputs, side, side) * (2 / (inputs * side * side)) ** 0.5


def norm(state: State, key: str, width: int) -> None:
    for name in ("weight", "running_var"):
        state[f"{key}.{name}"] = torch.rand(width) + 0.5
    for name in ("bias", "running_mean"):
        state[f"{key}.{name}"] = torch.randn(width) / 4
    state[f"{key}.num_batches_tracked"] = torch.tensor(5)


def linear(state: State, key: str, outputs: int, inputs: int) -> None:
    state[f"{key}.weight"], state[f"{key}.bias"] = torch.randn(outputs, inputs) / inputs**0.5, torch.randn(outputs)


def bn(state: State, key: str, x: Tensor) -> Tensor:
    stats = (state[f"{key}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
    mean, var, weight, bias = stats
    return F.batch_norm(x, mean, var, weight, bias, training=False, eps=1e-5)


def resnet(stem: int, widths: Iterable[int], blocks: Iterable[int], deep: bool, names: tuple[str, str]) -> State:
    """Made-up weights of a ResNet with convolutions as shortcuts."""
    state: State = {}
    shortcut, head = names
    conv(state, "conv1", stem, 3, 3)
    norm(state, "bn1", stem)
    inputs = stem
    for group, (width, count) in enumerate(zip(widths, blocks, strict=True), 1):
        for number in range(count):
            key, outputs = f"layer{group}.{number}", width * (4 if deep else 1)
            kernels = ((width, inputs, 1), (width, width, 3), (outputs, width, 1)) if deep else ((width, inputs, 3),)
            kernels = kernels if deep else (*kernels, (width, width, 3))
            for index, shape in enumerate(kernels, 1):
                conv(state, f"{key}.conv{index}", *shape)
                norm(state, f"{key}.bn{index}", shape[0])
            if inputs != outputs or (group > 1 and number == 0):
                conv(state, f"{key}.{shortcut}.0", outputs, inputs, 1)
                norm(state, f"{key}.{shortcut}.1", outputs)
            inputs = outputs
    linear(state, head, 10 if head == "linear" else 100, inputs)
    return state


def run_resnet(state: State, x: Tensor, pool: int) -> Tensor:
    x = F.relu(bn(state, "bn1", F.conv2d(x, state["conv1.weight"], padding=1)))
    blocks = sorted({match[0] for key in state if (match := re.match(r"layer\d\.\d+", key))}, key=_numbers)
    for key in blocks:
        stride = 2 if key.endswith(".0") and not key.startswith("layer1") else 1
        if f"{key}.conv3.weight" in state:
            y = F.relu(bn(state, f"{key}.bn1", F.conv2d(x, state[f"{key}.conv1.weight"])))
            y = F.conv2d(y, state[f"{key}.conv2.weight"], stride=stride, padding=1)
            y = F.conv2d(F.relu(bn(state, f"{key}.bn2", y)), state[f"{key}.conv3.weight"])
            y = bn(state, f"{key}.bn3", y)
        else:
            y = F.conv2d(x, state[f"{key}.conv1.weight"], stride=stride, padding=1)
            y = F.conv2d(F.relu(bn(state, f"{key}.bn1", y)), state[f"{key}.conv2.weight"], padding=1)
            y = bn(state, f"{key}.bn2", y)
        for name in ("shortcut", "downsample"):
            if f"{key}.{name}.0.weight" in state:
                x = bn(state, f"{key}.{name}.1", F.conv2d(x, state[f"{key}.{name}.0.weight"], stride=stride))
        x = F.relu(x + y)
    head = "linear" if "linear.weight" in state else "fc"
    return F.linear(F.avg_pool2d(x, pool).flatten(1), state[f"{head}.weight"], state[f"{head}.bias"])


def _numbers(key: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", key)))


def wide(depth: int, width: int) -> State:
    state: State = {}
    conv(state, "conv1", 16, 3, 3)
    inputs = 16
    for group in (1, 2, 3):
        outputs = 16 * width * 2 ** (group - 1)
        for number in range((depth - 4) // 6):
            key = f"block{group}.layer.{number}"
            norm(state, f"{key}.bn1", inputs)
            conv(state, f"{key}.conv1", outputs, inputs, 3)
            norm(state, f"{key}.bn2", outputs)
            conv(state, f"{key}.conv2", outputs, outputs, 3)
            if inputs != outputs:
                conv(state, f"{key}.convShortcut", outputs, inputs, 1)
            inputs = outputs
    norm(state, "bn1", inputs)
    linear(state, "fc", 100, inputs)
    return state


def run_wide(state: State, x: Tensor) -> Tensor:
    x = F.conv2d(x, state["conv1.weight"], padding=1)
    for key in sorted({match[0] for key in state if (match := re.match(r"block\d\.layer\.\d+", key))}, key=_numbers):
        stride = 2 if key.endswith(".0") and not key.startswith("block1") else 1
        active = F.relu(bn(state, f"{key}.bn1", x))
        y = F.conv2d(active, state[f"{key}.conv1.weight"], stride=stride, padding=1)
        y = F.conv2d(F.relu(bn(state, f"{key}.bn2", y)), state[f"{key}.conv2.weight"], padding=1)
        shortcut = state.get(f"{key}.convShortcut.weight")
        x = y + (x if shortcut is None else F.conv2d(active, shortcut, stride=stride))
    x = F.avg_pool2d(F.relu(bn(state, "bn1", x)), 8).flatten(1)
    return F.linear(x, state["fc.weight"], state["fc.bias"])


def vgg(counts: tuple[int, ...]) -> State:
    state: State = {}
    inputs, index = 3, 0
    for width, count in zip((64, 128, 256, 512, 512), counts, strict=True):
        for _ in range(count):
            conv(state, f"features.{index}", width, inputs, 3)
            state[f"features.{index}.bias"] = torch.randn(width) / 4
            norm(state, f"features.{index + 1}", width)
            inputs, index = width, index + 3
        index += 1
    linear(state, "classifier", 10, 512)
    return state


def run_vgg(state: State, x: Tensor) -> Tensor:
    at = 0
    last = max(_numbers(key)[0] for key in state if key.startswith("features"))
    while at <= last:
        if f"features.{at}.weight" in state:
            x = F.conv2d(x, state[f"features.{at}.weight"], state[f"features.{at}.bias"], padding=1)
            x, at = F.relu(bn(state, f"features.{at + 1}", x)), at + 3
        else:
            x, at = F.max_pool2d(x, 2), at + 1
    return F.linear(F.max_pool2d(x, 2).flatten(1), state["classifier.weight"], state["classifier.bias"])


KUANGLIU, REPDISTILLER = ("shortcut", "linear"), ("downsample", "fc")
WIDTHS = (64, 128, 256, 512)
FILES: dict[str, tuple[Callable[[], State], Callable[[State, Tensor], Tensor]]] = {
    "exuno:resnet18_cifar": (
        lambda: resnet(64, WIDTHS, (2, 2, 2, 2), False, KUANGLIU),
        lambda state, x: run_resnet(state, x, 4),
    ),
    "exuno:resnet34_cifar": (
        lambda: resnet(64, WIDTHS, (3, 4, 6, 3), False, KUANGLIU),
        lambda state, x: run_resnet(state, x, 4),
    ),
    "exuno:resnet50_cifar": (
        lambda: resnet(64, WIDTHS, (3, 4, 6, 3), True, KUANGLIU),
        lambda state, x: run_resnet(state, x, 4),
    ),
    "exuno:resnet8x4": (
        lambda: resnet(32, (64, 128, 256), (1, 1, 1), False, REPDISTILLER),
        lambda state, x: run_resnet(state, x, 8),
    ),
    "exuno:resnet32x4": (
        lambda: resnet(32, (64, 128, 256), (5, 5, 5), False, REPDISTILLER),
        lambda state, x: run_resnet(state, x, 8),
    ),
    "exuno:resnet20x1": (
        lambda: resnet(16, (16, 32, 64), (3, 3, 3), False, REPDISTILLER),
        lambda state, x: run_resnet(state, x, 8),
    ),
    "exuno:resnet110x1": (
        lambda: resnet(16, (16, 32, 64), (18, 18, 18), False, REPDISTILLER),
        lambda state, x: run_resnet(state, x, 8),
    ),
    "exuno:wrn_40_2": (lambda: wide(40, 2), run_wide),
    "exuno:wrn_16_2": (lambda: wide(16, 2), run_wide),
    "exuno:wrn_40_1": (lambda: wide(40, 1), run_wide),
    "exuno:vgg11_cifar": (lambda: vgg((1, 1, 2, 2, 2)), run_vgg),
    "exuno:vgg16_cifar": (lambda: vgg((2, 2, 3, 3, 3)), run_vgg),
}


@pytest.mark.parametrize("arch", FILES)
def test_a_file_computes_what_its_code_computes(arch: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, run = FILES[arch]
    state = make()
    kuangliu = arch.endswith("_cifar")
    content: dict[str, Any] = (
        {"net": {f"module.{key}": value for key, value in state.items()}, "acc": 95.4, "epoch": 199}
        if kuangliu
        else {"epoch": 240, "model": state, "best_acc": torch.tensor(74.92)}
    )
    torch.save(content, tmp_path / "m.pth")
    images = torch.randn(2, 3, 32, 32)
    expected = run(state, images)
    for after in ("", f"@{arch}"):
        model = load_model(f"file:{tmp_path / 'm.pth'}{after}", pretrained=True).eval()
        assert model.card.arch == arch
        assert (model.card.mean, model.card.std) == (CIFAR if kuangliu else CIFAR100)
        assert model.card.class_names == (CIFAR10_CLASSES if kuangliu else None)
        with torch.no_grad():
            torch.testing.assert_close(model.net(images), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    built = load_model(arch, pretrained=False, classes=len(expected[0]))
    assert {key: value.shape for key, value in built.net.state_dict().items()} == {
        key: value.shape for key, value in model.net.state_dict().items()
    }


@pytest.mark.parametrize(
    ("arch", "words"),
    [
        ("exuno:resnet20_cifar", "18, 34, 50"),
        ("exuno:vgg12_cifar", "11, 13, 16, 19"),
        ("exuno:resnet8x3", "1, 2, 4"),
        ("exuno:resnet9x4", "6n"),
    ],
)
def test_depths_and_widths_that_are_not_there(arch: str, words: str) -> None:
    with pytest.raises(ExunoError) as caught:
        load_model(arch, pretrained=False, classes=3)
    assert words in f"{caught.value.what} {caught.value.todo}"


def dinov2(registers: int, side: int = 4, depth: int = 12, width: int = 384, chunk: int = 0) -> State:
    state: State = {
        "cls_token": torch.randn(1, 1, width),
        "pos_embed": torch.randn(1, side * side + 1, width),
        "mask_token": torch.zeros(1, width),
        "patch_embed.proj.weight": torch.randn(width, 3, 14, 14) / 24,
        "patch_embed.proj.bias": torch.randn(width) / 4,
    }
    if registers:
        state["register_tokens"] = torch.randn(1, registers, width)
    for number in range(depth):
        key = f"blocks.{number // chunk}.{number}" if chunk else f"blocks.{number}"
        for name in ("norm1", "norm2"):
            state[f"{key}.{name}.weight"], state[f"{key}.{name}.bias"] = torch.rand(width) + 0.5, torch.randn(width) / 4
        for name in ("ls1", "ls2"):
            state[f"{key}.{name}.gamma"] = torch.rand(width)
        for name, outputs, inputs in (
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            ("mlp.fc1", 4 * width, width),
            ("mlp.fc2", width, 4 * width),
        ):
            linear(state, f"{key}.{name}", outputs, inputs)
    state["norm.weight"], state["norm.bias"] = torch.rand(width) + 0.5, torch.randn(width) / 4
    return state


def run_dinov2(state: State, x: Tensor) -> Tensor:
    """The normalised [CLS] token."""
    width = state["cls_token"].shape[-1]

    def norm_of(key: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, (width,), state[f"{key}.weight"], state[f"{key}.bias"], 1e-6)

    def layer(key: str, x: Tensor) -> Tensor:
        return F.linear(x, state[f"{key}.weight"], state[f"{key}.bias"])

    x = F.conv2d(x, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=14)
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1) + state["pos_embed"]
    if "register_tokens" in state:
        x = torch.cat([x[:, :1], state["register_tokens"].expand(len(x), -1, -1), x[:, 1:]], 1)
    for key in sorted({key[: key.index(".norm1")] for key in state if ".norm1." in key}, key=_numbers):
        batch, count, _ = x.shape
        qkv = layer(f"{key}.attn.qkv", norm_of(f"{key}.norm1", x)).view(batch, count, 3, width // 64, 64)
        query, keys, values = qkv.permute(2, 0, 3, 1, 4)
        shares = (query @ keys.transpose(-1, -2) / 8).softmax(-1)
        out = (shares @ values).transpose(1, 2).reshape(batch, count, width)
        x = x + state[f"{key}.ls1.gamma"] * layer(f"{key}.attn.proj", out)
        hidden = F.gelu(layer(f"{key}.mlp.fc1", norm_of(f"{key}.norm2", x)))
        x = x + state[f"{key}.ls2.gamma"] * layer(f"{key}.mlp.fc2", hidden)
    return norm_of("norm", x)[:, 0]


@pytest.mark.parametrize(("registers", "chunk"), [(0, 0), (4, 0), (0, 3)])
def test_dinov2_computes_what_its_code_computes(registers: int, chunk: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = dinov2(registers, chunk=chunk)
    torch.save(state, tmp_path / "d.pth")
    images = torch.randn(2, 3, 56, 56)
    name = f"timm:vit_small_patch14_{'reg4_' if registers else ''}dinov2"
    for after in ("", f"@{name}?img_size=56&num_classes=0"):
        model = load_model(f"file:{tmp_path / 'd.pth'}{after}", pretrained=True).eval()
        assert (model.card.arch, model.card.classes, model.card.input_size) == (name, 0, (56, 56))
        assert (model.card.mean, model.card.std) == IMAGENET
        assert "mask_token" in model.card.lineage["dropped"]
        with torch.no_grad():
            torch.testing.assert_close(model.net(images), run_dinov2(state, images), rtol=1e-4, atol=1e-4)


def test_a_transformer_that_dinov2_has_not(tmp_path: Path) -> None:
    torch.save(dinov2(0, depth=2), tmp_path / "d.pth")
    with pytest.raises(ExunoError, match="has not published"):
        load_model(f"file:{tmp_path / 'd.pth'}", pretrained=True)
