"""Moves of whole batches of images: mirrored, shifted, warped, with a hole. Numbers are in arrays (on the CPU) or in
tensors (on the device of the images), of which no value is read."""

from collections.abc import Sequence
from typing import overload

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

from exuno.data.base import Boxes, Numbers


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
