"""Residual networks and VGG for CIFAR, as papers and published repositories build them.

Residual networks for CIFAR with parameter-free shortcuts (He et al., CVPR 2016, section 4.2, option A).

Networks for small images that published repositories share as checkpoints: ResNets whose shortcuts are convolutions
(He et al., CVPR 2016, option B), and VGG with batch normalisation (Simonyan and Zisserman, ICLR 2015).

``resnetDEPTH_cifar`` is the ImageNet network with a stem of one 3x3 convolution and without its pooling, as
kuangliu/pytorch-cifar has it; ``resnetDEPTHxWIDTH`` the three-group network for CIFAR of HobbitLong/RepDistiller (of
"Contrastive Representation Distillation", ICLR 2020). Names of parameters are theirs.
"""

import re

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from exuno.models.registry import check_depth, check_known, networks


class Block(nn.Module):
    """conv-BN-ReLU-conv-BN, add, ReLU. Where the shape changes, the shortcut takes every second pixel and zero
    channels."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.extra = outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        if self.extra:
            x = pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.extra // 2, self.extra // 2))
        return relu(out + x)


class CifarResNet(nn.Module):
    """ResNet-``depth``: 3 groups of (depth - 2) / 6 blocks with 16, 32 and 64 channels.

    The names of the parameters are those of the checkpoints in circulation (akamaster/pytorch_resnet_cifar10).

    Args:
        depth: number of weight layers, 6n + 2.
        classes: number of logits.
        in_chans: channels of the input [B, in_chans, H, W]; any H and W from 4.
    """

    def __init__(self, depth: int, classes: int, in_chans: int = 3) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(in_chans, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for group, (inputs, outputs) in enumerate(((16, 16), (16, 32), (32, 64))):
            stride = 1 if group == 0 else 2
            chain = [Block(inputs if i == 0 else outputs, outputs, stride if i == 0 else 1) for i in range(blocks)]
            self.add_module(f"layer{group + 1}", nn.Sequential(*chain))
        self.linear = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward_features(self, x: Tensor) -> Tensor:
        """Activations before the pooling: [B, 64, H / 4, W / 4]."""
        x = relu(self.bn1(self.conv1(x)))
        for group in (1, 2, 3):
            x = self.get_submodule(f"layer{group}")(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Normalised pixels [B, in_chans, H, W] -> logits [B, classes]."""
        return self.linear(torch.mean(self.forward_features(x), (2, 3)))


BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Depth of a ResNet for ImageNet -> blocks of each group; from 50 on they are bottlenecks."""
STEMS = {1: 16, 2: 32, 4: 32}
"""Widening factor of a three-group ResNet -> channels of its first convolution."""
VGG = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Depth -> convolutions before each pooling."""
VGG_WIDTHS = (64, 128, 256, 512, 512)


