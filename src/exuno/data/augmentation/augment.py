"""Augmentation of training images: batched, and every draw a pure function of (seed, draw number).

Draw numbers in an array are for the CPU. In an int64 tensor they are for its device: then every random number
is a tensor there, no value is read from it, and images are not told apart by their draws but all treated alike.

The order is: AugMix - resized crop (or random short side and crop, or plain resize) - rotation, shift, zoom - pad and
crop - flip - colour jitter - gray - solarisation - cutout.

Moves of whole batches of images: mirrored, shifted, warped, with a hole. Numbers are in arrays (on the CPU) or in
tensors (on the device of the images), of which no value is read.
"""

import math
from collections.abc import Sequence
from typing import overload

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

from exuno.data import rng
from exuno.data.base import Boxes, Draws, Images, Numbers
from exuno.data.images.resize import prepare
from exuno.engine.options import Augment


@overload
def whole(numbers: Tensor) -> Tensor: ...
@overload
def whole(numbers: NDArray[np.float64]) -> Boxes: ...
@overload
def whole(numbers: Numbers) -> Boxes | Tensor: ...
def whole(numbers: Numbers) -> Boxes | Tensor:
    """Numbers cut to whole ones, int64."""
    return numbers.long() if isinstance(numbers, Tensor) else numbers.astype(np.int64)


def to_float(images: Tensor) -> Tensor:
    """uint8 [0, 255] -> float32 [0, 1]; floats pass."""
    if images.is_floating_point():
        return images
    if images.device.type == "cpu" and type(images) is Tensor:  # a fake tensor has no array
        # The same quotients in one pass, without torch's threads, which a busy machine makes wait for each other.
        return torch.from_numpy(np.divide(images.numpy(), np.float32(255), dtype=np.float32))
    return images.float().div_(255)


# The next two move whole pixels about. On a CPU, NumPy does that in a third of torch's time, and without its threads;
# tests hold the two ways together.


def flip(images: Tensor, which: NDArray[np.bool_] | Tensor) -> Tensor:
    """Mirror the images where ``which`` [B] is true, left to right; a new tensor."""
    if images.device.type != "cpu" or isinstance(which, Tensor):
        chosen = torch.as_tensor(which, device=images.device).view(-1, 1, 1, 1)
        return torch.where(chosen, images.flip(3), images)
    out = images.numpy().copy()
    out[which] = out[which][..., ::-1]
    return torch.from_numpy(out)


def pad_crop(images: Tensor, border: int, offsets: Boxes | Tensor) -> Tensor:
    """Pad [B, C, H, W] with ``border`` black pixels and crop it back to H x W, without interpolation.

    Args:
        images: any dtype and device.
        border: pixels on each side.
        offsets: int64 [B, 2], (y, x) of the crop, each in 0 .. 2 border; (border, border) changes nothing.
    """
    batch, _, height, width = images.shape
    if images.device.type != "cpu" or isinstance(offsets, Tensor):
        return _windows(pad(images, (border,) * 4), offsets, height, width)
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (border, border), (border, border)))
    windows = sliding_window_view(padded, (height, width), axis=(2, 3))
    return torch.from_numpy(windows[np.arange(batch), :, offsets[:, 0], offsets[:, 1]])


def _windows(images: Tensor, offsets: Boxes | Tensor, height: int, width: int) -> Tensor:
    """From each image [B, C, h, w] the window of height x width whose corner (y, x) is ``offsets`` [B, 2]."""
    first = torch.as_tensor(offsets, device=images.device)
    rows = first[:, :1] + torch.arange(height, device=images.device)
    columns = first[:, 1:] + torch.arange(width, device=images.device)
    index = (rows[:, :, None] * images.shape[3] + columns[:, None, :]).flatten(1)[:, None]
    batch, channels = images.shape[:2]
    return images.flatten(2).gather(2, index.expand(-1, channels, -1)).view(batch, channels, height, width)


