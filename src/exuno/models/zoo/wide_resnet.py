"""Wide residual networks, as the paper and as Keras builds them.

Wide residual networks for small images: WRN-d-k (Zagoruyko and Komodakis, BMVC 2016, table 1).

The CIFAR teacher and student of "Extrapolating from a Single Image to a Thousand Classes" (GitHub
yukimasano/single-img-extrapolating, cifar/architectures/resnets.py) are the WRN of :mod:`exuno.models.zoo.wide_resnet`,
but for what Keras does otherwise: convolutions of stride 2 pad as in TensorFlow, batch normalisations add 0.001 to the
variance and keep 0.99 of their running statistics in a step, and weights start from other distributions.
"""

import re
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from exuno.data.constants import CIFAR, CIFAR10_CLASSES
from exuno.engine.errors import ExunoError
from exuno.models.card import ModelCard
from exuno.models.registry import check_depth, check_positive, networks


class Block(nn.Module):
    """Pre-activation basic block, BN-ReLU-conv twice (section 2); the shortcut of a change of width is a 1x1
    convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut = None
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = relu(self.bn1(x))
        # Where the width changes, the activation is shared by both paths; elsewhere the identity stays untouched.
        skip = x if self.shortcut is None else self.shortcut(active)
        return skip + self.conv2(relu(self.bn2(self.conv1(active))))


class WideResNet(nn.Module):
    """WRN-``depth``-``width``: 3 groups of (depth - 4) / 6 blocks with 16, 32 and 64 times ``width`` channels.

    Weights are drawn from He's normal distribution (fan in), as in both papers that use it here.

    Args:
        depth: number of convolutions, 6n + 4.
        width: widening factor k.
        classes: number of logits.
        in_chans: channels of the input [B, in_chans, H, W]; any H and W from 4.
    """

    def __init__(self, depth: int, width: int, classes: int, in_chans: int = 3) -> None:
        super().__init__()
        blocks = (depth - 4) // 6
        widths = (16, 16 * width, 32 * width, 64 * width)
        self.conv1 = nn.Conv2d(in_chans, widths[0], 3, 1, 1, bias=False)
        for group, (inputs, outputs) in enumerate(pairwise(widths)):
            stride = 1 if group == 0 else 2
            chain = [Block(inputs if i == 0 else outputs, outputs, stride if i == 0 else 1) for i in range(blocks)]
            self.add_module(f"group{group + 1}", nn.Sequential(*chain))
        self.bn = nn.BatchNorm2d(widths[-1])
        self.linear = nn.Linear(widths[-1], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.linear.bias)

    def forward_features(self, x: Tensor) -> Tensor:
        """Activations before the pooling: [B, 64 width, H / 4, W / 4]."""
        x = self.conv1(x)
        for group in (1, 2, 3):
            x = self.get_submodule(f"group{group}")(x)
        return relu(self.bn(x))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised pixels [B, in_chans, H, W] -> logits [B, classes]."""
        return self.linear(torch.mean(self.forward_features(x), (2, 3)))


class SameConv(nn.Conv2d):
    """Square convolution whose output has ceil(side / stride) pixels; an odd rest of padding goes to the right and
    bottom, where PyTorch would have it on all sides."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, bias: bool = True
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in input.shape[-2:])
        if height or width:
            input = pad(input, (width // 2, width - width // 2, height // 2, height - height // 2))
        return super().forward(input)


EPSILON = 1e-3
"""Keras's default."""
MOMENTUM = 0.01
"""Share of the batch in the running statistics; Keras's default of 0.99 is the share of what was there."""
CUT_STD = 0.87962566103423978
"""Standard deviation of a standard normal distribution that is cut at -2 and 2."""
NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
VARIABLE = re.compile(r"layer_with_weights-(\d+)/(\w+)/\.ATTRIBUTES/VARIABLE_VALUE")

State = dict[str, Tensor]


class WideResNetTF(WideResNet):
    """See :class:`exuno.models.zoo.wide_resnet.WideResNet`; the width is at least 2.

    Convolutions start from a normal distribution that is cut at two standard deviations, scaled to He's variance
    (Keras's he_normal), the last layer from Glorot's uniform one, which is Keras's default.
    """

    def __init__(self, depth: int, width: int, classes: int, in_chans: int = 3) -> None:
        super().__init__(depth, width, classes, in_chans)
        for group in (2, 3):
            first = self.get_submodule(f"group{group}.0")
            old = first.get_submodule("conv1")
            assert isinstance(old, nn.Conv2d)
            new = SameConv(old.in_channels, old.out_channels, 3, 2, bias=False)
            new.weight = old.weight
            first.add_module("conv1", new)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = EPSILON, MOMENTUM
            elif isinstance(module, nn.Conv2d):
                std = (2 / (module.in_channels * module.kernel_size[0] ** 2)) ** 0.5 / CUT_STD
                nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        nn.init.xavier_uniform_(self.linear.weight)


