"""Overlapping patches of one picture: where they lie."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Layout:
    """Geometry of a poster. Pairs are (vertical, horizontal)."""

    size: tuple[int, int]
    """(H, W) of the poster in pixels."""
    image: tuple[int, int]
    """(h, w) of the images that networks see."""
    patch: tuple[int, int]
    """(h, w) of a patch in poster pixels; where it is not ``image``, patches are resized to that."""
    patches: tuple[int, int]
    """Patches down and across."""
    grid: tuple[int, int]
    """Classes down and across."""
    area: tuple[int, int]
    """(h, w) of a class area in poster pixels."""

    @property
    def count(self) -> int:
        """Number of patches."""
        return self.patches[0] * self.patches[1]

    @property
    def pixels(self) -> int:
        """Number of pixels of the poster."""
        return self.size[0] * self.size[1]


def offsets(full: int, part: int, count: int) -> NDArray[np.int64]:
    """Starts of ``count`` parts spread evenly over ``full``: round(linspace(0, full - part, count)), int64 [count]."""
    return np.linspace(0, full - part, count).round().astype(np.int64)


def boxes(layout: Layout) -> NDArray[np.int64]:
    """(top, left, bottom, right) of each patch in poster pixels, int64 [P, 4].

    Patches are numbered column by column: number = column * patches down + row.
    """
    tops, lefts = (offsets(*axis) for axis in zip(layout.size, layout.patch, layout.patches, strict=True))
    left, top = (side.ravel() for side in np.meshgrid(lefts, tops, indexing="ij"))
    return np.stack([top, left, top + layout.patch[0], left + layout.patch[1]], axis=1)
