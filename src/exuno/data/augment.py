"""Augmentation of training images: batched, and every draw a pure function of (seed, draw number).

Draw numbers in an array are for the CPU. In an int64 tensor they are for its device: then every random number
is a tensor there, no value is read from it, and images are not told apart by their draws but all treated alike.

The order is: AugMix - resized crop (or random short side and crop, or plain resize) - rotation, shift, zoom - pad and
crop - flip - colour jitter - gray - solarisation - cutout.
"""

import math
from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor

from exuno.data import rng
from exuno.data.base import Boxes, Draws, Images, Numbers
from exuno.data.moves import affine, cutout, flip, pad_crop, to_float, whole
from exuno.data.resize import prepare
from exuno.engine.options import Augment

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
        from exuno.data.augmix import augmix

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
    from exuno.data.crop import resized_crop, sizes_of

    return resized_crop(images, boxes(sizes_of(images), options, seed, draws, size), size)


def _frame_batch(images: Tensor, options: Augment, seed: int, draws: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = images.shape[-2:]
    if options.resized_crop is None and options.short_side is None:
        return images if (height, width) == size else prepare(to_float(images), size)
    from exuno.data.batch_crop import crop_batch

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
    from exuno.data.crop import boxes_in, boxes_of_short_side

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
