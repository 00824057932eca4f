"""Several crops of each image of a batch: what ``data.batch_crop`` cuts out, for all of them at once."""

import torch
from torch import Tensor

from exuno.data.batch_crop import resampling


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
