"""From a budget to pixels: the size of the poster and of its label array. No torch."""

import math
from fractions import Fraction

from exuno.engine.check import need
from exuno.engine.errors import ExunoError
from exuno.poster.options import PosterConfig

Pair = tuple[int, int]
"""(vertical, horizontal)."""


def poster_size(config: PosterConfig, grid: Pair, image: Pair, classes: int, channels: int) -> Pair:
    """(H, W) by the one budget of ``config``, and never more than it.

    Args:
        config: ``ipc``, ``canvas`` or ``bytes``; for the last also what the labels are.
        grid: classes (down, across).
        image: (h, w) of the images that networks see.
        classes: number of classes.
        channels: of the poster, one byte a pixel each.

    Raises:
        ExunoError: none or several budgets, or one that cannot be read or holds nothing.
    """
    given = [f"--{name}" for name in ("ipc", "canvas", "bytes") if getattr(config, name) is not None]
    if len(given) != 1:
        raise ExunoError(
            f"{' and '.join(given)} are {len(given)} budgets" if given else "the poster has no budget",
            "Give one of --ipc 0.3 (images per class), --canvas 153x60 (pixels across x down) and --bytes 10000.",
        )
    if config.canvas is not None:
        return read_pair(config.canvas, "--canvas")
    if config.ipc is not None:
        need(0 < config.ipc < math.inf, "--ipc", config.ipc, "a positive number of images per class")
        return shape(int(Fraction(str(config.ipc)) * classes * math.prod(image)), grid, image)
    assert config.bytes is not None
    return _size_in_bytes(config, config.bytes, grid, image, classes, channels)


def _size_in_bytes(config: PosterConfig, budget: int, grid: Pair, image: Pair, classes: int, channels: int) -> Pair:
    """The size that fills what the labels leave. Their array depends on its aspect, so each length of one is tried."""
    if config.labels == "fixed":
        need(budget >= channels, "--bytes", budget, f"at least {channels}")
        return shape(budget // channels, grid, image)
    lengths = sorted({math.prod(cells) for cells in _label_shapes(grid, classes, config.label_cells)})
    for length in lengths:
        pixels = (budget - label_bytes(length, classes)) // channels
        if pixels < 1:
            break
        size = shape(pixels, grid, image)
        if math.prod(label_shape(size, grid, classes, config.label_cells)) <= length:
            return size
    least = label_bytes(lengths[-1], classes)
    raise ExunoError(
        f"--bytes {budget} does not hold the learned labels, which take up to {least}",
        "Give more --bytes, or take --labels fixed, which take none.",
    )


def label_bytes(cells: int, classes: int) -> int:
    """Bytes of a learned label array of so many cells: a float16 for each class in each cell."""
    return 2 * classes * cells


def shape(pixels: int, grid: Pair, image: Pair) -> Pair:
    """(H, W) of at most ``pixels`` (at least 1 x 0), so that a class cell has about the aspect of an image."""
    height = max(1, math.isqrt(pixels * grid[0] * image[0] // (grid[1] * image[1])))
    return height, pixels // height


def enough(part: Pair, grid: Pair, image: Pair, classes: int) -> str:
    """A budget, in words, that makes a poster of at least ``part`` in height and width."""
    ratio = Fraction(grid[0] * image[0], grid[1] * image[1])
    pixels = math.ceil(max(part[0] ** 2 / ratio, part[1] ** 2 * ratio))
    ipc = math.ceil(Fraction(1000 * pixels, classes * math.prod(image))) / 1000
    return f"--ipc {ipc} or --canvas {show(shape(pixels, grid, image))}"


def label_shape(size: Pair, grid: Pair, classes: int, cells: float) -> Pair:
    """(h, w) of the learned label array: nearly the aspect of the poster, and at least a cell for each class.

    It has at most ``cells`` cells a class, but never fewer rows or columns than the grid of the classes, so that none
    vanishes; for 1 cell a class it is the grid.

    Args:
        size: (H, W) of the poster.
        grid: classes (down, across).
        classes: number of classes.
        cells: cells for each class.
    """
    aspect = size[0] / size[1]
    return min(_label_shapes(grid, classes, cells), key=lambda cells: abs(math.log(cells[0] / cells[1] / aspect)))


def _label_shapes(grid: Pair, classes: int, cells: float) -> list[Pair]:
    need(0 < cells < math.inf, "--label-cells", cells, "a positive number")
    most = max(int(Fraction(str(cells)) * classes), math.prod(grid))
    return [(height, most // height) for height in range(grid[0], most // grid[1] + 1)]


def read_pair(text: str, flag: str) -> Pair:
    """``"153x60"`` (across x down, as users write it) -> (60, 153)."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ExunoError(f"{flag} {text} is not understood", "Give two whole numbers from 1, across x down, as in 5x2.")
    return int(height), int(width)


def show(pair: Pair) -> str:
    """(60, 153) -> ``"153x60"``: as users write it."""
    return f"{pair[1]}x{pair[0]}"
