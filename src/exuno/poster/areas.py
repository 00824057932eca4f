"""What a poster starts from: one area for each class, faded into its neighbours (arXiv 2403.12040, section 3.2)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data import rng
from exuno.data.canvas import Layout, offsets


def faded(images: Tensor, layout: Layout) -> Tensor:
    """One picture of all class areas.

    Where two neighbours overlap, the one fades linearly into the other; in a gap the edge of the one fades into the
    edge of the other, so that every pixel is a weighted mean of areas. Rows and columns fade independently, so the
    picture is the product of two matrices with the areas.

    Args:
        images: float [rows * columns, C, *layout.area], by place, row by row.
        layout: geometry of the poster.

    Returns:
        float [C, H, W].
    """
    rows, columns = layout.grid
    down, across = (
        torch.from_numpy(placement(full, part, count)).to(images)
        for full, part, count in zip(layout.size, layout.area, layout.grid, strict=True)
    )
    placed = images.unflatten(0, (rows, columns))
    tall = torch.einsum("yru,rkcuv->ykcv", down, placed)
    return torch.einsum("ykcv,xkv->cyx", tall, across)


def placement(full: int, part: int, count: int) -> NDArray[np.float64]:
    """The weight of each pixel of each part in each pixel of the whole along one axis, [full, count, part]; sums to 1.

    A neighbour takes over from all parts before it, from 1 to 0 over the pixels that it shares with the last of them.
    """
    starts = offsets(full, part, count)
    weight = np.zeros((full, count))
    weight[:, 0] = 1
    for number, (before, start) in enumerate(zip(starts + part, starts[1:], strict=False), 1):
        keep = np.ones(full)
        keep[min(start, before) :] = 0
        between = abs(before - start)
        ends = 2 if before < start else 0  # in a gap the fade starts and ends on the areas beside it
        fade = np.linspace(1, 0, between + ends)
        keep[min(start, before) : max(start, before)] = fade[1:-1] if ends else fade
        weight *= keep[:, None]
        weight[:, number] = 1 - keep
    pixel = (np.arange(full)[:, None] - starts).clip(0, part - 1)
    return weight[:, :, None] * (pixel[:, :, None] == np.arange(part))


def noise_areas(seed: int, classes: int, channels: int, area: tuple[int, int]) -> Tensor:
    """Gaussian class areas, each scaled to the norm 1: float32 [classes, channels, *area].

    The published code draws a mean for each class, adds noise and projects to the sphere; the sum of two Gaussians
    being one, that is a uniform direction as well.
    """
    noise = rng.generator(seed, "poster areas").standard_normal((classes, channels * area[0] * area[1]))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    return torch.from_numpy(noise.astype(np.float32)).view(classes, channels, *area)