def affine(images: Tensor, angle: Numbers, shift: Numbers, zoom: Numbers) -> Tensor:
    """Rotate, scale and shift in one bilinear warp, black outside.

    Args:
        images: [B, C, H, W], uint8 or float in [0, 1].
        angle: radians, counter-clockwise, [B].
        shift: (y, x) as a fraction of the sides, [B, 2]; positive moves down and right.
        zoom: scale, [B]; above 1 enlarges.

    Returns:
        float32 [B, C, H, W] in [0, 1].
    """
    batch = to_float(images)
    height, width = batch.shape[2:]
    turn, move, scale = (torch.as_tensor(numbers) for numbers in (angle, shift, zoom))
    cos, sin = turn.cos() / scale, turn.sin() / scale
    # affine_grid maps output to input coordinates in [-1, 1] on both axes: hence the inverse, and the aspect ratio.
    down, right = (2 * move).unbind(1)  # in units of the half side
    along, across = -sin * height / width, sin * width / height
    first = torch.stack([cos, along, -(cos * right + along * down)], 1)
    second = torch.stack([across, cos, -(across * right + cos * down)], 1)
    theta = torch.stack([first, second], 1)
    grid = affine_grid(theta.to(batch), list(batch.shape), align_corners=False)
    return grid_sample(batch, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def cutout(images: Tensor, side: int, centre: Numbers, fill: Sequence[float] | Tensor | None) -> Tensor:
    """Set a square to one colour (DeVries and Taylor, 2017). Its centre is uniform over the pixels; the border clips
    it.

    Args:
        images: float [B, C, H, W].
        side: pixels.
        centre: uniform numbers (y, x) in [0, 1), [B, 2].
        fill: one number a channel, or float32 [C] on the device; None is middle gray.
    """
    height, width = images.shape[2:]
    device = images.device
    place = torch.as_tensor(centre)
    first = torch.stack([place[:, 0] * height, place[:, 1] * width], 1).long().to(device) - side // 2
    y, x = torch.arange(height, device=device), torch.arange(width, device=device)
    rows = (y >= first[:, :1]) & (y < first[:, :1] + side)
    columns = (x >= first[:, 1:]) & (x < first[:, 1:] + side)
    hole = (rows[:, :, None] & columns[:, None, :])[:, None]
    if fill is None:
        return images.masked_fill(hole, 0.5)
    colour = torch.as_tensor(fill, dtype=images.dtype, device=device).view(1, -1, 1, 1)
    return torch.where(hole, colour, images)


Fill = Sequence[float] | Tensor | None

STREAM = "augment"
CACHED = 1 << 19  # values
# The first random number of each operation; fixed, so that switching one on changes no draw of another.
FLIP, PAD, CUTOUT, ROTATE, SHIFT, ZOOM, JITTER, GRAY, SOLARIZE = 0, 1, 3, 5, 6, 8, 9, 15, 16
CROP, SHORT, RUN = 20, 60, 63


def augment(
    images: Images,
    options: Augment,
    seed: int,
    draws: Draws,
    size: tuple[int, int],
    fill: Fill = None,
) -> Tensor:
    """Augment a batch.

    Args:
        images: uint8 [B, C, H, W], or a list of B uint8 [C, h, w] of varying size.
        options: what to do.
        seed: the run's seed.
        draws: the number of each draw, int64 [B]; during training epoch * len(data) + position. In a tensor, images
            are one, on its device.
        size: (H, W) of the result. Without ``resized_crop`` and ``short_side``, images of another size are resized to
            cover it and centre-cropped.
        fill: colour of the cutout in [0, 1], one number a channel (float32 [C] on the device of tensors): the mean
            colour of the data set; by default middle gray.

    Returns:
        float32 [B, C, H, W] in [0, 1].
    """
    if options.augmix:
        assert not isinstance(draws, Tensor)  # AugMix is for workers: see data.choose
        from exuno.data.augmentation.augmix import augmix

        images = augmix(images, options.augmix, seed, draws, options.augmix_formula)
    return finish(frame(images, options, seed, draws, size), options, seed, draws, fill)


def frame(images: Images, options: Augment, seed: int, draws: Draws, size: tuple[int, int]) -> Tensor:
    """The first step of :func:`augment`: the part of each image that training sees, resized; uint8 [B, C, H, W], of
    draws in a tensor float32 where it is resized."""
    if isinstance(draws, Tensor):
        assert isinstance(images, Tensor)
        return _frame_batch(images, options, seed, draws, size)
    if options.resized_crop is None and options.short_side is None:
        return prepare(images, size)
    from exuno.data.augmentation.crop import resized_crop, sizes_of

    return resized_crop(images, boxes(sizes_of(images), options, seed, draws, size), size)


def _frame_batch(images: Tensor, options: Augment, seed: int, draws: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = images.shape[-2:]
    if options.resized_crop is None and options.short_side is None:
        return images if (height, width) == size else prepare(to_float(images), size)
    from exuno.data.augmentation.crop import crop_batch

    return crop_batch(to_float(images), boxes((height, width), options, seed, draws, size), size)


@overload
def boxes(sizes: tuple[int, int], options: Augment, seed: int, draws: Tensor, size: tuple[int, int]) -> Tensor: ...
@overload
def boxes(sizes: Boxes, options: Augment, seed: int, draws: Boxes, size: tuple[int, int]) -> Boxes: ...
def boxes(
    sizes: Boxes | tuple[int, int], options: Augment, seed: int, draws: Draws, size: tuple[int, int]
) -> Boxes | Tensor:
    """The boxes (top, left, height, width), [B, 4], in images of ``sizes`` (H, W), [B, 2], that ``resized_crop`` or
    ``short_side`` make the whole picture of ``size``; of draws in a tensor, in images of one size."""
    from exuno.data.augmentation.crop import boxes_in, boxes_of_short_side

    if options.short_side is not None:
        return boxes_of_short_side(sizes, options.short_side, size, rng.uniforms(seed, STREAM, draws, 3, SHORT))
    assert options.resized_crop is not None
    numbers = rng.uniforms(seed, STREAM, draws, 4 * 10, CROP)
    return boxes_in(sizes, options.resized_crop, options.aspect, numbers)


def finish(batch: Tensor, options: Augment, seed: int, draws: Draws, fill: Fill = None) -> Tensor:
    """The steps of :func:`augment` after the first, on the device of ``batch``, uint8 [B, C, H, W].

    On a CPU a few images at a time go through all steps, so that they stay in its cache.
    """
    count = len(batch) if batch.device.type != "cpu" else max(1, CACHED // max(1, batch[0:1].numel()))
    if count >= len(batch):
        return _finish(batch, options, seed, draws, fill)
    steps = range(0, len(batch), count)
    return torch.cat([_finish(batch[k : k + count], options, seed, draws[k : k + count], fill) for k in steps])


def _finish(batch: Tensor, options: Augment, seed: int, draws: Draws, fill: Fill) -> Tensor:
    def uniform(slot: int, slots: int = 1) -> Numbers:
        return rng.uniforms(seed, STREAM, draws, slots, slot)

    if options.rotate or options.shift or options.zoom:
        batch = affine(
            batch,
            math.radians(options.rotate) * (2 * uniform(ROTATE)[:, 0] - 1),
            options.shift * (2 * uniform(SHIFT, 2) - 1),
            1 + options.zoom * (2 * uniform(ZOOM)[:, 0] - 1),
        )
    if options.pad:
        offsets = whole(uniform(PAD, 2) * (2 * options.pad + 1))
        batch = pad_crop(batch, options.pad, offsets)
    if options.flip:
        batch = flip(batch, uniform(FLIP)[:, 0] < options.flip)
    batch = to_float(batch)
    if any(options.jitter) or options.gray or options.solarize:
        from exuno.data.augmentation.colour import jitter, solarize, to_gray

        if any(options.jitter):
            numbers = uniform(JITTER, 6)
            batch = jitter(batch, options.jitter, numbers[:, 1:], numbers[:, 0] < options.jitter_p)
        if options.gray:
            batch = to_gray(batch, uniform(GRAY)[:, 0] < options.gray)
        if options.solarize:
            batch = solarize(batch, uniform(SOLARIZE)[:, 0] < options.solarize)
    if options.cutout:
        batch = cutout(batch, options.cutout, uniform(CUTOUT, 2), fill)
    return batch
