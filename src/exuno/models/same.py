"""Convolution with TensorFlow's padding ``SAME``."""

from torch import Tensor, nn
from torch.nn.functional import pad


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
