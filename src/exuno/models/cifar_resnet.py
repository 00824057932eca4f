"""Residual networks for CIFAR with parameter-free shortcuts (He et al., CVPR 2016, section 4.2, option A)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu


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
