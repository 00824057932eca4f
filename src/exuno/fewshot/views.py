"""Multi-crop in batches, on the device of the training (Caron et al., NeurIPS 2020; augmentation of DINO and iBOT).

A view is a random resized crop and a flip, then colour jitter, gray, blur and, in the second global view,
solarisation. Each is a pure function of (image, seed, draw number, number of the view). All views of one size are made
together, and nothing about them is read back.
"""

import torch
from torch import Tensor

from exuno.data import colour
from exuno.data.batch_crop import blur_batch
from exuno.engine.devices import reads_are_free
from exuno.fewshot import colours
from exuno.fewshot.crops import crop_views, random_boxes
from exuno.fewshot.draws import uniforms
from exuno.fewshot.options import Views

# The first random number of each operation; fixed, so that switching one on changes no draw of another.
FLIP, JITTER, GRAY, BLUR, SOLARIZE, CROP = 0, 1, 7, 8, 10, 20
TRIES = 10
GLOBAL = 2


def make_views(images: Tensor, draws: Tensor, options: Views, size: int, seed: int) -> tuple[Tensor, Tensor | None]:
    """The views of a batch.

    Args:
        images: uint8 or float in [0, 1], [B, C, H, W], on any device.
        draws: number of each draw, int64 [B]: epoch * len(data) + position.
        options: what to do.
        size: side of a global view in pixels.
        seed: the run's seed.

    Returns:
        Global views [2, B, C, size, size] and local ones [L, B, C, local_size, local_size] (None if L is 0), float32 in
        [0, 1].
    """
    local = range(GLOBAL, GLOBAL + options.local)
    with torch.autocast(images.device.type, enabled=False):  # or the matrix products would round pixels
        pixels = images.float() / 255 if images.dtype == torch.uint8 else images
        wide = _views(pixels, draws, options, range(GLOBAL), size, options.scale, seed)
        if not local:
            return wide, None
        return wide, _views(pixels, draws, options, local, options.local_size, options.local_scale, seed)


def _views(
    pixels: Tensor, draws: Tensor, options: Views, numbers: range, side: int, area: tuple[float, float], seed: int
) -> Tensor:
    """The views of one size, [V, B, C, side, side], by their numbers."""
    drawn = torch.stack([uniforms(seed, f"view/{number}", draws, CROP + 4 * TRIES) for number in numbers])
    height, width = pixels.shape[2:]
    boxes = random_boxes((height, width), area, options.aspect, drawn[..., CROP:])
    flip = drawn[..., FLIP] < options.flip if options.flip else None
    views = crop_views(pixels, boxes, (side, side), flip).flatten(0, 1)
    if any(options.jitter):
        views = _jitter(views, options, drawn[..., JITTER : JITTER + 6].flatten(0, 1))
    if options.gray:
        views = _some(views, "to_gray", (drawn[..., GRAY] < options.gray).flatten())
    blur = [options.blur[min(number, GLOBAL)] for number in numbers]
    if any(blur):
        low, high = options.sigma
        happens = torch.stack([drawn[view, :, BLUR] < share for view, share in enumerate(blur)])
        sigma = torch.where(happens, low + (high - low) * drawn[..., BLUR + 1], 0)
        views = blur_batch(views, sigma.flatten())
    views = views.view(len(numbers), len(draws), *views.shape[1:])
    if options.solarize and 1 in numbers:
        second = _some(views[1], "solarize", drawn[1, :, SOLARIZE] < options.solarize)
        views = torch.stack([views[0], second])
    return views


def _jitter(images: Tensor, options: Views, drawn: Tensor) -> Tensor:
    which = drawn[:, 0] < options.jitter_p
    if reads_are_free(images.device):
        return colour.jitter(images, options.jitter, drawn[:, 1:].numpy(), which.numpy())
    return colours.jitter(images, options.jitter, drawn[:, 1:], which)


def _some(images: Tensor, name: str, which: Tensor) -> Tensor:
    """``to_gray`` or ``solarize`` of the images in ``which``."""
    if reads_are_free(images.device):
        return getattr(colour, name)(images, which.numpy())
    return getattr(colours, name)(images, which)
