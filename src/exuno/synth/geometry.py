"""From drawn parameters to two affine maps for each patch, and the photograph in the sizes that they read.

The chain of the paper is crop, resize to a square of ``int(sqrt(2) * size)`` (the *intermediate square*), rotate and
shear, flip, centre crop. Here the crop and the resize are one axis-aligned map that reads a level of the pyramid, and
all the rest is a second affine map that reads the intermediate square. Two maps and not one: the paper's chain samples
twice, and reproducing its second sampling on the same pixel grid is worth 4 dB.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exuno.synth.parameters import FILTERS, Parameters

PER_OCTAVE = 2
"""Levels from one size to half of it. Four gain 0.3 dB over two and take nearly twice the memory."""


def pyramid(photo: NDArray[np.uint8], largest: float) -> list[NDArray[np.uint8]]:
    """Levels of ``photo``, uint8 [h, w, 4] each: level i is smaller by a factor of about 2 ** (i / PER_OCTAVE).

    The fourth channel is empty: OpenCV warps four channels twice as fast as three.

    All levels together have at most twice the pixels of the photograph.

    Args:
        photo: uint8 [H, W, 3].
        largest: the largest reduction that will be asked for; no level far beyond it is made.
    """
    import cv2
    from PIL import Image

    levels = [np.ascontiguousarray(photo)]
    height, width = photo.shape[:2]
    while 2 ** ((len(levels) - 1) / PER_OCTAVE) < largest and max(levels[-1].shape[:2]) > 1:
        factor = 2 ** (len(levels) / PER_OCTAVE)
        # Filtering from four times the size is as good as from the photograph, and spares most of the time.
        source = levels[max(0, len(levels) - 2 * PER_OCTAVE)]
        size = max(1, round(width / factor)), max(1, round(height / factor))
        levels.append(np.asarray(Image.fromarray(source).resize(size, Image.Resampling.BICUBIC)))
    return [np.asarray(cv2.cvtColor(level, cv2.COLOR_RGB2RGBA), np.uint8) for level in levels]


_BIAS = np.array([{"lanczos": -0.6, "bilinear": -0.1, "bicubic": -0.5}[name] for name in FILTERS])
"""How many octaves finer than the exact reduction the level is that, read bilinearly, is nearest to PIL's filter."""


@dataclass(frozen=True)
class Plan:
    """How to make N patches. A map takes pixel numbers (0 is the centre of the first pixel) of what is made."""

    level: NDArray[np.int64]
    """[N]: the level of the pyramid to read."""
    roi: NDArray[np.int64]
    """[N, 4]: left, top, right, bottom of the crop in pixels of the level; nothing outside is read."""
    resize: NDArray[np.float64]
    """[N, 2, 3]: pixel of the intermediate square -> pixel of the roi."""
    warp: NDArray[np.float64]
    """[N, 2, 3]: pixel of the patch -> pixel of the intermediate square."""
    whole: NDArray[np.bool_]
    """[N]: every pixel of the patch lies in the intermediate square, so that nothing is black."""


def target_side(size: int) -> int:
    """Side of the intermediate square for patches of this side."""
    return int(math.sqrt(2) * size)


def plan(drawn: Parameters, size: int, level_shapes: NDArray[np.int64]) -> Plan:
    """Compose the maps of all patches.

    Args:
        drawn: the parameters of N patches.
        size: side of a patch.
        level_shapes: [levels, 2]: height and width of each level of the pyramid.
    """
    target = target_side(size)
    level, roi, resize = read_boxes(drawn.box.astype(np.float64), target, level_shapes, _BIAS[drawn.filter])

    warp = rotate_shear_flip_crop(drawn, size)
    corners = np.array([[0, size - 1, 0, size - 1], [0, 0, size - 1, size - 1]], np.float64)
    mapped = warp[:, :, :2] @ corners + warp[:, :, 2:]
    whole = np.asarray(((mapped >= -0.5) & (mapped < target - 0.5)).all(axis=(1, 2)))
    return Plan(level, roi, resize, warp, whole)


def read_boxes(
    box: NDArray[np.float64], side: int, level_shapes: NDArray[np.int64], bias: NDArray[np.float64] | float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Where to read boxes of the photograph that become squares of one side.

    Args:
        box: [N, 4]: x, y, width and height in the photograph.
        side: side of the square in pixels.
        level_shapes: [levels, 2]: height and width of each level of the pyramid.
        bias: octaves to add to the exact reduction.

    Returns:
        level [N], roi [N, 4] and resize [N, 2, 3] as in ``Plan``, the square in the place of the intermediate one.
    """
    octaves = np.log2(np.sqrt(box[:, 2] * box[:, 3]) / side) + bias
    level = np.clip(np.rint(octaves * PER_OCTAVE), 0, len(level_shapes) - 1).astype(np.int64)
    width, height = level_shapes[level, 1], level_shapes[level, 0]
    fx, fy = width / level_shapes[0, 1], height / level_shapes[0, 0]

    left, top = box[:, 0] * fx, box[:, 1] * fy
    x0 = np.minimum(np.rint(left).astype(np.int64), width - 1)
    y0 = np.minimum(np.rint(top).astype(np.int64), height - 1)
    x1 = np.maximum(np.rint((box[:, 0] + box[:, 2]) * fx).astype(np.int64), x0 + 1)
    y1 = np.maximum(np.rint((box[:, 1] + box[:, 3]) * fy).astype(np.int64), y0 + 1)

    resize = np.zeros((len(box), 2, 3))
    resize[:, 0, 0], resize[:, 1, 1] = box[:, 2] * fx / side, box[:, 3] * fy / side
    resize[:, 0, 2] = left - x0 + 0.5 * resize[:, 0, 0] - 0.5
    resize[:, 1, 2] = top - y0 + 0.5 * resize[:, 1, 1] - 0.5
    return level, np.stack([x0, y0, x1, y1], 1), resize


def rotate_shear_flip_crop(drawn: Parameters, size: int) -> NDArray[np.float64]:
    """[N, 2, 3]: pixel of the patch -> pixel of the intermediate square; undoes centre crop, flips, shear, rotation."""
    target = target_side(size)
    # round() to even, and the flip before the crop, as in torchvision: it matters by a pixel.
    offset = round((target - size) / 2) + 0.5 - target / 2
    angle, slant = np.radians(drawn.angle), np.tan(np.radians(drawn.shear))
    cos, sin = np.cos(angle), np.sin(angle)
    flip = np.stack([np.where(drawn.hflip, -1.0, 1.0), np.where(drawn.vflip, -1.0, 1.0)], 1)
    # The inverse of torchvision's affine: first the inverse rotation, then the inverse shear along x, about the centre.
    linear = np.stack([np.stack([cos - sin * slant, sin + cos * slant], 1), np.stack([-sin, cos], 1)], 1)
    linear = linear * flip[:, None, :]
    shift = linear.sum(2) * offset + target / 2 - 0.5
    return np.concatenate([linear, shift[:, :, None]], 2)
