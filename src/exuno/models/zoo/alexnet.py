"""AlexNet with batch normalisation, as self-supervised learning takes it (Caron et al., ECCV 2018): the layout of the
published single-image checkpoints."""

import math
import re

from torch import Tensor, nn

from exuno.engine.errors import ExunoError
from exuno.models.registry import networks

LAYERS = ((96, 11, 4, 2), "M", (256, 5, 1, 2), "M", (384, 3, 1, 1), (384, 3, 1, 1), (256, 3, 1, 1), "M")
"""Filters, kernel, stride and padding of each convolution; M is a max pooling of 3 by 3 pixels, stride 2."""
HIDDEN = 4096
LEAST = 63
"""Smallest side of an input of which the last pooling leaves a pixel."""


class AlexNet(nn.Module):
    """Five convolutions with batch normalisation and ReLU, two hidden linear layers with dropout, a linear layer.

    Args:
        classes: number of logits.
        in_chans: channels of the input.
        input_size: (H, W) of the input, 224 as published, which fixes the size of the first linear layer.

    Raises:
        ExunoError: the input is too small.
    """

    def __init__(self, classes: int, in_chans: int = 3, input_size: tuple[int, int] = (224, 224)) -> None:
        super().__init__()
        if min(input_size) < LEAST:
            raise ExunoError(
                f"exuno:alexnet_bn pools an input of {input_size[1]}x{input_size[0]} pixels to nothing",
                f"Give --size {LEAST} or more (224 as published), or take exuno:convnet_4_128-batch.",
            )
        layers: list[nn.Module] = []
        channels, height, width = in_chans, *input_size
        for layer in LAYERS:
            if layer == "M":
                layers.append(nn.MaxPool2d(3, 2))
                height, width = ((side - 3) // 2 + 1 for side in (height, width))
                continue
            filters, kernel, stride, padding = layer
            layers += [nn.Conv2d(channels, filters, kernel, stride, padding), nn.BatchNorm2d(filters), nn.ReLU(True)]
            channels = filters
            height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            *(nn.Dropout(0.5), nn.Linear(channels * height * width, HIDDEN), nn.ReLU(True)),
            *(nn.Dropout(0.5), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(True)),
        )
        self.top_layer = nn.Linear(HIDDEN, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = math.prod(module.kernel_size) * module.out_channels
                nn.init.normal_(module.weight, 0, math.sqrt(2 / fan_out))
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised pixels [B, in_chans, H, W] -> logits [B, classes]."""
        return self.top_layer(self.classifier(self.features(x).flatten(1)))


@networks.register("alexnet", pattern="alexnet_bn", usual="alexnet_bn", form="alexnet_bn")
def build_alexnet(
    name: str, match: re.Match[str], classes: int, in_chans: int, input_size: tuple[int, int]
) -> nn.Module:
    """The only one of its family."""
    return AlexNet(classes, in_chans, input_size)
