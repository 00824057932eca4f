"""Where a vision transformer looks: the attention of [CLS] to the patches in the last block, drawn over the images."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from exuno.engine.errors import ExunoError
from exuno.features.extract import check_size, normalised
from exuno.models.classifier import Classifier, match_channels

HEAT = ((0.00, 0.02, 0.15), (0.33, 0.06, 0.43), (0.73, 0.21, 0.33), (0.98, 0.56, 0.04), (0.99, 1.00, 0.64))
"""RGB colours of attention 0, 1/4, 1/2, 3/4 and 1: dark blue, purple, red, orange, pale yellow."""
IMAGE = 0.45
"""Share of the image, in gray, under the colours."""


@torch.inference_mode()
def overlay(model: Classifier, pixels: Tensor) -> NDArray[np.uint8]:
    """Images, and over them the attention of all heads together and of each.

    Every map is spread from 0 to its own largest value.

    Args:
        model: a vision transformer of exuno with its card.
        pixels: float [B, C, H, W] in [0, 1], where the model is; H and W multiples of its patch.

    Returns:
        uint8 [B, 2 + heads, H, W, 3]: the image, the mean over the heads, head by head.

    Raises:
        ExunoError: for another network, or a size that its patches do not fill.
    """
    from exuno.models.vit import Vit

    if not isinstance(model.net, Vit):
        raise ExunoError(f"{model.card.arch} has no attention to draw", "Give a vision transformer of exuno.")
    size = (pixels.shape[2], pixels.shape[3])
    check_size(model, size)
    patch = model.net.patch_embed.patch_size[0]
    attention = model.net.read(normalised(model, pixels)).attention.float()
    maps = torch.cat([attention.mean(1, keepdim=True), attention], 1)
    maps = maps.unflatten(2, (size[0] // patch, size[1] // patch))
    maps = maps / maps.amax((2, 3), keepdim=True).clamp_min(1e-12)
    maps = interpolate(maps, size, mode="bilinear", align_corners=False).clamp(0, 1)
    gray = match_channels(pixels, 1)[:, :, None]
    images = match_channels(pixels, 3)[:, None]
    drawn = torch.cat([images, IMAGE * gray + (1 - IMAGE) * heat(maps)], 1)
    return drawn.mul(255).round().clamp(0, 255).to(torch.uint8).permute(0, 1, 3, 4, 2).contiguous().cpu().numpy()


def heat(values: Tensor) -> Tensor:
    """Values [B, M, H, W] in [0, 1] -> colours [B, M, 3, H, W] in [0, 1], between those of HEAT."""
    colours = values.new_tensor(HEAT)
    place = values * (len(HEAT) - 1)
    below = place.floor().long().clamp(max=len(HEAT) - 2)
    share = (place - below).unsqueeze(-1)
    return ((1 - share) * colours[below] + share * colours[below + 1]).movedim(-1, 2)
