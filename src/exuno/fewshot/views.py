"""Views of a batch on the device: multi-crop, and which patches are hidden from the student.

Multi-crop in batches, on the device of the training (Caron et al., NeurIPS 2020; augmentation of DINO and iBOT).

A view is a random resized crop and a flip, then colour jitter, gray, blur and, in the second global view,
solarisation. Each is a pure function of (image, seed, draw number, number of the view). All views of one size are made
together, and nothing about them is read back.

Masks are made on the device of the training, without asking it anything.
"""

import math
from typing import Any

import torch
from torch import Tensor

from exuno.data import rng
from exuno.data.augmentation.colour import jitter, solarize, to_gray
from exuno.data.augmentation.crop import blur_batch, boxes_in, resampling
from exuno.engine.devices import reads_are_free
from exuno.fewshot.options import Mask, Views


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


MASK_TRIES = 10
STEPS = 80  # rectangles that are tried for one mask; one in ten million is not done by then, and stays a little smaller
PICK, SHARE, PATCHES = 0, 1, 10


def make_masks(draws: Tensor, options: Mask, grid: tuple[int, int], seed: int, views: int = 2) -> Tensor:
    """Masks of the global views, bool [views, B, rows * columns].

    Each view draws one of the ratios, and around it a share of its patches (Zhou et al., ICLR 2022, section 4.1).

    Args:
        draws: number of each draw, int64 [B].
        options: what to do.
        grid: patches (down, across).
        seed: the run's seed.
        views: number of views.
    """
    patches, streams = grid[0] * grid[1], [f"mask/{view}" for view in range(views)]

    def drawn(slots: int, first: int = 0) -> Tensor:
        return torch.cat([rng.uniforms(seed, stream, draws, slots, first) for stream in streams])

    numbers = drawn(2)
    pick = (numbers[:, PICK] * len(options.ratio)).long()
    ratio, spread = (chosen(values, pick, numbers.dtype) for values in (options.ratio, options.spread))
    wanted = (ratio + spread * (2 * numbers[:, SHARE] - 1)) * patches
    if options.shape == "random":
        order = drawn(patches, PATCHES).argsort(1).argsort(1)
        return (order < wanted.long()[:, None]).view(views, len(draws), patches)
    rectangles = drawn(4 * STEPS, PATCHES).view(-1, STEPS, 4)
    return blocks(wanted, grid, options.aspect, rectangles).view(views, len(draws), patches)


def chosen(values: tuple[float, ...], pick: Tensor, dtype: torch.dtype) -> Tensor:
    """The value of each number in ``pick``, from a few that the host knows."""
    found = torch.full(pick.shape, values[0], dtype=dtype, device=pick.device)
    for number, value in enumerate(values[1:], 1):
        found = torch.where(pick == number, value, found)
    return found


def most_masked(options: Mask, patches: int) -> int:
    """How many of the patches of a view are hidden at most."""
    share = max(ratio + spread for ratio, spread in zip(options.ratio, options.spread, strict=False))
    return min(patches, max(0, math.floor(share * patches) + 1))  # 1: products are rounded


def blocks(wanted: Tensor, grid: tuple[int, int], aspect: float, numbers: Tensor) -> Tensor:
    """Block-wise masking (Bao et al., BEiT, ICLR 2022, algorithm 1): rectangles until ``wanted`` patches are hidden.

    A rectangle that would hide too many or no further patches is drawn again; after 10 in a row the mask stays as it
    is.

    Args:
        wanted: patches to hide in each mask, at most, floating [B].
        grid: patches (down, across).
        aspect: aspect ratios are log-uniform in [aspect, 1 / aspect].
        numbers: uniform numbers [B, steps, 4]: area, aspect ratio, top, left.

    Returns:
        bool [B, down, across].
    """
    (rows, columns), device = grid, wanted.device
    hidden = torch.zeros(len(wanted), rows, columns, dtype=torch.bool, device=device)
    count, failures = (torch.zeros(len(wanted), dtype=torch.int64, device=device) for _ in range(2))
    least = (min(grid) // 3) ** 2
    y, x = torch.arange(rows, device=device)[:, None], torch.arange(columns, device=device)
    ratios = torch.exp(math.log(aspect) * (1 - 2 * numbers[:, :, 1]))
    for step in range(numbers.shape[1]):
        most = wanted - count
        active = (most > 0) & (failures < MASK_TRIES)
        if reads_are_free(device) and not active.any():
            break
        area, ratio = least + (most - least) * numbers[:, step, 0], ratios[:, step]
        h = (area * ratio).clamp(min=0).sqrt().round().long()
        w = (area / ratio).clamp(min=0).sqrt().round().long()
        top = (numbers[:, step, 2] * (rows - h + 1)).long()
        left = (numbers[:, step, 3] * (columns - w + 1)).long()
        down = (y >= top[:, None, None]) & (y < (top + h)[:, None, None])
        inside = down & (x >= left[:, None, None]) & (x < (left + w)[:, None, None])
        further = (inside & ~hidden).sum((1, 2))
        good = active & (h < rows) & (w < columns) & (further > 0) & (further <= most)
        hidden |= inside & good[:, None, None]
        count += further * good
        failures = torch.where(good, 0, failures + active)
    return hidden
