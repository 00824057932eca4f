"""Bringing images to one size without randomness: what test images get, and training images that are not cropped at
random."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from exuno.data.base import Images


def resize(images: Tensor, size: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """Resize [B, C, H, W], uint8 or float, with antialiasing; bicubic results are clipped to the range of
    the type, those of float images to [0, 1] or what the images themselves span beyond it."""
    if tuple(images.shape[-2:]) == size:
        return images
    out = interpolate(images, size, mode=mode, antialias=True, align_corners=False)
    if mode != "bicubic" or not out.is_floating_point():
        return out
    return out.clamp(min(0.0, images.min().item()), max(1.0, images.max().item()))


def prepare(images: Images, size: tuple[int, int], short: int | None = None, mode: str = "bilinear") -> Tensor:
    """Resize the short side, keep the aspect ratio, cut out the centre.

    Args:
        images: uint8 or float [B, C, H, W], or a list of uint8 [C, h, w] of varying size, or of stacks [T, C, h, w].
        size: (H, W) of the result.
        short: the short side before the centre crop (ImageNet: 256 for a result of 224); None: just enough to cover
            ``size``.

    Returns:
        [B, C, H, W] of the type of the images; of B stacks [B T, C, H, W].
    """
    if isinstance(images, Tensor):
        return _cover(images, size, short, mode)
    if not images:
        return torch.empty((0, 3, *size), dtype=torch.uint8)
    return torch.cat([_cover(stack_of(image), size, short, mode) for image in images])


def stack_of(image: Tensor) -> Tensor:
    """[C, h, w] as a stack of one image, [1, C, h, w]; stacks [T, C, h, w] pass."""
    return image[None] if image.ndim == 3 else image


def _cover(images: Tensor, size: tuple[int, int], short: int | None, mode: str) -> Tensor:
    height, width = images.shape[-2:]
    scaled, (top, left) = cover(height, width, size, short)
    images = resize(images, scaled, mode)
    return images[..., top : top + size[0], left : left + size[1]]


def cover(height: int, width: int, size: tuple[int, int], short: int | None) -> tuple[tuple[int, int], tuple[int, int]]:
    """What :func:`prepare` makes of an image of ``height`` x ``width``: the size it is resized to, and the corner (top,
    left) of what is cut out of that.

    Both to the pixel as torchvision's ``Resize(short)`` and ``CenterCrop(size)`` have it, with which published numbers
    are measured: the longer side is cut to a whole number, and half a pixel beside the crop is rounded to the even
    number. (pytorchvideo's ``ShortSideScale`` cuts as well.) A crop larger than the resized image, which torchvision
    surrounds with black, enlarges the image instead.
    """
    ratios = [(size[0], height), (size[1], width)]
    if short is not None:
        ratios.append((short, min(height, width)))
    new, old = max(ratios, key=lambda ratio: ratio[0] / ratio[1])
    scaled = (height * new // old, width * new // old)
    return scaled, (round((scaled[0] - size[0]) / 2), round((scaled[1] - size[1]) / 2))
