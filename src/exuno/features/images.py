"""The images that features are taken from: bicubic resize and centre crop, raw pixels, and a few of each class."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exuno.data.base import Data, Images, Positions, classes_of
from exuno.data.loader import Loader
from exuno.data.resize import prepare
from exuno.data.subset import SubsetData, labels_of, names_of

Advance = Callable[[int], None]
ROOM = 2**22
"""Pixels (height times width) of a batch."""
MOST = 500
"""Images of a batch."""
RAW = 32
"""Side of the raw pixels of larger images."""


class Crops:
    """A labelled data set whose images are resized, bicubic with antialiasing, and cropped to their centre.

    Args:
        data: the images.
        size: (H, W) of the crop.
        short: the short side before the crop; the crop is never larger than the resized image.
    """

    def __init__(self, data: Any, size: tuple[int, int], short: int) -> None:
        self.data, self.image_size, self.short = data, size, short
        self.name: str = data.name

    def __len__(self) -> int:
        return len(self.data)

    def fetch(self, positions: Positions) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] of the data's type and class labels int64 [B] at B positions."""
        images, labels = self.data.fetch(positions)
        return crops(images, self.image_size, self.short), classes_of(labels)

    def batches(self, workers: int = 0) -> Loader:
        """All images in their order."""
        size = max(1, min(MOST, ROOM // (self.image_size[0] * self.image_size[1])))
        return Loader(self, size, None, size=self.image_size, workers=workers, shuffle=False, drop_last=False)


def crops(images: Images, size: tuple[int, int], short: int) -> Tensor:
    """Images [B, C, h, w], or a list of such of varying size, with ``short`` as short side, cut to (H, W)."""
    return prepare(images, size, short, "bicubic")


def short_side(data: Any, size: tuple[int, int], asked: int | None = None) -> int:
    """The short side before the centre crop: what was asked for, else 8/7 of ``size`` where images are larger than that
    (256 for 224), else ``size``."""
    if asked is not None:
        return asked
    larger = getattr(data, "resize", None) is not None or min(data.image_size) > min(size)
    return round(min(size) * 8 / 7) if larger else min(size)


def raw_size(data: Any) -> tuple[int, int]:
    """(H, W) at which raw pixels are compared: that of the data, at most 32 x 32, which is where pixels do best."""
    size = tuple(data.image_size)
    return (size[0], size[1]) if max(size) <= RAW and getattr(data, "resize", None) is None else (RAW, RAW)


def raw_pixels(
    data: Any, size: tuple[int, int], short: int, workers: int = 0, progress: Advance | None = None
) -> tuple[Tensor, Tensor]:
    """Pixels in [0, 1] of N images, float32 [N, C H W], and labels int64 [N]."""
    found, labels = [], []
    for batch in Crops(data, size, short).batches(workers).epoch(0):
        found.append(batch["images"].flatten(1).float())
        labels.append(batch["labels"])
        if progress:
            progress(len(batch["labels"]))
    return torch.cat(found), torch.cat(labels)


def few_of_each(data: Data, count: int) -> SubsetData:
    """The first ``count`` images of each class: what a smoke run measures."""
    labels = labels_of(data)
    found = [np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]
    chosen = np.sort(np.concatenate(found)).astype(np.int64)
    return SubsetData(data.name, [data], np.zeros_like(chosen), chosen, labels[chosen], names_of(data))
