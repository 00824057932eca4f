"""The patches of a poster on any device, and their soft labels.

PoDDL, the soft labels of patches: Shul, Horwitz and Hoshen, "Distilling Datasets Into Less Than One Image"
(arXiv 2403.12040), section 3.3.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from exuno.data.poster.layout import Layout, boxes, offsets


class Canvas:
    """Cuts patches out of posters of one layout, in one differentiable gather.

    A patch is found by the place of its first pixel, and its pixels by their distance from that, the same for all
    patches: the index of a batch is the sum of the two, so the memory held does not grow with patches times pixels.

    Args:
        layout: where the patches lie.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._indices: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def patches(self, poster: Tensor) -> Tensor:
        """Patches as networks see them; differentiable in the poster, as often as wished.

        Args:
            poster: float [C, H, W].

        Returns:
            float [P, C, *layout.image], in the order of ``boxes``; patches of another size are resized (bilinear,
            corners not aligned).
        """
        first, within = self._index(poster.device)
        index = (first[:, None] + within).flatten()
        pixels = poster.flatten(1).index_select(1, index)
        cut = pixels.view(len(poster), len(first), *self.layout.patch).transpose(0, 1)
        if self.layout.patch == self.layout.image:
            return cut
        return functional.interpolate(cut, self.layout.image, mode="bilinear", align_corners=False)

    def _index(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Flat position of the first pixel of each patch, int64 [P], and of a patch's pixels from there, [h * w]."""
        if device not in self._indices:
            width = self.layout.size[1]
            top, left = boxes(self.layout)[:, :2].T
            rows, columns = (np.arange(side) for side in self.layout.patch)
            within = (rows[:, None] * width + columns).ravel()
            with torch.inference_mode(False):  # autograd cannot save a tensor made in inference mode
                self._indices[device] = (
                    torch.from_numpy(top * width + left).to(device),
                    torch.from_numpy(within).to(device),
                )
        return self._indices[device]


def fixed_labels(
    layout: Layout, order: NDArray[np.int64], classes: int, formula: Literal["paper", "reference"] = "paper"
) -> Tensor:
    """The label of each patch by what its pixels belong to.

    The areas of the classes lie as evenly as patches do; where two overlap, a pixel counts for both. A patch is the
    product of two intervals and so is an area, so their overlap is the product of two lengths.

    Args:
        layout: geometry of the poster.
        order: the class at each place of the grid, int64 [rows, columns].
        classes: number of classes.
        formula: ``paper``: each class's share of the pixels; ``reference``: softmax of the pixel counts, as the
            published code does. A patch outside all areas gets the uniform label.

    Returns:
        float32 [P, classes], rows of sum 1.
    """
    down, across = (_overlaps(layout, axis) for axis in (0, 1))
    counts = np.zeros((layout.count, classes))
    counts[:, order.ravel()] = np.einsum("ir,jc->jirc", down, across).reshape(layout.count, -1)
    if formula == "reference":
        return torch.from_numpy(counts).float().softmax(1)
    return _normalised(torch.from_numpy(counts)).float()


def _overlaps(layout: Layout, axis: int) -> NDArray[np.int64]:
    """Pixels that patches and class areas share along one axis, int64 [patches, areas]."""
    full, part, area = layout.size[axis], layout.patch[axis], layout.area[axis]
    patch = offsets(full, part, layout.patches[axis])[:, None]
    place = offsets(full, area, layout.grid[axis])[None]
    return (np.minimum(patch + part, place + area) - np.maximum(patch, place)).clip(0)


def array_labels(array: Tensor, layout: Layout) -> Tensor:
    """The labels of patches from a learned label array, cropped in step with the patches, summed and normalised.

    Args:
        array: non-negative float [classes, h, w].
        layout: geometry of the poster.

    Returns:
        float [P, classes], rows of sum 1; differentiable in ``array``. Where all cells of a patch are 0, the label is
        uniform and passes no gradient.
    """
    member = _cells(layout, (array.shape[1], array.shape[2]), array.device, array.dtype)
    return _normalised(member @ array.flatten(1).T)


def shared_labels(array: Tensor, layout: Layout, order: NDArray[np.int64]) -> Tensor:
    """The labels of patches from one learned label for each class, mixed by the shares that the classes have in a
    patch, as :func:`fixed_labels` has them.

    Args:
        array: non-negative float [K, 1, K]; the last axis tells whose label it is.
        layout: geometry of the poster.
        order: the class at each place of the grid, int64 [rows, columns].

    Returns:
        float [P, K], rows of sum 1; differentiable in ``array``. A class whose label is all 0 has the uniform one.
    """
    return _shares(layout, order.tobytes(), array.device, array.dtype) @ _normalised(array.flatten(1).T)


@lru_cache(maxsize=8)
def _shares(layout: Layout, order: bytes, device: torch.device, dtype: torch.dtype) -> Tensor:
    places = np.frombuffer(order, np.int64).reshape(layout.grid)
    with torch.inference_mode(False):  # as below
        return fixed_labels(layout, places, places.size).to(device, dtype)


@lru_cache(maxsize=8)
def _cells(layout: Layout, shape: tuple[int, int], device: torch.device, dtype: torch.dtype) -> Tensor:
    """1 where a patch takes a cell of the label array, else 0: [P, h * w]."""
    member = []
    for axis in (0, 1):
        part = max(1, layout.patch[axis] * shape[axis] // layout.size[axis])
        start = offsets(shape[axis], part, layout.patches[axis])[:, None]
        cell = np.arange(shape[axis])
        member.append((start <= cell) & (cell < start + part))
    both = np.einsum("ir,jc->jirc", *member).reshape(layout.count, -1)
    with torch.inference_mode(False):  # autograd cannot save a tensor made in inference mode
        return torch.from_numpy(both).to(device, dtype)


def _normalised(labels: Tensor) -> Tensor:
    total = labels.sum(1, keepdim=True)
    there = total > 0
    return torch.where(there, labels / torch.where(there, total, 1), 1 / labels.shape[1])
