"""PoCO, the order of the classes: Shul, Horwitz and Hoshen, "Distilling Datasets Into Less Than One Image"
(arXiv 2403.12040), section 3.2. No torch."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from exuno.engine.errors import ExunoError

Features = NDArray[np.floating]


def class_order(
    how: str, grid: tuple[int, int], names: Sequence[str] | None, features: Callable[[], Features]
) -> NDArray[np.int64]:
    """The class at each place of the grid.

    Args:
        how: ``features``, ``clip``, ``given``, or the numbers of all classes row by row, joined by commas.
        grid: classes (down, across).
        names: names of the classes, for ``clip``.
        features: makes the ``class_means`` of the data, for ``features``.

    Returns:
        int64 [rows, columns].

    Raises:
        ExunoError: no such order, numbers that are no permutation, or names or their embedding missing.
    """
    if how == "features":
        return arrange(cosine_distance(features()), grid)
    if how == "clip":
        if not names:
            raise ExunoError(
                "--order clip needs names, and the classes of this data have none", "Use --order features."
            )
        from exuno.poster.clip import name_features

        return arrange(cosine_distance(name_features(names)), grid)
    if how == "given":
        return np.arange(grid[0] * grid[1]).reshape(grid)
    return numbered(how, grid)


def numbered(text: str, grid: tuple[int, int]) -> NDArray[np.int64]:
    """``"2,0,1,3"`` row by row -> int64 [rows, columns]."""
    count = grid[0] * grid[1]
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ExunoError(f"--order {text} is not understood", "Give features, clip, given, or numbers as in 2,0,1,3.")
    numbers = [int(part) for part in parts]
    for number in range(count):
        if (times := numbers.count(number)) != 1:
            raise ExunoError(f"--order has class {number} {times} times", f"Give each of 0 to {count - 1} once.")
    if len(numbers) != count:
        extra = next(number for number in numbers if number >= count)
        raise ExunoError(f"--order has the number {extra}, which is no class", f"Give each of 0 to {count - 1} once.")
    return np.array(numbers, np.int64).reshape(grid)


def arrange(distance: Features, grid: tuple[int, int]) -> NDArray[np.int64]:
    """Neighbours that are near each other, greedily.

    Walks the anti-diagonals from the top left, each from its lower left end; class 0 comes first, then at each place
    the class with the smallest sum of distances to the places above and left of it (ties: the lowest number).

    Args:
        distance: of classes, float [K, K].
        grid: classes (down, across), K places.

    Returns:
        int64 [rows, columns].
    """
    order = np.full(grid, -1, np.int64)
    free = np.arange(len(distance))
    for row, column in diagonals(grid):
        near = [order[place] for place in ((row - 1, column), (row, column - 1)) if min(place) >= 0]
        chosen = int(distance[np.ix_(free, near)].sum(1).argmin())
        order[row, column] = free[chosen]
        free = np.delete(free, chosen)
    return order


def diagonals(grid: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """(row, column) of all places, one anti-diagonal after the other from the top left, each from its lower left."""
    rows, columns = grid
    for total in range(rows + columns - 1):
        for column in range(max(0, total - rows + 1), min(total, columns - 1) + 1):
            yield total - column, column


def cosine_distance(features: Features) -> Features:
    """1 - cosine of each pair of rows of [K, D]: float64 [K, K]; a row of zeros is at distance 1 from all others."""
    rows = features.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(norms > 0, norms, 1)
    return 1 - unit @ unit.T


def class_means(batches: Iterable[tuple[Features, NDArray[np.int64]]], classes: int) -> Features:
    """The mean of each class less the mean of all images: float64 [classes, D].

    Args:
        batches: pairs of images, [B, …] with D numbers each, and labels, int64 [B].
        classes: number of classes.

    Raises:
        ExunoError: if a class has no image.
    """
    sums, counts = np.zeros((classes, 1)), np.zeros(classes, np.int64)
    for images, labels in batches:
        for start in range(0, len(images), 1024):  # a float64 copy of all of Tiny ImageNet would take 10 GB
            part = slice(start, start + 1024)
            owner = np.arange(classes)[:, None] == labels[part]
            sums = sums + owner.astype(np.float64) @ images[part].reshape(owner.shape[1], -1).astype(np.float64)
            counts += owner.sum(1)
    if not counts.all():
        raise ExunoError(
            f"class {int(counts.argmin())} has no image to train on", "Leave it out, or give more data for it."
        )
    return sums / counts[:, None] - sums.sum(0) / counts.sum()