class ConvShortcutBlock(nn.Module):
    """Basic block (two 3x3 convolutions) or bottleneck (1x1, 3x3 with the stride, 1x1), each with batch normalisation;
    where the shape changes, the shortcut is a 1x1 convolution with batch normalisation.

    Args:
        inputs: channels of the input.
        width: channels within; a bottleneck puts out four times as many.
        stride: of the block.
        deep: whether it is a bottleneck.
        shortcut: name of the shortcut.
    """

    def __init__(self, inputs: int, width: int, stride: int, deep: bool, shortcut: str) -> None:
        super().__init__()
        outputs = 4 * width if deep else width
        shapes = (
            ((inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1))
            if deep
            else ((inputs, width, 3, stride), (width, outputs, 3, 1))
        )
        self.count, self.name = len(shapes), shortcut
        for number, (before, after, kernel, step) in enumerate(shapes, 1):
            self.add_module(f"conv{number}", nn.Conv2d(before, after, kernel, step, kernel // 2, bias=False))
            self.add_module(f"bn{number}", nn.BatchNorm2d(after))
        self.changes = stride != 1 or inputs != outputs
        if self.changes:
            convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.add_module(shortcut, nn.Sequential(convolution, nn.BatchNorm2d(outputs)))

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for number in range(1, self.count + 1):
            out = self.get_submodule(f"bn{number}")(self.get_submodule(f"conv{number}")(out))
            out = relu(out) if number < self.count else out
        return relu(out + (self.get_submodule(self.name)(x) if self.changes else x))


class ProjectedResNet(nn.Module):
    """ResNet for small images with convolutions as shortcuts; every group but the first halves the sides.

    Args:
        stem: channels of the first convolution, 3x3.
        widths: channels within the blocks of each group.
        blocks: number of blocks of each group.
        deep: whether they are bottlenecks.
        classes: number of logits.
        in_chans: channels of the input [B, in_chans, H, W]; any H and W from 8.
        names: of the shortcuts and of the last layer.
    """

    def __init__(
        self,
        stem: int,
        widths: tuple[int, ...],
        blocks: tuple[int, ...],
        deep: bool,
        classes: int,
        in_chans: int,
        names: tuple[str, str],
    ) -> None:
        super().__init__()
        shortcut, self.head = names
        self.conv1 = nn.Conv2d(in_chans, stem, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.groups = len(widths)
        inputs = stem
        for group, (width, count) in enumerate(zip(widths, blocks, strict=True), 1):
            chain: list[nn.Module] = []
            for number in range(count):
                stride = 2 if group > 1 and number == 0 else 1
                chain.append(ConvShortcutBlock(inputs, width, stride, deep, shortcut))
                inputs = 4 * width if deep else width
            self.add_module(f"layer{group}", nn.Sequential(*chain))
        self.add_module(self.head, nn.Linear(inputs, classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_features(self, x: Tensor) -> Tensor:
        """Activations before the pooling: [B, C, H / 4, W / 4] of three groups, H / 8 and W / 8 of four."""
        x = relu(self.bn1(self.conv1(x)))
        for group in range(1, self.groups + 1):
            x = self.get_submodule(f"layer{group}")(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Normalised pixels [B, in_chans, H, W] -> logits [B, classes]."""
        return self.get_submodule(self.head)(torch.mean(self.forward_features(x), (2, 3)))


class CifarVGG(nn.Module):
    """VGG-``depth`` for small images: 3x3 convolutions with batch normalisation, five poolings, one linear layer.

    Args:
        depth: 11, 13, 16 or 19.
        classes: number of logits.
        in_chans: channels of the input [B, in_chans, H, W]; any H and W from 32.
    """

    def __init__(self, depth: int, classes: int, in_chans: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = in_chans
        for width, count in zip(VGG_WIDTHS, VGG[depth], strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(inputs, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU()]
                inputs = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_features(self, x: Tensor) -> Tensor:
        """Activations before the pooling over all places: [B, 512, H / 32, W / 32]."""
        return self.features(x)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised pixels [B, in_chans, H, W] -> logits [B, classes]."""
        return self.classifier(torch.mean(self.features(x), (2, 3)))


def resnet_cifar(depth: int, classes: int, in_chans: int) -> ProjectedResNet:
    """ResNet-18, -34, -50, -101 or -152 with a stem for small images."""
    widths = (64, 128, 256, 512)
    return ProjectedResNet(64, widths, BLOCKS[depth], depth >= 50, classes, in_chans, ("shortcut", "linear"))


def resnet_wide(depth: int, width: int, classes: int, in_chans: int) -> ProjectedResNet:
    """ResNet of depth 6n + 2 and three groups of 16, 32 and 64 times ``width`` channels."""
    blocks, widths = (depth - 2) // 6, (16 * width, 32 * width, 64 * width)
    return ProjectedResNet(STEMS[width], widths, (blocks,) * 3, False, classes, in_chans, ("downsample", "fc"))


@networks.register(
    "resnet",
    pattern=r"resnet(\d+)",
    usual="resnet20 resnet32 resnet44 resnet56 resnet110",
    form="resnetDEPTH",
)
def build_resnet(
    name: str, match: re.Match[str], classes: int, in_chans: int, input_size: tuple[int, int]
) -> nn.Module:
    """Option A: shortcuts without parameters."""
    check_depth(name, int(match[1]), 2)
    return CifarResNet(int(match[1]), classes, in_chans)


@networks.register(
    "cifar",
    pattern=r"(resnet|vgg)(\d+)_cifar",
    usual="resnet18_cifar resnet50_cifar vgg16_cifar",
    form="resnetDEPTH_cifar, vgg16_cifar",
)
def build_cifar(name: str, match: re.Match[str], classes: int, in_chans: int, input_size: tuple[int, int]) -> nn.Module:
    """Networks for ImageNet with a stem for 32 pixels, as kuangliu/pytorch-cifar has them."""
    family, depth = match[1], int(match[2])
    check_known(name, "depth", depth, VGG if family == "vgg" else BLOCKS)
    return (CifarVGG if family == "vgg" else resnet_cifar)(depth, classes, in_chans)


@networks.register("wide", pattern=r"resnet(\d+)x(\d+)", usual="resnet8x4 resnet32x4", form="resnetDEPTHxWIDTH")
def build_wide(name: str, match: re.Match[str], classes: int, in_chans: int, input_size: tuple[int, int]) -> nn.Module:
    """RepDistiller's."""
    depth, width = int(match[1]), int(match[2])
    check_depth(name, depth, 2)
    check_known(name, "width", width, STEMS)
    return resnet_wide(depth, width, classes, in_chans)