def is_keras(state: State) -> bool:
    """Whether these are the variables of a Keras model, in the names of ``save_weights(format="tf")``."""
    return any(VARIABLE.fullmatch(key) for key in state)


def from_keras(state: State, path: Path) -> tuple[State, tuple[str, ...], ModelCard]:
    """Weights in exuno's names, the variables that were dropped, and the card.

    Keras numbers the layers in the order of the graph: in each block BN, convolution, BN, (1x1 shortcut,)
    convolution.

    Args:
        state: variables for which :func:`is_keras` is true; kernels [H, W, I, O] and [I, O].
        path: of the file, for the message.

    Raises:
        ExunoError: if the layers are not those of a wide residual network.
    """
    layers: dict[int, dict[str, Tensor]] = {}
    dropped = []
    for key, value in state.items():
        if match := VARIABLE.fullmatch(key):
            layers.setdefault(int(match[1]), {})[match[2]] = value
        else:
            dropped.append(key)
    chain = [layers[number] for number in sorted(layers)]
    kinds = "".join(map(_kind, chain))
    blocks = (len(kinds) - 6) // 12 if kinds.count("c") > 1 else 0
    expected = "c" + 3 * ("ncnsc" + "ncnc" * (blocks - 1)) + "nl"
    if blocks < 1 or kinds != expected:
        at = next((i for i, (a, b) in enumerate(zip(kinds, expected, strict=False)) if a != b), len(expected))
        has = ", ".join(chain[at]) if at < len(chain) else "nothing"
        raise ExunoError(
            f"{path} holds no wide residual network of Keras: layer_with_weights-{at} has {has}",
            "Only the WRN checkpoints of single-img-extrapolating can be read.",
        )
    found: State = {}
    for name, layer in zip(_names(blocks), chain, strict=True):
        found |= {f"{name}.{key}": value for key, value in _converted(layer).items()}
    classes, width = len(found["linear.bias"]), found["linear.weight"].shape[1] // 64
    names = CIFAR10_CLASSES if classes == 10 else None
    card = ModelCard(f"exuno:wrn_{6 * blocks + 4}_{width}_tf", classes, 3, (32, 32), *CIFAR, names)
    return found, tuple(dropped), card


def _kind(layer: dict[str, Tensor]) -> str:
    """``c`` convolution, ``s`` 1x1 shortcut, ``n`` normalisation, ``l`` linear, ``?`` another layer."""
    shapes = {key: tuple(value.shape) for key, value in layer.items()}
    if set(shapes) == set(NORM):
        return "n"
    if set(shapes) == {"kernel", "bias"} and len(shapes["kernel"]) == 2:
        return "l"
    if set(shapes) == {"kernel"} and len(shapes["kernel"]) == 4:
        return {(3, 3): "c", (1, 1): "s"}.get(shapes["kernel"][:2], "?")
    return "?"


def _names(blocks: int) -> list[str]:
    """exuno's names of the layers in Keras's order."""
    names = ["conv1"]
    for group in (1, 2, 3):
        for block in range(blocks):
            parts = ("bn1", "conv1", "bn2", "shortcut", "conv2") if block == 0 else ("bn1", "conv1", "bn2", "conv2")
            names += [f"group{group}.{block}.{part}" for part in parts]
    return [*names, "bn", "linear"]


def _converted(layer: dict[str, Tensor]) -> State:
    if "kernel" not in layer:
        return {NORM[key]: value for key, value in layer.items()}
    kernel = layer["kernel"]
    weight = kernel.T if kernel.ndim == 2 else kernel.permute(3, 2, 0, 1)
    return {"weight": weight.contiguous()} | ({"bias": layer["bias"]} if "bias" in layer else {})


@networks.register(
    "wrn",
    pattern=r"wrn_(\d+)_(\d+)(_tf)?",
    usual="wrn_16_1 wrn_16_2 wrn_16_4 wrn_16_10 wrn_28_1 wrn_28_2 wrn_28_4 wrn_28_10 wrn_40_1 wrn_40_2 wrn_40_4 "
    "wrn_40_10 wrn_16_4_tf wrn_40_4_tf",
    form="wrn_DEPTH_WIDTH (with _tf for Keras's)",
)
def build_wrn(name: str, match: re.Match[str], classes: int, in_chans: int, input_size: tuple[int, int]) -> nn.Module:
    """As the paper has them, or as Keras builds them."""
    depth, width = int(match[1]), int(match[2])
    check_depth(name, depth, 4)
    check_positive(name, width=width)
    if match[3] and width == 1:
        raise ExunoError(
            f"exuno:{name} cannot be built: Keras's network of width 1 has another first block",
            f"Take a width of 2 or more, or exuno:{name.removesuffix('_tf')}.",
        )
    return (WideResNetTF if match[3] else WideResNet)(depth, width, classes, in_chans)
