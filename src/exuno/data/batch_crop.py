"""Cut a box out of each image of a batch and resize all of them at once, on any device, as two matrix products."""

import torch
from torch import Tensor

from exuno.data.rng_torch import float_of


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
