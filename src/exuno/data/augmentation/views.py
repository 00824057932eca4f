"""Multi-crop in batches, on the device of the training (Caron et al., NeurIPS 2020; as SimCLR, DINO and iBOT).

A view is a random resized crop and a flip, then colour jitter, gray, blur and, in the second global view,
solarisation. Each is a pure function of (image, seed, draw number, number of the view). All views of one size are made
together, and nothing about them is read back.
"""

from typing import Any

import torch
from torch import Tensor

from exuno.data import rng
from exuno.data.augmentation.colour import jitter, solarize, to_gray
from exuno.data.augmentation.crop import blur_batch, boxes_in, resampling
from exuno.engine.devices import reads_are_free
from exuno.engine.options import Views


def crop_views(images: Tensor, boxes: Tensor, size: tuple[int, int], flip: Tensor | None = None) -> Tensor:
    """V boxes of each image cut out and resized: :func:`exuno.data.augmentation.crop.crop_batch` for all of them at
    once.

    Args:
        images: float [B, C, H, W] in [0, 1].
        boxes: int64 [V, B, 4]: top, left, height, width.
        size: (h, w) of the results.
        flip: bool [V, B], which to mirror left to right.

    Returns:
        float [V, B, C, h, w], clamped to [0, 1].
    """
    (views, batch), (channels, before, across) = boxes.shape[:2], images.shape[1:]
    top, left, height, width = boxes.flatten(0, 1).unbind(1)
    rows = resampling(top, height, before, size[0]).view(views, batch, size[0], before)
    columns = resampling(left, width, across, size[1]).view(views, batch, size[1], across)
    if flip is not None:
        columns = torch.where(flip[..., None, None], columns.flip(2), columns)
    # The rows of all views of an image are one matrix, so that no image is copied.
    lines = rows.transpose(0, 1).reshape(batch, 1, views * size[0], before) @ images
    lines = lines.view(batch, channels, views, size[0], across).permute(2, 0, 1, 3, 4)
    return (lines @ columns.mT[:, :, None]).clamp_(0, 1)


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
    slots = CROP + 4 * TRIES
    drawn = torch.stack([rng.uniforms(seed, f"view/{number}", draws, slots) for number in numbers])
    shape = (len(numbers), len(draws))
    boxes = boxes_in((pixels.shape[2], pixels.shape[3]), area, options.aspect, drawn[..., CROP:].flatten(0, 1))
    flip = drawn[..., FLIP] < options.flip if options.flip else None
    views = crop_views(pixels, boxes.view(*shape, 4), (side, side), flip).flatten(0, 1)
    if any(options.jitter):
        strengths = drawn[..., JITTER : JITTER + 6].flatten(0, 1)
        which = strengths[:, 0] < options.jitter_p
        views = jitter(views, options.jitter, host_or_device(strengths[:, 1:]), host_or_device(which))
    if options.gray:
        views = to_gray(views, host_or_device((drawn[..., GRAY] < options.gray).flatten()))
    blur = [options.blur[min(number, GLOBAL)] for number in numbers]
    if any(blur):
        low, high = options.sigma
        happens = torch.stack([drawn[view, :, BLUR] < share for view, share in enumerate(blur)])
        sigma = torch.where(happens, low + (high - low) * drawn[..., BLUR + 1], 0)
        views = blur_batch(views, sigma.flatten())
    views = views.view(*shape, *views.shape[1:])
    if options.solarize and 1 in numbers:
        second = solarize(views[1], host_or_device(drawn[1, :, SOLARIZE] < options.solarize))
        views = torch.stack([views[0], second])
    return views


def host_or_device(x: Tensor) -> Any:
    """Numbers as the colours take them: on a processor as an array, so that they only change the images that change."""
    return x.numpy() if reads_are_free(x.device) else x
