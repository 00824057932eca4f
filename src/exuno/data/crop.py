"""Random crops: the resized crop of ImageNet training (Szegedy et al., CVPR 2015), as torchvision defines it, and that
of a random short side (Simonyan and Zisserman, ICLR 2015)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.base import Images
from exuno.data.resize import resize, stack_of


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


def boxes_in(
    sizes: NDArray[np.int64], area: tuple[float, float], aspect: tuple[float, float], numbers: NDArray[np.float64]
) -> NDArray[np.int64]:
    """:func:`crop_boxes` in images of which only the sizes [B, 2], (height, width), are known."""
    heights, widths = sizes[:, :1], sizes[:, 1:]
    pick = numbers.reshape(len(sizes), -1, 4)
    target = heights * widths * (area[0] + (area[1] - area[0]) * pick[:, :, 0])
    ratio = np.exp(np.log(aspect[0]) + np.log(aspect[1] / aspect[0]) * pick[:, :, 1])
    w = np.rint(np.sqrt(target * ratio)).astype(np.int64)
    h = np.rint(np.sqrt(target / ratio)).astype(np.int64)
    fits = (w > 0) & (h > 0) & (w <= widths) & (h <= heights)
    first = fits.argmax(1)
    rows = np.arange(len(sizes))
    h, w, free = h[rows, first], w[rows, first], pick[rows, first]
    height, width = sizes.T
    top = (free[:, 2] * (height - h + 1)).astype(np.int64)
    left = (free[:, 3] * (width - w + 1)).astype(np.int64)
    boxes = np.stack([top, left, h, w], 1)
    for row in np.flatnonzero(~fits.any(1)):
        boxes[row] = _centre(int(height[row]), int(width[row]), aspect)
    return boxes


def boxes_of_short_side(
    sizes: NDArray[np.int64], short: tuple[int, int], size: tuple[int, int], numbers: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The part of each image that is cut out at random after its short side was resized.

    Args:
        sizes: (height, width) of the images, [B, 2].
        short: range of the short side in pixels, both ends included; enlarged as far as ``size`` needs it.
        size: (H, W) of what is cut out.
        numbers: uniform numbers [B, 3]: the short side, y and x.

    Returns:
        int64 [B, 4]: top, left, height, width, in the image as it was.
    """
    side = short[0] + (numbers[:, 0] * (short[1] - short[0] + 1)).astype(np.int64)
    scale = np.maximum(side / sizes.min(1), (np.array(size) / sizes).max(1))
    shape = np.clip(np.rint(np.array(size) / scale[:, None]).astype(np.int64), 1, sizes)
    corner = (numbers[:, 1:] * (sizes - shape + 1)).astype(np.int64)
    return np.concatenate([corner, shape], 1)


def _centre(height: int, width: int, aspect: tuple[float, float]) -> tuple[int, int, int, int]:
    h, w = height, width
    if width / height < aspect[0]:
        h = max(1, min(height, round(width / aspect[0])))
    elif width / height > aspect[1]:
        w = max(1, min(width, round(height * aspect[1])))
    return (height - h) // 2, (width - w) // 2, h, w


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
