"""Wide residual networks for small images: WRN-d-k (Zagoruyko and Komodakis, BMVC 2016, table 1)."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import relu


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
