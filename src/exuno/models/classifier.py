"""A network with all it takes to feed it: pixels in, logits out."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from exuno.data.constants import LUMA
from exuno.engine.errors import ExunoError
from exuno.models.card import ModelCard


def match_channels(pixels: Tensor, channels: int) -> Tensor:
    """Bring [B, C, H, W] to 1 or 3 channels: gray is repeated, RGB becomes its ITU-R 601 luma."""
    have = pixels.shape[1]
    if have == channels:
        return pixels
    if have == 1:
        return pixels.expand(-1, channels, -1, -1)
    if have == 3 and channels == 1:
        return (pixels * pixels.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    raise ExunoError(f"images of {have} channels for a model of {channels}", "Give gray or RGB images.")


class Classifier(nn.Module):
    """``net`` behind its own preprocessing, so that models of different input sizes and normalisations take the same
    pixels.

    Args:
        net: normalised input [B, in_chans, H, W] -> logits [B, classes].
        card: what the network is and expects.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, card: ModelCard) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.card = card
        # Not persistent: they are in the card, and the state dict stays that of the network alone.
        self.register_buffer("mean", torch.tensor(card.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(card.std).view(1, -1, 1, 1), persistent=False)

    def prepare(self, pixels: Tensor) -> Tensor:
        """Pixels [B, C, H, W] in [0, 1] -> the network's normalised input [B, in_chans, *input_size]."""
        x = match_channels(pixels, self.card.in_chans)
        if tuple(x.shape[-2:]) != self.card.input_size:
            x = interpolate(x, self.card.input_size, mode="bilinear", antialias=True, align_corners=False)
        return ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels, float [B, C, H, W] in [0, 1], C = 1 or 3, any H and W -> logits [B, classes]."""
        return self.net(self.prepare(pixels))
