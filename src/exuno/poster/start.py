"""Where a distillation starts: class order, initial poster and labels."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data import rng
from exuno.data.canvas import Layout
from exuno.data.patch_labels import fixed_labels
from exuno.data.resize import resize
from exuno.engine.errors import ExunoError
from exuno.poster.areas import faded, noise_areas
from exuno.poster.labels import initial_label_array
from exuno.poster.options import PosterConfig
from exuno.poster.order import class_means, class_order
from exuno.poster.sets import Sets


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
    """The initial poster, float32 [C, H, W] of the distilled space."""
    images, labels = sets.train
    classes, channels, seed = sets.source.num_classes, images.shape[1], config.run.seed
    if config.init == "noise":
        areas = noise_areas(seed, classes, channels, layout.area)
    else:
        areas = resize(one_of_each(images, labels, classes, seed), layout.area)
    return faded(areas[torch.from_numpy(order.ravel())], layout).float()


def one_of_each(images: Tensor, labels: Tensor, classes: int, seed: int) -> Tensor:
    """A random image of each class, [classes, C, h, w]. Raises ExunoError for a class that has none."""
    found = [np.flatnonzero(labels.numpy() == label) for label in range(classes)]
    if empty := [label for label, own in enumerate(found) if not len(own)]:
        raise ExunoError(f"class {empty[0]} has no image to start from", "Give --init noise, or more data for it.")
    for label, own in enumerate(found):
        if not len(own):
            raise ExunoError(f"class {label} has no image to start from", "Take --init noise, or give it some.")
    draws = rng.uniforms(seed, "poster/first", np.arange(classes), 1)[:, 0]
    return images[torch.tensor([int(own[int(u * len(own))]) for own, u in zip(found, draws, strict=True)])]


def first_labels(config: PosterConfig, layout: Layout, order: NDArray[np.int64], classes: int) -> Tensor:
    """Fixed labels of the patches [P, K], or the array from which labels are learned [K, h, w]."""
    if config.labels == "fixed":
        return fixed_labels(layout, order, classes, config.label_formula)
    return initial_label_array(layout, order, classes, config.label_cells)
