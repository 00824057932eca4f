"""Differentiable siamese augmentation: Zhao and Bilen, "Dataset Condensation with Differentiable Siamese Augmentation"
(ICML 2021, arXiv 2102.08259), with the strengths that the published distillations use.

The numbers of an augmentation are drawn first, on the CPU and as a pure function of (seed, stream, index); applying
them is deterministic and differentiable with respect to the pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

from exuno.data import rng
from exuno.engine.devices import send
from exuno.engine.errors import ExunoError

FLIP = 0.5  # probability
ROTATE = 15.0  # degrees to either side
SCALE = 1.2  # largest factor of each axis; the smallest is its inverse
CROP = 0.125  # largest shift, as a share of the side
CUTOUT = 0.5  # side of the hole, as a share of the side
BRIGHTNESS, SATURATION, CONTRAST = 1.0, 2.0, 0.5
COLOR = ("brightness", "saturation", "contrast")
NAMES = ("flip", "rotate", "scale", "crop", "color", "cutout")


@dataclass(frozen=True)
class Draw:
    """Drawn augmentations of one batch."""

    ops: tuple[tuple[str, Tensor], ...]
    """Names of the operations in turn, and their uniform numbers in [0, 1): float32 [B, 1 or 2] on the CPU."""

    def __call__(self, x: Tensor) -> Tensor:
        """Augment a batch [B, C, h, w]; the result has its shape, type and device."""
        for name, numbers in self.ops:
            x = OPERATIONS[name][1](x, send(numbers, x.device).to(x.dtype))
        return x


class Augmentation:
    """What may happen to a batch.

    Args:
        strategy: names of ``NAMES`` joined by ``_``, of which each batch gets one, drawn anew; ``all:`` in front
            applies every one in turn; ``none`` nothing. ``color`` is brightness, saturation or contrast (all three
            with ``all:``).

    Raises:
        ExunoError: for an unknown name.
    """

    def __init__(self, strategy: str) -> None:
        self.every = strategy.startswith("all:")
        names = strategy.removeprefix("all:").split("_") if strategy != "none" else []
        unknown = [name for name in names if name not in NAMES]
        if unknown:
            raise ExunoError(
                f"'{unknown[0]}' in '{strategy}' is no augmentation",
                f"Give names of {', '.join(NAMES)} joined by _, with all: in front to apply every one, or none.",
            )
        self.names = tuple(names)
        if self.every:
            self.names = tuple(op for name in names for op in (COLOR if name == "color" else (name,)))

    def draw(self, count: int, seed: int, stream: str, index: int) -> Draw:
        """The augmentations of ``count`` images: a pure function of the arguments, those of image i whatever the count.

        Args:
            count: images of the batch.
            seed: the user's seed.
            stream: what the batch is for; streams are independent of each other.
            index: number of the batch.
        """
        chosen = self.names
        if chosen and not self.every:
            which, shade = rng.uniforms(seed, f"{stream}/which", [index], 2)[0]
            name = chosen[int(which * len(chosen))]
            chosen = (COLOR[int(shade * len(COLOR))] if name == "color" else name,)
        return Draw(tuple(_numbers(name, count, seed, stream, index) for name in chosen))


def _numbers(name: str, count: int, seed: int, stream: str, index: int) -> tuple[str, Tensor]:
    slots = OPERATIONS[name][0]
    numbers = rng.uniforms(seed, f"{stream}/{name}", [index], count * slots)
    below_one = np.minimum(numbers, 1 - 2.0**-24)  # the largest float32: no number may round up to 1
    return name, torch.from_numpy(below_one.reshape(count, slots)).float()


def flip(x: Tensor, u: Tensor) -> Tensor:
    """Mirror left to right where u [B, 1] < 0.5."""
    return torch.where(u[:, :, None, None] < FLIP, x.flip(3), x)


def rotate(x: Tensor, u: Tensor) -> Tensor:
    """Turn by -15 to 15 degrees (u [B, 1] from 0 to 1) about the centre, bilinear, zero outside."""
    angle = torch.deg2rad((2 * u[:, 0] - 1) * ROTATE)
    aspect = x.shape[2] / x.shape[3]  # the grid's unit is half a side: off the diagonal, sides convert
    return _warp(x, torch.cos(angle), -torch.sin(angle) * aspect, torch.sin(angle) / aspect, torch.cos(angle))


def scale(x: Tensor, u: Tensor) -> Tensor:
    """Shrink (up to 1.2 times) or enlarge each axis about the centre, bilinear, zero outside; u [B, 2], width first."""
    factor = u * (SCALE - 1 / SCALE) + 1 / SCALE
    zero = torch.zeros_like(u[:, 0])
    return _warp(x, factor[:, 0], zero, zero, factor[:, 1])


def _warp(x: Tensor, xx: Tensor, xy: Tensor, yx: Tensor, yy: Tensor) -> Tensor:
    zero = torch.zeros_like(xx)
    theta = torch.stack([xx, xy, zero, yx, yy, zero], 1).view(-1, 2, 3)
    grid = affine_grid(theta, list(x.shape), align_corners=False)
    return grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def crop(x: Tensor, u: Tensor) -> Tensor:
    """Shift by whole pixels, up to an eighth of the side, zero outside; u [B, 2], vertical first."""
    batch, _, height, width = x.shape
    down, across = int(height * CROP + 0.5), int(width * CROP + 0.5)
    rows = (u[:, :1] * (2 * down + 1)).long() + torch.arange(height, device=x.device)
    columns = (u[:, 1:] * (2 * across + 1)).long() + torch.arange(width, device=x.device)
    first = torch.arange(batch, device=x.device)[:, None, None]
    padded = pad(x, (across, across, down, down)).permute(0, 2, 3, 1)
    return padded[first, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def brightness(x: Tensor, u: Tensor) -> Tensor:
    """Add -0.5 to 0.5; u [B, 1]."""
    return x + (u[:, :, None, None] - 0.5) * BRIGHTNESS


def saturation(x: Tensor, u: Tensor) -> Tensor:
    """Multiply the distance from the pixel's mean over the channels by 0 to 2; u [B, 1]."""
    mean = x.mean(1, keepdim=True)
    return (x - mean) * (u[:, :, None, None] * SATURATION) + mean


def contrast(x: Tensor, u: Tensor) -> Tensor:
    """Multiply the distance from the image's mean by 0.5 to 1.5; u [B, 1]."""
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * (u[:, :, None, None] + CONTRAST) + mean


def cutout(x: Tensor, u: Tensor) -> Tensor:
    """Zero a rectangle of half the sides whose centre lies anywhere in the image; u [B, 2], vertical first."""
    rows, columns = (_inside(side, u[:, i : i + 1]) for i, side in enumerate(x.shape[2:]))
    return x.masked_fill((rows[:, :, None] & columns[:, None])[:, None], 0)


def _inside(side: int, u: Tensor) -> Tensor:
    length = int(side * CUTOUT + 0.5)
    start = (u * (side + 1 - length % 2)).long() - length // 2
    place = torch.arange(side, device=u.device)
    return (place >= start) & (place < start + length)


OPERATIONS: dict[str, tuple[int, Callable[[Tensor, Tensor], Tensor]]] = {
    "flip": (1, flip),
    "rotate": (1, rotate),
    "scale": (2, scale),
    "crop": (2, crop),
    "brightness": (1, brightness),
    "saturation": (1, saturation),
    "contrast": (1, contrast),
    "cutout": (2, cutout),
}
