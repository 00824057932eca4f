"""What a page shows of each sample, whatever it is: an image, a small clip, a spectrogram."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.audio.mel import LogMel
from exuno.data.augmentation.clips import stacks, unstack
from exuno.data.base import modality, pictures
from exuno.data.images.resize import prepare
from exuno.engine.options import MelSpec

FRAMES, SIDE = 8, 96  # of a clip, at most


def shown(data: object, batch: Tensor) -> NDArray[np.uint8]:
    """Samples that a loader of ``data`` delivered, to look at.

    Args:
        data: where they come from.
        batch: [B, C, H, W], clips [B, C, T, H, W] or recordings [B, 1, S].

    Returns:
        uint8 [B, H, W, C]; of clips [B, T, H, W, C], at most 8 frames of at most 96 pixels, evenly spread.
    """
    kind = modality(data)
    if kind == "clip":
        moments = np.linspace(0, batch.shape[2] - 1, min(FRAMES, batch.shape[2])).round().astype(np.int64)
        frames = batch[:, :, torch.from_numpy(moments)]
        height, width = frames.shape[-2:]
        if (scale := SIDE / max(height, width)) < 1:
            size = (max(1, round(height * scale)), max(1, round(width * scale)))
            frames = unstack(prepare(stacks(frames), size), len(frames))
        return pictures(data, frames)
    if kind == "recording":
        return spectrograms(batch, data.rate)  # type: ignore[attr-defined]
    return pictures(data, batch)


def spectrograms(recordings: Tensor, rate: int) -> NDArray[np.uint8]:
    """Log-mel spectrograms of recordings [B, 1, S] as gray pictures uint8 [B, H, W, 1], high tones on top, dark is
    loud."""
    level = LogMel(rate, MelSpec())(recordings).flip(2)  # deviations from the mean
    return (255 - 64 * (level + 1.5)).clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
