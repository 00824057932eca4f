"""Where a distillation starts: class order, areas, initial poster and labels.

What a poster starts from: one area for each class, faded into its neighbours (arXiv 2403.12040, section 3.2).

Where learned labels start: PoDDL (Shul, Horwitz and Hoshen, arXiv 2403.12040, section 3.3).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data import rng
from exuno.data.images.resize import resize
from exuno.data.poster.layout import Layout, offsets
from exuno.data.poster.patches import fixed_labels
from exuno.engine.errors import ExunoError
from exuno.poster.layout import coding_by, label_shape
from exuno.poster.options import PosterConfig
from exuno.poster.order import class_means, class_order
from exuno.poster.real import Sets


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


def initial_label_array(layout: Layout, order: NDArray[np.int64], classes: int, cells: float = 1.0) -> Tensor:
    """The label array that learning starts from: each cell belongs to one class.

    Args:
        layout: geometry of the poster.
        order: the class at each place of the grid, int64 [rows, columns].
        classes: number of classes.
        cells: size of the array in cells for each class.

    Returns:
        float32 [classes, h, w], where (h, w) is that of ``label_shape``; one-hot along the classes.
    """
    height, width = label_shape(layout.size, layout.grid, classes, cells)
    row, column = (
        np.repeat(np.arange(count), np.diff(np.linspace(0, side, count + 1).round().astype(np.int64)))
        for side, count in zip((height, width), layout.grid, strict=True)
    )
    owner = torch.from_numpy(order[row[:, None], column])
    return torch.nn.functional.one_hot(owner, classes).permute(2, 0, 1).float().contiguous()


def order_of(config: PosterConfig, layout: Layout, sets: Sets) -> NDArray[np.int64]:
    """The class at each place of the grid, [rows, columns]."""
    images, labels = sets.train
    classes = sets.source.num_classes
    return class_order(
        config.order,
        layout.grid,
        sets.source.classes,
        lambda: class_means([(images.numpy(), labels.numpy())], classes),
    )


def first_poster(config: PosterConfig, layout: Layout, order: NDArray[np.int64], sets: Sets) -> Tensor:
    """The initial poster, float32 [C, H, W] of the distilled space, or what is trained in its place."""
    images, labels = sets.train
    classes, channels, seed = sets.source.num_classes, images.shape[1], config.run.seed
    if config.init == "noise":
        areas = noise_areas(seed, classes, channels, layout.area)
    else:
        areas = resize(one_of_each(images, labels, classes, seed), layout.area)
    return coding_by(config).start(faded(areas[torch.from_numpy(order.ravel())], layout).float())


def one_of_each(images: Tensor, labels: Tensor, classes: int, seed: int) -> Tensor:
    """A random image of each class, [classes, C, h, w]. Raises ExunoError for a class that has none."""
    found = [np.flatnonzero(labels.numpy() == label) for label in range(classes)]
    if empty := [label for label, own in enumerate(found) if not len(own)]:
        raise ExunoError(f"class {empty[0]} has no image to start from", "Give --init noise, or more data for it.")
    draws = rng.uniforms(seed, "poster/first", np.arange(classes), 1)[:, 0]
    return images[torch.tensor([int(own[int(u * len(own))]) for own, u in zip(found, draws, strict=True)])]


def first_labels(config: PosterConfig, layout: Layout, order: NDArray[np.int64], classes: int) -> Tensor:
    """Fixed labels of the patches [P, K], or the array from which labels are learned: [K, h, w], or [K, 1, K] where
    they belong to classes."""
    if config.labels == "fixed":
        return fixed_labels(layout, order, classes, config.label_formula)
    if config.labels == "shared":
        return torch.eye(classes)[:, None]
    return initial_label_array(layout, order, classes, config.label_cells)
