"""Multi-crop in batches, on the device of the training (Caron et al., NeurIPS 2020; augmentation of DINO and iBOT).

A view is a random resized crop and a flip, then colour jitter, gray, blur and, in the second global view,
solarisation. Each is a pure function of (image, seed, draw number, number of the view).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data import rng
from exuno.data.batch_crop import blur_batch, crop_batch
from exuno.data.colour import jitter, solarize, to_gray
from exuno.data.crop import crop_boxes
from exuno.fewshot.options import Views

# The first random number of each operation; fixed, so that switching one on changes no draw of another.
FLIP, JITTER, GRAY, BLUR, SOLARIZE, CROP = 0, 1, 7, 8, 10, 20
GLOBAL = 2


def make_views(
    images: Tensor, draws: NDArray[np.int64], options: Views, size: int, seed: int
) -> tuple[Tensor, Tensor | None]:
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
    small, area = options.local_size, options.local_scale
    with torch.autocast(images.device.type, enabled=False):  # or the matrix products would round pixels
        pixels = images.float() / 255 if images.dtype == torch.uint8 else images
        wide = [_view(pixels, draws, options, number, size, options.scale, seed) for number in range(GLOBAL)]
        near = [_view(pixels, draws, options, GLOBAL + k, small, area, seed) for k in range(options.local)]
    return torch.stack(wide), torch.stack(near) if near else None


def _view(
    pixels: Tensor,
    draws: NDArray[np.int64],
    options: Views,
    number: int,
    side: int,
    area: tuple[float, float],
    seed: int,
) -> Tensor:
    def uniform(slot: int, slots: int = 1) -> NDArray[np.float64]:
        return rng.uniforms(seed, f"view/{number}", draws, slots, slot)

    def happens(slot: int, probability: float) -> NDArray[np.bool_]:
        return uniform(slot)[:, 0] < probability

    boxes = torch.from_numpy(crop_boxes(pixels, area, options.aspect, uniform(CROP, 4 * 10)))
    flip = torch.from_numpy(happens(FLIP, options.flip)) if options.flip else None
    view = crop_batch(pixels, boxes, (side, side), flip)
    if any(options.jitter):
        numbers = uniform(JITTER, 6)
        view = jitter(view, options.jitter, numbers[:, 1:], numbers[:, 0] < options.jitter_p)
    if options.gray:
        view = to_gray(view, happens(GRAY, options.gray))
    if blur := options.blur[min(number, GLOBAL)]:
        numbers = uniform(BLUR, 2)
        low, high = options.sigma
        sigma = np.where(numbers[:, 0] < blur, low + (high - low) * numbers[:, 1], 0)
        view = blur_batch(view, torch.from_numpy(sigma))
    if options.solarize and number == 1:
        view = solarize(view, happens(SOLARIZE, options.solarize))
    return view
