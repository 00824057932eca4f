"""Posters whose colours have half the width and height of their light, as in JPEG with 4:2:0 sampling (ITU-T T.81,
T.871) and in video, since eyes tell things apart by light more than by colour: a pixel takes 1.5 numbers, not 3.

Light and the two opponent colours are an orthonormal turn of the three channels in the space in which a poster is
distilled. The planes lie on one sheet, [1, H + h, 2w] with h, w = H / 2, W / 2 rounded up: light at the top, the
colours side by side below it; where W is odd, one column beside the light is unused.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from exuno.data.poster.whitening import OPPONENTS

Pair = tuple[int, int]


def chroma_size(size: Pair) -> Pair:
    """(h, w) of colours at half the size of a poster of (H, W), rounded up."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def sheet_of(values: Tensor) -> Tensor:
    """The sheet [1, H + h, 2w] of a poster [3, H, W]: colours are means of 2 x 2 pixels, at an odd edge of fewer."""
    turned = torch.tensordot(_axes(values.device, values.dtype), values, 1)
    return joined(turned[:1], functional.avg_pool2d(turned[1:], 2, ceil_mode=True))


def joined(light: Tensor, colours: Tensor) -> Tensor:
    """Light [1, H, W] and colours [2, h, w] as a sheet [1, H + h, 2w]."""
    below = colours.transpose(0, 1).flatten(1)[None]
    return torch.cat([functional.pad(light, (0, below.shape[2] - light.shape[2])), below], 1)


def planes(sheet: Tensor, size: Pair) -> tuple[Tensor, Tensor]:
    """Light [1, H, W] and colours [2, h, w] of the sheet of a poster of ``size`` (H, W)."""
    return sheet[:, : size[0], : size[1]], sheet[0, size[0] :].unflatten(1, (2, -1)).transpose(0, 1)


def coloured(light: Tensor, colours: Tensor) -> Tensor:
    """The poster [3, H, W] of light [1, H, W] and colours [2, h, w].

    Colours are enlarged bilinearly, their samples in the middle of 2 x 2 pixels and the outermost kept up to the edge:
    without the steps at every second pixel that a convolution would take for edges, and with more shades between
    samples than few bits have. Two products with small matrices, so that the gradient, too, is summed in a fixed order.
    """
    down, across = (_enlarging(side, light.device, light.dtype) for side in light.shape[1:])
    full = torch.cat([light, down @ colours @ across.T])
    return torch.tensordot(_axes(light.device, light.dtype).T, full, 1)


@lru_cache(maxsize=8)
def _axes(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Light and two opponent colours, a row each, [3, 3]."""
    with torch.inference_mode(False):  # autograd cannot save a tensor made in inference mode
        return torch.from_numpy(OPPONENTS).to(device, dtype)


@lru_cache(maxsize=8)
def _enlarging(side: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Bilinear enlargement along one axis, [side, side / 2 rounded up]; rows sum to 1."""
    half = chroma_size((side, side))[0]
    place = ((np.arange(side) - 0.5) / 2).clip(0, half - 1)
    weight = (1 - np.abs(place[:, None] - np.arange(half))).clip(min=0)
    with torch.inference_mode(False):  # as above
        return torch.from_numpy(weight).to(device, dtype)
