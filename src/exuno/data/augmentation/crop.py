"""Random crops, and crops of a whole batch on any device.

Random crops: the resized crop of ImageNet training (Szegedy et al., CVPR 2015), as torchvision defines it, and that
of a random short side (Simonyan and Zisserman, ICLR 2015).
"""

import math
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.base import Boxes, Images, Numbers
from exuno.data.images.resize import resize, stack_of
from exuno.data.rng_torch import float_of

Sizes = NDArray[np.int64] | tuple[int, int]


def crop_boxes(
    images: Images, area: tuple[float, float], aspect: tuple[float, float], numbers: NDArray[np.float64]
) -> NDArray[np.int64]:
    """A random box in each image: area fraction uniform in ``area``, aspect ratio (width / height) log-uniform in
    ``aspect``.

    A box that sticks out is drawn again; if no try fits, the largest centred box within the aspect range is taken.

    Args:
        images: B images.
        area: range of area fractions.
        aspect: range of aspect ratios.
        numbers: uniform numbers [B, 4 tries].

    Returns:
        int64 [B, 4]: top, left, height, width.
    """
    return boxes_in(sizes_of(images), area, aspect, numbers)


def sizes_of(images: Images) -> NDArray[np.int64]:
    """Height and width of each image, [B, 2]."""
    return np.array([image.shape[-2:] for image in images], np.int64).reshape(-1, 2)


@overload
def boxes_in(
    sizes: Sizes, area: tuple[float, float], aspect: tuple[float, float], numbers: NDArray[np.float64]
) -> Boxes: ...
@overload
def boxes_in(sizes: Sizes, area: tuple[float, float], aspect: tuple[float, float], numbers: Tensor) -> Tensor: ...
def boxes_in(sizes: Sizes, area: tuple[float, float], aspect: tuple[float, float], numbers: Numbers) -> Boxes | Tensor:
    """:func:`crop_boxes` in images of which only the sizes [B, 2], (height, width), are known, or the one of all."""
    if not isinstance(numbers, Tensor):
        return boxes_in(sizes, area, aspect, torch.from_numpy(numbers)).numpy()
    heights, widths = _sides(sizes, numbers)
    pick = numbers.unflatten(1, (-1, 4))
    target = (heights * widths)[:, None] * (area[0] + (area[1] - area[0]) * pick[:, :, 0])
    ratio = (math.log(aspect[0]) + math.log(aspect[1] / aspect[0]) * pick[:, :, 1]).exp()
    w = (target * ratio).sqrt().round().long()
    h = (target / ratio).sqrt().round().long()
    fits = (w > 0) & (h > 0) & (w <= widths[:, None]) & (h <= heights[:, None])
    first = fits.int().argmax(1, keepdim=True)
    top, left = (pick[:, :, k].gather(1, first)[:, 0] for k in (2, 3))
    h, w = h.gather(1, first)[:, 0], w.gather(1, first)[:, 0]
    found = torch.stack([(top * (heights - h + 1)).long(), (left * (widths - w + 1)).long(), h, w], 1)
    return torch.where(fits.any(1)[:, None], found, _centre(heights, widths, aspect))


def _sides(sizes: Sizes, like: Tensor) -> tuple[Tensor, Tensor]:
    """Heights and widths, int64 [B] each, or [1] where all images have one size."""
    if isinstance(sizes, tuple):
        height, width = (torch.full((1,), side, dtype=torch.int64, device=like.device) for side in sizes)
        return height, width
    height, width = torch.from_numpy(sizes).unbind(1)
    return height, width


@overload
def boxes_of_short_side(
    sizes: Sizes, short: tuple[int, int], size: tuple[int, int], numbers: NDArray[np.float64]
) -> Boxes: ...
@overload
def boxes_of_short_side(sizes: Sizes, short: tuple[int, int], size: tuple[int, int], numbers: Tensor) -> Tensor: ...
def boxes_of_short_side(
    sizes: Sizes, short: tuple[int, int], size: tuple[int, int], numbers: Numbers
) -> Boxes | Tensor:
    """The part of each image that is cut out at random after its short side was resized.

    Args:
        sizes: (height, width) of the images, [B, 2], or the one of all.
        short: range of the short side in pixels, both ends included; enlarged as far as ``size`` needs it.
        size: (H, W) of what is cut out.
        numbers: uniform numbers [B, 3]: the short side, y and x.

    Returns:
        int64 [B, 4]: top, left, height, width, in the image as it was.
    """
    if not isinstance(numbers, Tensor):
        return boxes_of_short_side(sizes, short, size, torch.from_numpy(numbers)).numpy()
    sides = [each.to(numbers.dtype) for each in _sides(sizes, numbers)]
    side = short[0] + (numbers[:, 0] * (short[1] - short[0] + 1)).long()
    scale = side / torch.minimum(*sides)
    for wanted, have in zip(size, sides, strict=True):
        scale = scale.maximum(wanted / have)
    shape = [(want / scale).round().clamp(min=1).minimum(have) for want, have in zip(size, sides, strict=True)]
    corner = [numbers[:, k + 1] * (sides[k] - shape[k] + 1) for k in (0, 1)]
    return torch.stack([*corner, *shape], 1).long()


