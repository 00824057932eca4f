"""The ConvNet of the data set distillation literature (Zhao, Mopuri and Bilen, ICLR 2021; Gidaris and Komodakis, CVPR
2018)."""

from torch import Tensor, nn

from exuno.engine.errors import ExunoError


class ConvNet(nn.Module):
    """``depth`` blocks of 3x3 convolution, instance normalisation, ReLU and 2x2 average pooling, then a linear layer.

    Instance normalisation is GroupNorm with as many groups as channels, with learnt scale and shift.

    Args:
        depth: number of blocks (3 for 32 px, 4 for 64 px, 2 for the 8 px digits).
        width: channels of each block.
        classes: number of logits.
        in_chans: channels of the input.
        input_size: (H, W) of the input, which fixes the size of the linear layer.

    Raises:
        ExunoError: if the input is too small for so many poolings.
    """

    def __init__(self, depth: int, width: int, classes: int, in_chans: int, input_size: tuple[int, int]) -> None:
        super().__init__()
        height, wide = (side >> depth for side in input_size)
        if min(height, wide) < 1:
            raise ExunoError(
                f"a ConvNet of depth {depth} halves an input of {input_size[0]}x{input_size[1]} pixels to nothing",
                f"Take a smaller depth, such as exuno:convnet_{max(1, min(input_size).bit_length() - 2)}_{width}.",
            )
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(in_chans if i == 0 else width, width, 3, padding=1),
                    nn.GroupNorm(width, width),
                    nn.ReLU(),
                    nn.AvgPool2d(2),
                )
                for i in range(depth)
            )
        )
        self.linear = nn.Linear(width * height * wide, classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Activations before the linear layer: [B, width, H / 2^depth, W / 2^depth]."""
        return self.blocks(x)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised pixels [B, in_chans, H, W] -> logits [B, classes]."""
        return self.linear(self.forward_features(x).flatten(1))
