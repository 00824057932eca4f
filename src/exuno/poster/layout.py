"""From a budget to pixels, and from pixels to the places of classes and patches."""

import math
from fractions import Fraction

from exuno.data.poster.coding import Coding, coding_of
from exuno.data.poster.layout import Layout, offsets
from exuno.data.poster.quantisation import byte_size
from exuno.engine.errors import ExunoError
from exuno.engine.ranges import require
from exuno.poster.options import PosterConfig

Pair = tuple[int, int]
"""(vertical, horizontal)."""


def coding_by(config: PosterConfig, channels: int = 3) -> Coding:
    """How pixels are stored. Raises ExunoError for options that do not go together."""
    return coding_of(config.bits, config.palette, config.chroma, channels)


def poster_size(config: PosterConfig, grid: Pair, image: Pair, classes: int, channels: int) -> Pair:
    """(H, W) by the one budget of ``config``, and never more than it.

    Args:
        config: ``ipc``, ``canvas`` or ``bytes``; for the last also what the labels are.
        grid: classes (down, across).
        image: (h, w) of the images that networks see.
        classes: number of classes.
        channels: of the poster.

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
        require(0 < config.ipc < math.inf, "--ipc", config.ipc, "a positive number of images per class")
        return shape(int(Fraction(str(config.ipc)) * classes * math.prod(image)), grid, image)
    assert config.bytes is not None
    return _size_in_bytes(config, config.bytes, grid, image, classes, channels)


def _size_in_bytes(config: PosterConfig, budget: int, grid: Pair, image: Pair, classes: int, channels: int) -> Pair:
    """The size that fills what the labels leave. Their array depends on its aspect, so each length of one is tried."""
    coding = coding_by(config, channels)
    colours = coding.shared_bytes(channels)
    if config.labels == "fixed":
        least = colours + byte_size(coding.numbers((1, 1), channels), config.bits)
        require(budget >= least, "--bytes", budget, f"at least {least}")
        return _largest(coding, budget - colours, grid, image, channels)
    lengths = sorted({math.prod(cells) for cells in _label_shapes(grid, classes, config.label_cells)})
    if config.labels == "shared":
        lengths = [classes]
    for length in lengths:
        left = budget - colours - byte_size(length * classes, config.label_bits)
        size = _largest(coding, left, grid, image, channels)
        if size[1] < 1:
            break
        if config.labels == "shared" or math.prod(label_shape(size, grid, classes, config.label_cells)) <= length:
            return size
    least = byte_size(lengths[-1] * classes, config.label_bits)
    what = f"the learned labels, which take up to {least}" + f", and a palette of {colours}" * (colours > 0)
    fewer = "--bits or " * (colours > 0) + "--label-bits"
    raise ExunoError(
        f"--bytes {budget} does not hold {what}",
        f"Give more --bytes or fewer {fewer}, or take --labels fixed, which take none.",
    )


def _largest(coding: Coding, budget: int, grid: Pair, image: Pair, channels: int) -> Pair:
    """The largest size whose numbers fit into so many bytes; at least 1 x 0."""
    most = max(0, budget) * 8 // coding.bits
    pixels = most * 4 // coding.numbers((2, 2), channels)
    while coding.numbers(size := shape(pixels, grid, image), channels) > most:  # half a size is rounded up
        pixels -= 1
    return size


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
    require(0 < cells < math.inf, "--label-cells", cells, "a positive number")
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


DISTINCT = 92
"""Where there are several class rows, a patch is at most so many hundredths of the poster's height, and so for columns:
patches of the whole height would have one label whatever their row."""


def plan(config: PosterConfig, image: Pair, classes: int, channels: int) -> Layout:
    """The layout of a poster.

    Args:
        config: budget (``ipc``, ``canvas`` or ``bytes``), and what the user fixed of ``grid``, ``patch``, ``patches``
            and ``area``; the rest follows.
        image: (h, w) of the images that networks see.
        classes: number of classes.
        channels: of the poster.

    Raises:
        ExunoError: a value that cannot be read, none or several budgets, a poster too small for its classes or for
            one patch, patches or areas that do not fit or leave a class out.
    """
    coding_by(config, channels)
    grid = class_grid(config.grid, classes)
    size = poster_size(config, grid, image, classes, channels)
    if size[0] < grid[0] or size[1] < grid[1]:
        raise ExunoError(
            f"a poster of {show(size)} pixels is smaller than its grid of {show(grid)} classes",
            f"Give a larger budget, such as {enough(smallest(grid, image), grid, image, classes)}, or another --grid.",
        )
    patch = patch_size(config.patch, size, grid, image, classes)
    area = (
        read_pair(config.area, "--area")
        if config.area
        else (math.ceil(Fraction(size[0], grid[0])), math.ceil(Fraction(size[1], grid[1])))
    )
    if area[0] > size[0] or area[1] > size[1]:
        raise ExunoError(
            f"--area {show(area)} does not fit into a poster of {show(size)} pixels",
            "Give a smaller --area, or leave it out.",
        )
    layout = Layout(size, image, patch, patch_grid(config.patches, size, patch), grid, area)
    _check_seen(layout, 0, "row")
    _check_seen(layout, 1, "column")
    return layout


def class_grid(text: str | None, classes: int) -> Pair:
    """Classes (down, across); by default the most nearly square grid, wider than high."""
    if text is None:
        rows = max(count for count in range(1, math.isqrt(classes) + 1) if classes % count == 0)
        return rows, classes // rows
    grid = read_pair(text, "--grid")
    if math.prod(grid) != classes:
        raise ExunoError(
            f"--grid {text} has {math.prod(grid)} places for {classes} classes",
            f"Give columns x rows whose product is {classes}, such as {show(class_grid(None, classes))}.",
        )
    return grid


def patch_size(side: int | None, size: Pair, grid: Pair, image: Pair, classes: int) -> Pair:
    """(h, w) of a patch in poster pixels: by default the image's where it fits, else smaller at the same aspect.

    Args:
        side: its longer side, if given.
        size: (H, W) of the poster.
        grid: classes (down, across).
        image: (h, w) of the images that networks see.
        classes: number of classes, to name a budget that is large enough.
    """
    if side is None:
        limits = [full * DISTINCT // 100 if count > 1 else full for full, count in zip(size, grid, strict=True)]
        scale = min(1, *(Fraction(limit, whole) for limit, whole in zip(limits, image, strict=True)))
        patch = (int(image[0] * scale), int(image[1] * scale))
        if min(patch) < 2:
            raise ExunoError(
                f"a poster of {show(size)} pixels has no room for several patches of at least 2x2",
                f"Give a larger budget, such as {enough(smallest(grid, image), grid, image, classes)}.",
            )
        return patch
    require(2 <= side <= max(image), "--patch", side, f"2 to {max(image)} pixels, the side of the images")
    patch = (max(2, round(image[0] * side / max(image))), max(2, round(image[1] * side / max(image))))
    if patch[0] > size[0] or patch[1] > size[1]:
        raise ExunoError(
            f"a poster of {show(size)} pixels is smaller than one patch of {show(patch)}",
            f"Give a larger budget, such as {enough(patch, grid, image, classes)}, or a smaller --patch.",
        )
    return patch


def smallest(grid: Pair, image: Pair) -> Pair:
    """(H, W) that hold a pixel for each class, and patches of two pixels that differ from row to row."""
    patch = [math.ceil(Fraction(2 * side, min(image))) for side in image]
    height, width = (
        max(count, math.ceil(Fraction(side * 100, DISTINCT))) for count, side in zip(grid, patch, strict=True)
    )
    return height, width


def patch_grid(text: str | None, size: Pair, patch: Pair) -> Pair:
    """Patches (down, across); by default one every quarter of a patch, and at least two where two fit."""
    places = (size[0] - patch[0] + 1, size[1] - patch[1] + 1)
    if text is None:
        rows, columns = (
            min(free, max(2, round((free - 1) * 4 / part) + 1)) for free, part in zip(places, patch, strict=True)
        )
        return rows, columns
    grid = read_pair(text, "--patches")
    if grid[0] > places[0] or grid[1] > places[1]:
        raise ExunoError(
            f"--patches {text} is more than the {show(places)} places that a patch of {show(patch)} has in a poster of "
            f"{show(size)} pixels",
            "Give fewer --patches, or leave it out.",
        )
    return grid


def _check_seen(layout: Layout, axis: int, name: str) -> None:
    """Raises ExunoError if a class row (axis 0) or column (axis 1) lies outside all patches."""
    full, part, area = layout.size[axis], layout.patch[axis], layout.area[axis]
    patches = offsets(full, part, layout.patches[axis])
    for number, start in enumerate(offsets(full, area, layout.grid[axis]), 1):
        if not ((patches < start + area) & (start < patches + part)).any():
            raise ExunoError(
                f"--patches {show(layout.patches)} leaves out class {name} {number} of the poster",
                "Give more --patches, or leave it out.",
            )
