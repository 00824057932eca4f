"""One picture for each sample of a batch, whatever it is: an image, the middle frame of a clip, a spectrogram."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.base import modality, pictures
from exuno.data.log_mel import LogMel
from exuno.engine.options import Sound


def stills(data: object, batch: Tensor) -> NDArray[np.uint8]:
    """Samples that a loader of ``data`` delivered, to look at.

    Args:
        data: where they come from.
        batch: [B, C, H, W], clips [B, C, T, H, W] or recordings [B, 1, S].

    Returns:
        uint8 [B, H, W, C].
    """
    kind = modality(data)
    if kind == "clip":
        return pictures(data, batch[:, :, batch.shape[2] // 2])
    if kind == "recording":
        return spectrograms(batch, data.rate)  # type: ignore[attr-defined]
    return pictures(data, batch)


def spectrograms(recordings: Tensor, rate: int) -> NDArray[np.uint8]:
    """Log-mel spectrograms of recordings [B, 1, S] as gray pictures uint8 [B, H, W, 1], high tones on top, dark is
    loud."""
    level = LogMel(rate, Sound())(recordings).flip(2)  # deviations from the mean
    return (255 - 64 * (level + 1.5)).clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
