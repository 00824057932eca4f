"""Pictures moved a little before each step, so that no unit can be pleased by single pixels: pad, jitter, scale,
rotate, jitter (the transformations of Distill 2017), composed to one map and one interpolation."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from exuno.data import rng
from exuno.explain.fourier import STREAM

SCALE, ROTATION = 0.25, 15.0
"""Largest change of scale, as a fraction; largest rotation, in degrees."""
JITTER = (1 / 12, 1 / 32)
"""Largest shift before and after these, as fractions of the side, but at least JITTER_PIXELS."""
JITTER_PIXELS = (1.0, 0.5)
PAD = 0.5
"""Gray value around a picture."""


def draw(seed: int, pictures: Sequence[int], step: int, size: int) -> Tensor:
    """Maps from the place in a view to the place in its picture, both from -1 to 1: [N, 2, 3]. The draws of a picture
    depend on the seed, its number and the step alone."""
    values = torch.from_numpy(rng.uniforms(seed, f"{STREAM}, view", pictures, 6, first=6 * step)).float() * 2 - 1
    first, second = (2 * max(share, least / size) for share, least in zip(JITTER, JITTER_PIXELS, strict=True))
    angle = values[:, 0] * torch.pi * ROTATION / 180
    turned = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    linear = turned / (1 + SCALE * values[:, 1]).view(-1, 1, 1)
    shift = linear @ (second * values[:, 2:4, None]) + first * values[:, 4:6, None]
    return torch.cat([linear, shift], 2)


def view(images: Tensor, maps: Tensor) -> Tensor:
    """Pictures [N, C, S, S] as the maps [N, 2, 3] show them, of the same size; gray where a picture ends."""
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images - PAD, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + PAD
