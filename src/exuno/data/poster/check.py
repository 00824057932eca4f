"""What makes a poster one: its parts fit each other, and none is larger than a poster can mean."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from exuno.data.poster.layout import Layout
from exuno.data.poster.quantisation import top
from exuno.engine.errors import ExunoError

if TYPE_CHECKING:
    from exuno.data.poster.format import Poster

MOST = 1 << 32
"""Numbers in the patches of a poster, and bytes of its parts; more is a damaged file and not a small data set."""


def check(poster: "Poster") -> None:
    """Raises ExunoError, saying which parts of a poster contradict each other."""
    layout, shape = poster.layout, poster.pixels.shape
    if poster.pixels.dtype != np.uint8 or poster.pixels.ndim != 3:
        raise wrong(f"pixels are {poster.pixels.dtype} {list(shape)}, not uint8 [planes, H, W]")
    if poster.channels not in (1, 3):
        raise wrong(f"mean {poster.mean} is not a number for each of 1 or 3 channels")
    if poster.bits not in (2, 4, 8) or (poster.pixels % (255 // top(poster.bits))).any():
        raise wrong(f"its pixels are not of {poster.bits} bits")
    if poster.chroma not in ("full", "half"):
        raise wrong(f"its colours have the size '{poster.chroma}', which is neither full nor half")
    check_layout(layout, poster.channels)
    check_picture(poster)
    for name in ("low", "high", "mean", "std"):
        check_numbers(name, getattr(poster, name), poster.channels)
    if any(low > high for low, high in zip(poster.low, poster.high, strict=True)) or min(poster.std) <= 0:
        raise wrong(f"low {poster.low}, high {poster.high} and std {poster.std} are no ranges")
    if not poster.classes:
        raise wrong("no classes are named")
    if poster.order.shape != layout.grid or sorted(poster.order.ravel().tolist()) != list(range(poster.classes)):
        raise wrong(f"the order does not place each of the {poster.classes} classes once in a grid of {layout.grid}")
    check_labels(poster)
    images = (poster.channels, *layout.image)
    if poster.whitening is not None and poster.whitening.shape != images:
        raise wrong(f"the whitening is one of images of {poster.whitening.shape}, not {images}")


def check_picture(poster: "Poster") -> None:
    """Raises ExunoError for a picture of another shape than the layout asks for, or a palette that does not fit it."""
    size, (planes, *found) = poster.layout.size, poster.pixels.shape
    wanted, height, width = poster.coding.shape(size, poster.channels)
    if found != [height, width]:
        raise wrong(f"the picture has {found[1]}x{found[0]} pixels, the layout {width}x{height}")
    if planes != wanted:
        raise wrong(f"the picture has {planes} channels, not {wanted}")
    if poster.pixels[:, : size[0], size[1] :].any():
        raise wrong("the column beside the light is not empty")
    colours, shape = poster.palette, (1 << poster.bits, poster.channels)
    if colours is not None and (colours.dtype != np.float16 or colours.shape != shape):
        raise wrong(f"the palette is {colours.dtype} {list(colours.shape)}, not float16 {list(shape)}")
    if colours is not None and not np.isfinite(colours).all():
        raise wrong("the palette holds numbers that are not finite")


def check_layout(layout: Layout, channels: int) -> None:
    """Raises ExunoError for a layout that no poster can have."""
    pairs = (layout.size, layout.image, layout.patch, layout.patches, layout.grid, layout.area)
    if any(len(pair) != 2 or min(pair) < 1 for pair in pairs):
        raise wrong(f"{layout} has a side below 1")
    for name, part in (("patch", layout.patch), ("class area", layout.area)):
        if any(side > full for side, full in zip(part, layout.size, strict=True)):
            raise wrong(f"a {name} of {part} does not fit into a poster of {layout.size}")
    places = [full - side + 1 for full, side in zip(layout.size, layout.patch, strict=True)]
    if any(count > most for count, most in zip(layout.patches, places, strict=True)):
        raise wrong(f"there are no {layout.patches} different patches of {layout.patch} in {layout.size}")
    if layout.count * channels * math.prod(layout.image) > MOST:
        raise wrong(f"{layout.count} patches of {layout.image} are more than a poster can mean")


def check_numbers(name: str, numbers: Sequence[float], channels: int) -> None:
    """Raises ExunoError unless there is a finite number for each channel."""
    if len(numbers) != channels or not all(map(math.isfinite, numbers)):
        raise wrong(f"{name} {tuple(numbers)} is not a finite number for each of {channels} channels")


def check_labels(poster: "Poster") -> None:
    """Raises ExunoError for label parts that cannot be."""
    if poster.label_formula not in ("paper", "reference"):
        raise wrong(f"the label formula '{poster.label_formula}' is neither paper nor reference")
    labels, bits = poster.labels, poster.label_bits
    if poster.label_sharing not in ("cells", "classes"):
        raise wrong(f"labels are shared by '{poster.label_sharing}', which is neither cells nor classes")
    if bits not in (2, 4, 8, 16):
        raise wrong(f"labels have 2, 4, 8 or 16 bits, not {bits}")
    if labels is None:
        return
    if labels.dtype != np.float16 or labels.ndim != 3 or len(labels) != poster.classes or not labels.size:
        raise wrong(f"the label array is {labels.dtype} {list(labels.shape)}, not float16 [{poster.classes}, h, w]")
    if poster.label_sharing == "classes" and labels.shape[1:] != (1, poster.classes):
        raise wrong(f"the label array is {list(labels.shape)}, not one label for each of {poster.classes} classes")
    if poster.layout.count * labels[0].size > MOST:
        raise wrong(f"a label array of {list(labels.shape)} is more than a poster can mean")
    if not np.isfinite(labels).all() or labels.min() < 0:
        raise wrong("the label array holds numbers that are negative or not finite")
    if bits < 16 and ((labels != labels.round()).any() or labels.max() > top(bits)):
        raise wrong(f"the label array holds other numbers than 0 to {top(bits)}, those of {bits} bits")


def wrong(what: str) -> ExunoError:
    """The error for parts that do not fit."""
    return ExunoError(f"this is no poster: {what}", "Make or fetch it anew.")
