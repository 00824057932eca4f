"""Draws what the sampler needs to know about each patch: vectorised, and a pure function of (seed, index).

The distribution is that of Asano, Rupprecht and Vedaldi (ICLR 2020, ``make_dataset_single.py``): a square first crop at
a uniform place; in it a crop of uniform area and log-uniform aspect, drawn again until it fits (never replaced by a
centre crop); uniform rotation and shear; flips; with some probability the four colour changes in random order.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.data.rng import uniforms
from exuno.engine.errors import ExunoError
from exuno.synth.options import CropOptions, ImageOptions

FILTERS = ("lanczos", "bilinear", "bicubic")
"""The values of ``Parameters.filter``, in the order of their numbers."""
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""The columns of ``Parameters.factors`` and the values in ``Parameters.order``."""

STREAM = "synth"
# Slots of the random numbers of one patch. Attempts come last because their number is not known beforehand.
_FIRST_X, _FIRST_Y, _X, _Y, _ANGLE, _SHEAR, _HFLIP, _VFLIP, _FILTER, _JITTER = range(10)
_FACTORS, _ORDER, SLOTS = 10, 14, 18
_ROUND, _ROUNDS = 4, 250


@dataclass(frozen=True)
class Colours:
    """The colour changes of N patches or clips."""

    jitter: NDArray[np.bool_]
    """[N]: whether the colours change."""
    factors: NDArray[np.float64]
    """[N, 4]: factors of brightness, contrast, saturation (1: as it was); hue as a fraction of the colour circle."""
    order: NDArray[np.int64]
    """[N, 4]: the order in which the four are applied."""


