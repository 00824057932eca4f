"""Clips through the machinery of images: what moves a picture moves all frames of a clip alike.

Frames are folded into channels, [C, T, h, w] -> [C T, h, w], for everything geometric, and into the batch, with one
draw for all frames of a clip, for everything that changes colours.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from exuno.data import rng
from exuno.data.augment import RUN, STREAM, augment, finish
from exuno.data.augmix import augmix
from exuno.data.base import Images
from exuno.data.resize import prepare
from exuno.engine.options import Augment

COLOURS = Augment()


def fold(clips: Images) -> Images:
    """[B, C, T, H, W] -> [B, C T, H, W], or a list of [C, T, h, w] -> a list of [C T, h, w]."""
    return clips.flatten(1, 2) if isinstance(clips, Tensor) else [clip.flatten(0, 1) for clip in clips]


def unfold(images: Tensor, frames: int) -> Tensor:
    """[B, C T, H, W] -> [B, C, T, H, W]."""
    return images.unflatten(1, (-1, frames))


def prepare_clips(clips: Images, size: tuple[int, int], short: int | None = None) -> Tensor:
    """What ``data.resize.prepare`` does, to each frame: [B, C, T, H, W] of the type of the clips."""
    return unfold(prepare(fold(clips), size, short), clips[0].shape[1])


def runs(clips: Images, frames: int, numbers: NDArray[np.float64]) -> list[Tensor]:
    """A run of consecutive frames of each clip, from a first one that ``numbers`` in [0, 1), [B], choose; of a clip
    that has no more, all."""
    first = [int(u * (max(0, clip.shape[1] - frames) + 1)) for u, clip in zip(numbers, clips, strict=True)]
    return [clip[:, k : k + frames] for k, clip in zip(first, clips, strict=True)]


def augment_clips(
    clips: Images,
    options: Augment,
    seed: int,
    draws: NDArray[np.int64],
    size: tuple[int, int],
    fill: Sequence[float] | None = None,
) -> Tensor:
    """What ``data.augment.augment`` does, with one draw for all frames of a clip.

    Args:
        clips: uint8 [B, C, T, H, W], or a list of B uint8 [C, T, h, w] of varying size.
        options: what to do; the first is to take ``options.frames`` of the frames.
        seed: the run's seed.
        draws: the number of each draw, int64 [B].
        size: (H, W) of the result.
        fill: colour of the cutout in [0, 1], one number a channel.

    Returns:
        float32 [B, C, T, H, W] in [0, 1].
    """
    if options.frames:
        clips = runs(clips, options.frames, rng.uniforms(seed, STREAM, draws, 1, RUN)[:, 0])
    if options.augmix:
        clips = augmix(clips, options.augmix, seed, draws)
    frames = clips[0].shape[1]
    colours = replace(COLOURS, **{name: getattr(options, name) for name in ("jitter", "jitter_p", "gray", "solarize")})
    moves = replace(options, augmix=0, jitter=(0.0,) * 4, gray=0.0, solarize=0.0)
    wide = tuple(np.repeat(fill, frames)) if fill is not None else None
    moved = unfold(augment(fold(clips), moves, seed, draws, size, wide), frames)
    if colours == replace(COLOURS, jitter_p=options.jitter_p):
        return moved
    flat = finish(moved.transpose(1, 2).flatten(0, 1), colours, seed, np.repeat(draws, frames))
    return flat.unflatten(0, (len(moved), frames)).transpose(1, 2)
