"""Where learned labels start: PoDDL (Shul, Horwitz and Hoshen, arXiv 2403.12040, section 3.3)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.canvas import Layout
from exuno.poster.budget import label_shape


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
