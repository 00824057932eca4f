"""MobileNets as TensorFlow's quantised releases have them: batch normalisation folded, padding ``SAME``.

MobileNetV1 (Howard et al., arXiv:1704.04861, table 1) and MobileNetV2 (Sandler et al., CVPR 2018, table 2).
"""

import re

from torch import Tensor, nn
from torch.nn.functional import relu6

from exuno.models.registry import check_positive, networks
from exuno.models.zoo.wide_resnet import SameConv

MEAN = 128 / 255
"""Mean and standard deviation of the input: (x - 128) / 128 for pixels in [0, 255]."""

V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Output channels and stride of each block at width 1."""
V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, output channels, blocks and stride of each group at width 1."""

WIDTHS = (100, 25, 35, 50, 75, 130, 140)
"""Widths that were published, in percent."""


class BlockV1(nn.Module):
    """A depthwise convolution, then a pointwise one."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.depthwise = SameConv(inputs, inputs, 3, stride, inputs)
        self.pointwise = SameConv(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return relu6(self.pointwise(relu6(self.depthwise(x))))


class BlockV2(nn.Module):
    """Inverted residual: a wide depthwise convolution between two pointwise ones, the last one without activation."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = SameConv(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = SameConv(wide, wide, 3, stride, wide)
        self.project = SameConv(wide, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        wide = x if self.expand is None else relu6(self.expand(x))
        found = self.project(relu6(self.depthwise(wide)))
        return x + found if self.residual else found


class MobileNet(nn.Module):
    """MobileNet ``version`` with ``percent`` % of its channels.

    There is no normalisation left to train with: these are networks to take published weights, as teachers.

    Args:
        version: 1 or 2.
        percent: width; 100 is the paper's.
        classes: number of logits.
        in_chans: channels of the input [B, in_chans, H, W]; any H and W from 32.
    """

    def __init__(self, version: int, percent: int, classes: int, in_chans: int = 3) -> None:
        super().__init__()
        width = _scaled(32, percent, version)
        self.stem = SameConv(in_chans, width, 3, 2)
        blocks: list[nn.Module] = []
        if version == 1:
            for channels, stride in V1:
                outputs = _scaled(channels, percent, version)
                blocks.append(BlockV1(width, outputs, stride))
                width = outputs
        else:
            for expansion, channels, count, stride in V2:
                outputs = _scaled(channels, percent, version)
                for index in range(count):
                    blocks.append(BlockV2(width, outputs, stride if index == 0 else 1, expansion))
                    width = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = None
        if version == 2:
            last = _scaled(1280, max(percent, 100), version)  # a narrower network keeps its last features
            self.head = SameConv(width, last, 1)
            width = last
        self.classifier = nn.Linear(width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward_features(self, x: Tensor) -> Tensor:
        """Activations before the pooling: [B, D, H / 32, W / 32]."""
        x = self.blocks(relu6(self.stem(x)))
        return x if self.head is None else relu6(self.head(x))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised pixels [B, in_chans, H, W] -> logits [B, classes]."""
        return self.classifier(self.forward_features(x).mean((2, 3)))


def name_of(state: dict[str, Tensor]) -> str | None:
    """Which MobileNet these weights belong to, such as ``mobilenet_v2_100``; None if they are of no width of WIDTHS.
    ``classifier.weight`` may be that of a linear layer or of a 1x1 convolution."""
    if "stem.weight" not in state or "classifier.weight" not in state:
        return None
    if "blocks.12.pointwise.weight" in state:
        version, channels, last = 1, 1024, "blocks.12.pointwise.weight"
    elif "blocks.16.project.weight" in state:
        version, channels, last = 2, 320, "blocks.16.project.weight"
    else:
        return None
    found = (len(state["stem.weight"]), len(state[last]))
    for percent in WIDTHS:
        if found == (_scaled(32, percent, version), _scaled(channels, percent, version)):
            return f"mobilenet_v{version}_{percent:03}"
    return None


def _scaled(channels: int, percent: int, version: int) -> int:
    """Channels at a width; version 2 rounds to a multiple of 8, but never down by more than a tenth."""
    if version == 1:
        return max(8, channels * percent // 100)
    exact = channels * percent / 100
    near = max(8, int(exact + 4) // 8 * 8)
    return near if near >= 0.9 * exact else near + 8


@networks.register(
    "mobilenet",
    pattern=r"mobilenet_v([12])_(\d{2,3})",
    usual="mobilenet_v1_025 mobilenet_v2_100",
    form="mobilenet_v1_PERCENT or mobilenet_v2_PERCENT",
)
def build_mobilenet(
    name: str, match: re.Match[str], classes: int, in_chans: int, input_size: tuple[int, int]
) -> nn.Module:
    """With so many percent of its channels."""
    check_positive(name, width=int(match[2]))
    return MobileNet(int(match[1]), int(match[2]), classes, in_chans)