def _centre(height: Tensor, width: Tensor, aspect: tuple[float, float]) -> Tensor:
    """The largest centred boxes within the range of aspect ratios, int64 [B, 4]."""
    ratio = width / height
    flat = (width / aspect[0]).round().long().clamp(min=1).minimum(height)
    tall = (height * aspect[1]).round().long().clamp(min=1).minimum(width)
    h = torch.where(ratio < aspect[0], flat, height)
    w = torch.where(ratio > aspect[1], tall, width)
    return torch.stack([(height - h) // 2, (width - w) // 2, h, w], 1)


def resized_crop(images: Images, boxes: NDArray[np.int64], size: tuple[int, int]) -> Tensor:
    """Cut ``boxes`` [B, 4] out and resize them, bicubic with antialiasing: uint8 [B, C, H, W]; of stacks of T images
    [T, C, h, w], [B T, C, H, W]."""
    out = []
    for image, (top, left, h, w) in zip(images, boxes.tolist(), strict=True):
        part = stack_of(image)[..., top : top + h, left : left + w]
        # A file's pixels lie channel by channel within each pixel; torch has a fast way for just that.
        inner = torch.channels_last if part.stride(1) == 1 else torch.contiguous_format
        out.append(resize(part.contiguous(memory_format=inner), size, "bicubic"))
    return torch.cat(out).contiguous()


def crop_batch(images: Tensor, boxes: Tensor, size: tuple[int, int], flip: Tensor | None = None) -> Tensor:
    """Boxes cut out and resized, bicubic with antialiasing: what ``data.crop.resized_crop`` does one by one.

    Args:
        images: float [B, C, H, W] in [0, 1].
        boxes: int64 [B, 4]: top, left, height, width.
        size: (h, w) of the result.
        flip: bool [B], which to mirror left to right.

    Returns:
        float [B, C, h, w], clamped to [0, 1].
    """
    top, left, height, width = boxes.to(images.device).unbind(1)
    down = resampling(top, height, images.shape[2], size[0])
    across = resampling(left, width, images.shape[3], size[1])
    if flip is not None:
        across = torch.where(flip.to(images.device).view(-1, 1, 1), across.flip(1), across)
    return (down[:, None] @ images @ across.mT[:, None]).clamp_(0, 1)


def resampling(start: Tensor, length: Tensor, before: int, after: int) -> Tensor:
    """Matrices that resample a stretch of a line of pixels (Keys, 1981, a = -1/2, widened where it shrinks).

    Args:
        start: first pixel of the stretch, int64 [B].
        length: its pixels, int64 [B].
        before: pixels of the whole line.
        after: pixels of the result.

    Returns:
        float32 [B, after, before]; rows sum to 1, and pixels outside the stretch have no weight.
    """
    device = start.device
    scale = (length.to(float_of(device)) / after).view(-1, 1, 1)
    centre = start.view(-1, 1, 1) + (torch.arange(after, device=device).view(1, -1, 1) + 0.5) * scale
    pixel = torch.arange(before, device=device).view(1, 1, -1)
    x = ((pixel + 0.5 - centre) / scale.clamp(min=1)).abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    weight = torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
    inside = (pixel >= start.view(-1, 1, 1)) & (pixel < (start + length).view(-1, 1, 1))
    weight = weight * inside
    return (weight / weight.sum(-1, keepdim=True)).float()


def blur_batch(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur, each image with its own standard deviation; the kernel is renormalised at the border.

    Args:
        images: float [B, C, H, W].
        sigma: pixels, [B]; 0 leaves an image as it is.
    """
    down, across = (_gaussian(sigma.to(images), side) for side in images.shape[2:])
    return down[:, None] @ images @ across.mT[:, None]


def _gaussian(sigma: Tensor, side: int) -> Tensor:
    pixel = torch.arange(side, device=sigma.device)
    squares = (pixel[:, None] - pixel).square()
    weight = torch.exp(-squares / (2 * sigma.clamp(min=1e-3).square()).view(-1, 1, 1))
    return weight / weight.sum(-1, keepdim=True)
