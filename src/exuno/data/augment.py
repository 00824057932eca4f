"""Augmentation of training images: batched, and every draw a pure function of (seed, draw number).

The order is: AugMix - resized crop (or random short side and crop, or plain resize) - rotation, shift, zoom - pad and
crop - flip - colour jitter - gray - solarisation - cutout.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

from exuno.data import rng
from exuno.data.base import Images
from exuno.data.resize import prepare
from exuno.engine.options import Augment

STREAM = "augment"
CACHED = 1 << 19  # values
# The first random number of each operation; fixed, so that switching one on changes no draw of another.
FLIP, PAD, CUTOUT, ROTATE, SHIFT, ZOOM, JITTER, GRAY, SOLARIZE = 0, 1, 3, 5, 6, 8, 9, 15, 16
CROP, SHORT, RUN = 20, 60, 63


def augment(
    images: Images,
    options: Augment,
    seed: int,
    draws: NDArray[np.int64],
    size: tuple[int, int],
    fill: Sequence[float] | None = None,
) -> Tensor:
    """Augment a batch.

    Args:
        images: uint8 [B, C, H, W], or a list of B uint8 [C, h, w] of varying size.
        options: what to do.
        seed: the run's seed.
        draws: the number of each draw, int64 [B]; during training epoch * len(data) + position.
        size: (H, W) of the result. Without ``resized_crop`` and ``short_side``, images of another size are resized to
            cover it and centre-cropped.
        fill: colour of the cutout in [0, 1], one number a channel: the mean colour of the data set; by default middle
            gray.

    Returns:
        float32 [B, C, H, W] in [0, 1].
    """
    if options.augmix:
        from exuno.data.augmix import augmix

        images = augmix(images, options.augmix, seed, draws, options.augmix_formula)
    return finish(frame(images, options, seed, draws, size), options, seed, draws, fill)


def frame(images: Images, options: Augment, seed: int, draws: NDArray[np.int64], size: tuple[int, int]) -> Tensor:
    """The first step of :func:`augment`: the part of each image that training sees, resized; uint8 [B, C, H, W]."""
    if options.resized_crop is None and options.short_side is None:
        return prepare(images, size)
    from exuno.data.crop import resized_crop, sizes_of

    return resized_crop(images, boxes(sizes_of(images), options, seed, draws, size), size)


def boxes(
    sizes: NDArray[np.int64], options: Augment, seed: int, draws: NDArray[np.int64], size: tuple[int, int]
) -> NDArray[np.int64]:
    """The boxes (top, left, height, width), [B, 4], in images of ``sizes`` (H, W), [B, 2], that ``resized_crop`` or
    ``short_side`` make the whole picture of ``size``."""
    from exuno.data.crop import boxes_in, boxes_of_short_side

    if options.short_side is not None:
        return boxes_of_short_side(sizes, options.short_side, size, rng.uniforms(seed, STREAM, draws, 3, SHORT))
    assert options.resized_crop is not None
    numbers = rng.uniforms(seed, STREAM, draws, 4 * 10, CROP)
    return boxes_in(sizes, options.resized_crop, options.aspect, numbers)


def finish(
    batch: Tensor, options: Augment, seed: int, draws: NDArray[np.int64], fill: Sequence[float] | None = None
) -> Tensor:
    """The steps of :func:`augment` after the first, on the device of ``batch``, uint8 [B, C, H, W].

    On a CPU a few images at a time go through all steps, so that they stay in its cache.
    """
    count = len(batch) if batch.device.type != "cpu" else max(1, CACHED // max(1, batch[0:1].numel()))
    if count >= len(batch):
        return _finish(batch, options, seed, draws, fill)
    steps = range(0, len(batch), count)
    return torch.cat([_finish(batch[k : k + count], options, seed, draws[k : k + count], fill) for k in steps])


def _finish(
    batch: Tensor, options: Augment, seed: int, draws: NDArray[np.int64], fill: Sequence[float] | None
) -> Tensor:
    def uniform(slot: int, slots: int = 1) -> NDArray[np.float64]:
        return rng.uniforms(seed, STREAM, draws, slots, slot)

    if options.rotate or options.shift or options.zoom:
        batch = affine(
            batch,
            np.deg2rad(options.rotate) * (2 * uniform(ROTATE)[:, 0] - 1),
            options.shift * (2 * uniform(SHIFT, 2) - 1),
            1 + options.zoom * (2 * uniform(ZOOM)[:, 0] - 1),
        )
    if options.pad:
        offsets = (uniform(PAD, 2) * (2 * options.pad + 1)).astype(np.int64)
        batch = pad_crop(batch, options.pad, offsets)
    if options.flip:
        batch = flip(batch, uniform(FLIP)[:, 0] < options.flip)
    batch = to_float(batch)
    if any(options.jitter) or options.gray or options.solarize:
        from exuno.data.colour import jitter, solarize, to_gray

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


def to_float(images: Tensor) -> Tensor:
    """uint8 [0, 255] -> float32 [0, 1]; floats pass."""
    return images if images.is_floating_point() else images.float().div_(255)


# The next two move whole pixels about. On a CPU, NumPy does that in a third of torch's time, and without its threads.


def flip(images: Tensor, which: NDArray[np.bool_]) -> Tensor:
    """Mirror the images where ``which`` [B] is true, left to right; a new tensor."""
    if images.device.type != "cpu":
        return torch.where(torch.from_numpy(which).to(images.device).view(-1, 1, 1, 1), images.flip(3), images)
    out = images.numpy().copy()
    out[which] = out[which][..., ::-1]
    return torch.from_numpy(out)


def pad_crop(images: Tensor, border: int, offsets: NDArray[np.int64]) -> Tensor:
    """Pad [B, C, H, W] with ``border`` black pixels and crop it back to H x W, without interpolation.

    Args:
        images: any dtype and device.
        border: pixels on each side.
        offsets: int64 [B, 2], (y, x) of the crop, each in 0 .. 2 border; (border, border) changes nothing.
    """
    batch, _, height, width = images.shape
    if images.device.type != "cpu":
        return _windows(pad(images, (border,) * 4), offsets, height, width)
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (border, border), (border, border)))
    windows = sliding_window_view(padded, (height, width), axis=(2, 3))
    return torch.from_numpy(windows[np.arange(batch), :, offsets[:, 0], offsets[:, 1]])


def _windows(images: Tensor, offsets: NDArray[np.int64], height: int, width: int) -> Tensor:
    """From each image [B, C, h, w] the window of height x width whose corner (y, x) is ``offsets`` [B, 2]."""
    first = torch.from_numpy(offsets).to(images.device)
    rows = first[:, :1] + torch.arange(height, device=images.device)
    columns = first[:, 1:] + torch.arange(width, device=images.device)
    rows, columns = rows[:, None, :, None], columns[:, None, None, :]
    batch, channels = images.shape[:2]
    index = (rows * images.shape[3] + columns).expand(-1, channels, -1, -1).flatten(2)
    return images.flatten(2).gather(2, index).view(batch, channels, height, width)


def affine(images: Tensor, angle: NDArray[np.float64], shift: NDArray[np.float64], zoom: NDArray[np.float64]) -> Tensor:
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
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    # affine_grid maps output to input coordinates in [-1, 1] on both axes: hence the inverse, and the aspect ratio.
    theta = np.zeros((len(batch), 2, 3))
    theta[:, 0, 0], theta[:, 0, 1] = cos, -sin * height / width
    theta[:, 1, 0], theta[:, 1, 1] = sin * width / height, cos
    moved = 2 * shift[:, ::-1]  # in units of the half side, x first
    theta[:, :, 2] = -(theta[:, :, :2] @ moved[:, :, None])[:, :, 0]
    grid = affine_grid(torch.from_numpy(theta).to(batch), list(batch.shape), align_corners=False)
    return grid_sample(batch, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def cutout(images: Tensor, side: int, centre: NDArray[np.float64], fill: Sequence[float] | None) -> Tensor:
    """Set a square to one colour (DeVries and Taylor, 2017). Its centre is uniform over the pixels; the border clips
    it.

    Args:
        images: float [B, C, H, W].
        side: pixels.
        centre: uniform numbers (y, x) in [0, 1), [B, 2].
        fill: one number a channel; None is middle gray.
    """
    _, channels, height, width = images.shape
    device = images.device
    first = torch.from_numpy((centre * (height, width)).astype(np.int64)).to(device) - side // 2
    y, x = torch.arange(height, device=device), torch.arange(width, device=device)
    rows = (y >= first[:, :1]) & (y < first[:, :1] + side)
    columns = (x >= first[:, 1:]) & (x < first[:, 1:] + side)
    hole = (rows[:, :, None] & columns[:, None, :])[:, None]
    colour = images.new_tensor(fill if fill is not None else (0.5,) * channels).view(1, -1, 1, 1)
    return torch.where(hole, colour, images)
