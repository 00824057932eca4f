"""PoDDL, the soft labels of patches: Shul, Horwitz and Hoshen, "Distilling Datasets Into Less Than One Image"
(arXiv 2403.12040), section 3.3."""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.canvas import Layout, offsets


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
