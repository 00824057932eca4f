"""Clips through the machinery of images: what moves a picture moves all frames of a clip alike.

Frames are images of one batch where each may be treated alone (they are cut out and resized with the box of their clip;
colours change with a draw that all of them repeat), and channels of one image, [C T, h, w], for all other moves.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from exuno.data import rng
from exuno.data.augmentation.augment import RUN, STREAM, Fill, finish, frame
from exuno.data.augmentation.augmix import augmix
from exuno.data.base import Draws, Images, Numbers
from exuno.data.images.resize import prepare
from exuno.engine.options import Augment

COLOURS = Augment()


def stacks(clips: Images) -> Images:
    """Clips as stacks of images: [B, C, T, H, W] -> [B T, C, H, W], or a list of [C, T, h, w] -> a list of [T, C, h,
    w]."""
    if isinstance(clips, Tensor):
        return clips.transpose(1, 2).flatten(0, 1)
    return [clip.transpose(0, 1) for clip in clips]


def unstack(images: Tensor, count: int) -> Tensor:
    """[B T, C, H, W] -> [B, C, T, H, W]; ``count`` is B."""
    return images.unflatten(0, (count, -1)).transpose(1, 2)


def prepare_clips(clips: Images, size: tuple[int, int], short: int | None = None) -> Tensor:
    """What ``data.resize.prepare`` does, to each frame: [B, C, T, H, W] of the type of the clips."""
    return unstack(prepare(stacks(clips), size, short), len(clips))


def runs(clips: Images, frames: int, numbers: Numbers) -> Images:
    """A run of consecutive frames of each clip, from a first one that ``numbers`` in [0, 1), [B], choose; of a clip
    that has no more, all. A list, or with numbers in a tensor one [B, C, frames, H, W]."""
    if isinstance(numbers, Tensor):
        assert isinstance(clips, Tensor)
        have = clips.shape[2]
        if have <= frames:
            return clips
        index = (numbers * (have - frames + 1)).long()[:, None] + torch.arange(frames, device=clips.device)
        index = index.view(len(clips), 1, frames, 1).expand(-1, clips.shape[1], -1, clips.shape[3] * clips.shape[4])
        return clips.flatten(3).gather(2, index).unflatten(3, clips.shape[3:])
    first = [int(u * (max(0, clip.shape[1] - frames) + 1)) for u, clip in zip(numbers, clips, strict=True)]
    return [clip[:, k : k + frames] for k, clip in zip(first, clips, strict=True)]


def augment_clips(
    clips: Images,
    options: Augment,
    seed: int,
    draws: Draws,
    size: tuple[int, int],
    fill: Fill = None,
) -> Tensor:
    """What ``data.augment.augment`` does, with one draw for all frames of a clip.

    Args:
        clips: uint8 [B, C, T, H, W], or a list of B uint8 [C, T, h, w] of varying size.
        options: what to do; the first is to take ``options.frames`` of the frames.
        seed: the run's seed.
        draws: the number of each draw, int64 [B]; in a tensor, clips are one, on its device.
        size: (H, W) of the result.
        fill: colour of the cutout in [0, 1], one number a channel.

    Returns:
        float32 [B, C, T, H, W] in [0, 1].
    """
    if options.frames:
        clips = runs(clips, options.frames, rng.uniforms(seed, STREAM, draws, 1, RUN)[:, 0])
    if options.augmix:
        assert not isinstance(draws, Tensor)  # AugMix is for workers: see data.choose
        clips = augmix(clips, options.augmix, seed, draws, options.augmix_formula)
    count, frames = len(clips), clips[0].shape[1]
    if isinstance(draws, Tensor):
        assert isinstance(clips, Tensor)
        wide_images, each = frame(clips.flatten(1, 2), options, seed, draws, size), draws.repeat_interleave(frames)
    else:
        cut = options.resized_crop or options.short_side
        images = frame(stacks([*clips]) if cut else stacks(clips), options, seed, draws, size)
        wide_images, each = unstack(images, count).flatten(1, 2), np.repeat(draws, frames)
    colours = replace(COLOURS, **{name: getattr(options, name) for name in ("jitter", "jitter_p", "gray", "solarize")})
    moves = replace(options, jitter=(0.0,) * 4, gray=0.0, solarize=0.0)
    wide = None if fill is None else torch.as_tensor(fill).repeat_interleave(frames)
    moved = finish(wide_images, moves, seed, draws, wide).unflatten(1, (-1, frames))
    if colours == replace(COLOURS, jitter_p=options.jitter_p):
        return moved
    return unstack(finish(stacks(moved), colours, seed, each), count)  # type: ignore[arg-type]
