"""Random resized crops of a batch, several of each image, where it lies: what ``data.crop`` draws and
``data.batch_crop`` cuts out, for images of one size."""

import math

import torch
from torch import Tensor

from exuno.data.batch_crop import resampling


def random_boxes(
    size: tuple[int, int], area: tuple[float, float], aspect: tuple[float, float], numbers: Tensor
) -> Tensor:
    """:func:`exuno.data.crop.crop_boxes` on the device of the numbers, for images of one size.

    Args:
        size: (height, width) of the images.
        area: range of area fractions.
        aspect: range of aspect ratios.
        numbers: uniform numbers, float64 [..., 4 tries].

    Returns:
        int64 [..., 4]: top, left, height, width.
    """
    height, width = size
    pick = numbers.unflatten(-1, (-1, 4))
    target = height * width * (area[0] + (area[1] - area[0]) * pick[..., 0])
    ratio = torch.exp(math.log(aspect[0]) + math.log(aspect[1] / aspect[0]) * pick[..., 1])
    w, h = (target * ratio).sqrt().round().long(), (target / ratio).sqrt().round().long()
    fits = (w > 0) & (h > 0) & (w <= width) & (h <= height)
    first = fits.int().argmax(-1, keepdim=True)
    w, h = w.gather(-1, first)[..., 0], h.gather(-1, first)[..., 0]
    free = pick.gather(-2, first[..., None].expand(*first.shape, 4))[..., 0, :]
    top = (free[..., 2] * (height - h + 1)).long()
    left = (free[..., 3] * (width - w + 1)).long()
    some = fits.any(-1)
    found = (top, left, h, w)
    return torch.stack(
        [torch.where(some, one, rest) for one, rest in zip(found, centre(height, width, aspect), strict=True)], -1
    )


def centre(height: int, width: int, aspect: tuple[float, float]) -> tuple[int, int, int, int]:
    """The largest centred box within the range of aspect ratios: top, left, height, width."""
    h, w = height, width
    if width / height < aspect[0]:
        h = max(1, min(height, round(width / aspect[0])))
    elif width / height > aspect[1]:
        w = max(1, min(width, round(height * aspect[1])))
    return (height - h) // 2, (width - w) // 2, h, w


def crop_views(images: Tensor, boxes: Tensor, size: tuple[int, int], flip: Tensor | None = None) -> Tensor:
    """V boxes of each image cut out and resized: :func:`exuno.data.batch_crop.crop_batch` for all of them at once.

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
