"""The ConvNet of the data set distillation literature (Zhao, Mopuri and Bilen, ICLR 2021; Gidaris and Komodakis, CVPR
2018)."""

import re

import torch
import torch.fx
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from exuno.engine.errors import ExunoError
from exuno.models.registry import check_positive, networks

GROUPS = 4  # of the normalisation called group
WORTHWHILE = 2**17  # pixels of all channels, from which a product is faster than torch's average pooling


@torch.fx.wrap
def halve(x: Tensor) -> Tensor:
    """``avg_pool2d(x, 2)``, on a CPU at twice the speed of torch's kernel, which reads pixel by pixel: [B, C, H, W] ->
    [B, C, H // 2, W // 2].

    Two rows of an image lie one behind the other: their mean of every 2x2 pixels is a product with a fixed matrix. The
    kernel is taken for small batches, for float16 and bfloat16, and where a graph is made, which should know the
    operation.
    """
    height, width = x.shape[-2:]
    plain = x.is_cpu and x.is_contiguous() and x.dtype.itemsize >= 4 and not torch.is_autocast_enabled("cpu")
    if not plain or height % 2 or width % 2 or torch.compiler.is_compiling() or x.numel() < WORTHWHILE:
        return avg_pool2d(x, 2)
    mean = torch.eye(width // 2, dtype=x.dtype).repeat_interleave(2, 0).repeat(2, 1) / 4
    return (x.view(-1, 2 * width) @ mean).view(*x.shape[:-2], height // 2, width // 2)


class HalvingPool(nn.AvgPool2d):
    """``nn.AvgPool2d(2)`` by :func:`halve`."""

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, input: Tensor) -> Tensor:
        return halve(input)


class ConvNet(nn.Module):
    """``depth`` blocks of 3x3 convolution, normalisation, ReLU and 2x2 average pooling, then a linear layer.

    Args:
        depth: number of blocks (3 for 32 px, 4 for 64 px, 2 for the 8 px digits).
        width: channels of each block; with ``doubling``, of the first.
        classes: number of logits.
        in_chans: channels of the input.
        input_size: (H, W) of the input, which fixes the size of the linear layer.
        norm: ``instance`` (GroupNorm with as many groups as channels), ``group`` (4 groups), ``layer`` (over channels
            and pixels, each with its own scale and shift), ``batch`` or ``none``; all with learnt scale and shift.
        doubling: whether each block has twice the channels of the one before.

    Raises:
        ExunoError: if the input is too small for so many poolings, or the width is no multiple of the groups.
    """

    def __init__(
        self,
        depth: int,
        width: int,
        classes: int,
        in_chans: int,
        input_size: tuple[int, int],
        norm: str = "instance",
        *,
        doubling: bool = False,
    ) -> None:
        super().__init__()
        height, wide = (side >> depth for side in input_size)
        if min(height, wide) < 1:
            raise ExunoError(
                f"a ConvNet of depth {depth} halves an input of {input_size[0]}x{input_size[1]} pixels to nothing",
                f"Give images of at least {1 << depth} pixels, --size {1 << depth}"
                + (
                    f", or take exuno:convnet_{min(input_size).bit_length() - 1}_{width}." * (min(input_size) > 1)
                    or "."
                ),
            )
        if norm == "group" and width % GROUPS:
            raise ExunoError(f"{width} channels do not divide into {GROUPS} groups", f"Take a multiple of {GROUPS}.")
        widths = [width << i if doubling else width for i in range(depth)]
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(widths[i - 1] if i else in_chans, channels, 3, padding=1),
                    *_norm(norm, channels, (input_size[0] >> i, input_size[1] >> i)),
                    nn.ReLU(),
                    HalvingPool(),
                )
                for i, channels in enumerate(widths)
            )
        )
        self.linear = nn.Linear(widths[-1] * height * wide, classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Activations before the linear layer: [B, channels, H / 2^depth, W / 2^depth]."""
        return self.blocks(x)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised pixels [B, in_chans, H, W] -> logits [B, classes]."""
        return self.linear(self.forward_features(x).flatten(1))


def _norm(name: str, channels: int, size: tuple[int, int]) -> list[nn.Module]:
    if name == "none":
        return []
    if name == "batch":
        return [nn.BatchNorm2d(channels)]
    if name == "layer":
        return [nn.LayerNorm([channels, *size])]
    return [nn.GroupNorm(GROUPS if name == "group" else channels, channels)]


@networks.register(
    "convnet",
    pattern=r"convnet(?:_(\d+)_(\d+))?(?:-(none|batch|layer|group))?(-doubling)?",
    usual="convnet convnet_2_64 convnet_4_128 convnet-none convnet-doubling convnet-batch-doubling",
    form="convnet_DEPTH_WIDTH (with -none, -batch, -layer or -group for another normalisation, then -doubling for "
    "widths that double)",
)
def build_convnet(
    name: str, match: re.Match[str], classes: int, in_chans: int, input_size: tuple[int, int]
) -> nn.Module:
    """Three blocks of 128 channels where the name does not say."""
    depth, width = int(match[1] or 3), int(match[2] or 128)
    check_positive(name, depth=depth, width=width)
    return ConvNet(depth, width, classes, in_chans, input_size, match[3] or "instance", doubling=bool(match[4]))