@dataclass(frozen=True)
class Parameters(Colours):
    """The draw of N patches. Lengths are pixels of the photograph, angles degrees."""

    box: NDArray[np.int64]
    """[N, 4]: x, y, width and height of the crop in the photograph."""
    angle: NDArray[np.float64]
    """[N]: rotation, positive clockwise (as torchvision's ``affine``)."""
    shear: NDArray[np.float64]
    """[N]: shear along x."""
    hflip: NDArray[np.bool_]
    """[N]: mirrored left to right."""
    vflip: NDArray[np.bool_]
    """[N]: mirrored top to bottom."""
    filter: NDArray[np.int64]
    """[N]: the filter that resizes the crop, a position in ``FILTERS``."""

    def __len__(self) -> int:
        return len(self.box)

    def __getitem__(self, rows: slice | NDArray) -> "Parameters":
        return Parameters(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def first_crop_side(options: CropOptions, height: int, width: int) -> int:
    """Side of the square first crop in pixels.

    Raises:
        ExunoError: the photograph is so small that the crop has no pixel.
    """
    assert options.first_crop is not None
    side = int(options.first_crop * min(height, width))
    if side < 1:
        raise ExunoError(
            f"the photograph of {width} x {height} pixels is too small: its first crop ({options.first_crop} of the "
            "short side) has no pixel",
            "Give a larger photograph, or --first-crop None to use the whole picture.",
        )
    return side


def draw(options: ImageOptions, height: int, width: int, seed: int, indices: ArrayLike) -> Parameters:
    """Draw the parameters of the patches with these indices from a photograph of ``height`` x ``width`` pixels.

    Raises:
        ExunoError: no crop of the wanted area and aspect fits.
    """
    indices = np.asarray(indices, np.int64).reshape(-1)
    u = uniforms(seed, STREAM, indices, SLOTS)
    outer = first_crops(options, height, width, u)
    choices = np.array([FILTERS.index(options.interpolation)] if options.interpolation != "random" else [0, 1, 2])
    return Parameters(
        **colours(options, u),
        box=inner_boxes(options, outer, seed, STREAM, indices, u),
        angle=(2 * u[:, _ANGLE] - 1) * options.rotate,
        shear=(2 * u[:, _SHEAR] - 1) * options.shear,
        hflip=u[:, _HFLIP] < options.hflip,
        vflip=u[:, _VFLIP] < options.vflip,
        filter=choices[(u[:, _FILTER] * len(choices)).astype(np.int64)],
    )


def first_crops(options: CropOptions, height: int, width: int, u: NDArray[np.float64]) -> NDArray[np.int64]:
    """x, y, width and height of N first crops, or of the whole photograph, [N, 4], from the numbers u, [N, slots]."""
    outer = np.tile(np.array([0, 0, width, height], np.int64), (len(u), 1))
    if options.first_crop is not None:
        side = first_crop_side(options, height, width)
        outer[:, 0] = _integer(u[:, _FIRST_X], width - side)
        outer[:, 1] = _integer(u[:, _FIRST_Y], height - side)
        outer[:, 2:] = side
    return outer


def inner_boxes(
    options: CropOptions,
    outer: NDArray[np.int64],
    seed: int,
    stream: str,
    indices: NDArray[np.int64],
    u: NDArray[np.float64],
) -> NDArray[np.int64]:
    """A random resized crop in each of N first crops of one size: x, y, width and height in the photograph, [N, 4]."""
    if not len(indices):
        return outer
    w, h = _crop_sides(options, int(outer[0, 2]), int(outer[0, 3]), seed, stream, indices)
    x = outer[:, 0] + _integer(u[:, _X], outer[:, 2] - w)
    y = outer[:, 1] + _integer(u[:, _Y], outer[:, 3] - h)
    return np.stack([x, y, w, h], 1)


def colours(options: CropOptions, u: NDArray[np.float64]) -> dict[str, NDArray]:
    """The fields of ``Colours`` from the numbers u, [N, slots]."""
    strength = np.array(options.jitter)
    low = np.maximum(0.0, 1.0 - strength)
    low[HUE] = -strength[HUE]
    high = np.append(1.0 + strength[:HUE], strength[HUE])
    return {
        "jitter": u[:, _JITTER] < options.jitter_p,
        "factors": low + u[:, _FACTORS : _FACTORS + 4] * (high - low),
        "order": np.argsort(u[:, _ORDER : _ORDER + 4], axis=1),
    }


def _integer(u: NDArray[np.float64], largest: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """Uniform integers 0 … largest, both included."""
    return (u * (np.asarray(largest) + 1)).astype(np.int64)


def _crop_sides(
    options: CropOptions, width: int, height: int, seed: int, stream: str, indices: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Width and height of the random crop, int64 [N] each: for each patch the first of its attempts that fits."""
    w, h = np.zeros((2, len(indices)), np.int64)
    log_aspect = math.log(options.aspect[0]), math.log(options.aspect[1])
    open_rows = np.arange(len(indices))
    for turn in range(_ROUNDS):
        u = uniforms(seed, stream, indices[open_rows], 2 * _ROUND, SLOTS + 2 * _ROUND * turn)
        area = (options.area[0] + u[:, :_ROUND] * (options.area[1] - options.area[0])) * (width * height)
        aspect = np.exp(log_aspect[0] + u[:, _ROUND:] * (log_aspect[1] - log_aspect[0]))
        tried_w, tried_h = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
        fits = (tried_w > 0) & (tried_w <= width) & (tried_h > 0) & (tried_h <= height)
        first = np.argmax(fits, axis=1)[:, None]
        found = fits.any(axis=1)
        rows = open_rows[found]
        w[rows] = np.take_along_axis(tried_w, first, 1)[found, 0].astype(np.int64)
        h[rows] = np.take_along_axis(tried_h, first, 1)[found, 0].astype(np.int64)
        open_rows = open_rows[~found]
        if not len(open_rows):
            return w, h
    raise ExunoError(
        f"no crop of area {options.area[0]:g} to {options.area[1]:g} and aspect {options.aspect[0]:g} to "
        f"{options.aspect[1]:g} fits into {width} x {height} pixels",
        "Give a larger photograph or a wider --area or --aspect.",
    )
