"""The filters of a first convolution as pictures."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from exuno.report import figures
from exuno.report.images import image_grid, save_png

MOST = 96
"""Filters that are shown."""


def first_filters(net: nn.Module) -> NDArray[np.uint8] | None:
    """The filters of the first convolution of images, uint8 [N, kH, kW, 3] or gray [N, kH, kW]: each stretched to its
    own range, zero staying in the middle. None of a network without one, or whose filters have other channels."""
    layer = next((each for each in net.modules() if isinstance(each, nn.Conv2d)), None)
    if layer is None or layer.in_channels // layer.groups not in (1, 3) or min(layer.kernel_size) < 2:
        return None
    weights = layer.weight.detach().float().cpu()[:MOST]
    largest = weights.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
    pixels = ((weights / largest + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return pixels[..., 0] if pixels.shape[3] == 1 else pixels


def draw_filters(folder: Path, net: nn.Module, name: str = "") -> None:
    """Writes the filters as ``filters-NAME.png`` into figures/ of a run, where a network has filters that are pictures.

    Args:
        folder: figures/.
        net: the network.
        name: of the model, where a page shows several.
    """
    if (filters := first_filters(net)) is None:
        return
    file = f"filters-{figures.slug(name)}.png" if name else "filters.png"
    save_png(image_grid(filters, 16, max(1, 36 // filters.shape[1])), folder / file)
    caption = f"The {len(filters)} filters of the first layer, each stretched to its own range."
    figures.add(folder, file, f"First layer{f', {name}' if name else ''}", caption, "model")
