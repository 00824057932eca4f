"""AugMix (Hendrycks et al., ICLR 2020, arXiv 1912.02781): an image mixed with three chains of simple operations.

Width 3, depth 1 to 3, α = 1. Here a draw is a row of numbers, so a clip's frames share one. What the operations are is
in :mod:`exuno.data.augmix_paper`, and in :mod:`exuno.data.augmix_reference` for published numbers.
"""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data import augmix_reference, rng
from exuno.data.augmix_paper import OPERATIONS, apply
from exuno.data.base import Images
from exuno.engine.errors import ExunoError

STREAM = "augmix"
WIDTH, DEPTH = 3, 3
SLOTS = 1 + 2 * WIDTH + 3 * WIDTH * DEPTH

Formula = Literal["paper", "reference"]
Frames = NDArray[np.uint8] | NDArray[np.float32]


def augmix(images: Images, severity: int, seed: int, draws: NDArray[np.int64], formula: Formula = "paper") -> Images:
    """Mix each image with chains of operations of itself.

    Args:
        images: uint8 [B, C, H, W] or clips [B, C, T, H, W], C = 1 or 3, or a list of such images of varying size. All
            frames of a clip get the same operations; what these take from a picture, such as its histogram, is that of
            the frame.
        severity: 1 to 10; the strength of each operation is one of so many, or of ``reference`` any up to it.
        seed: the run's seed.
        draws: the number of each draw, int64 [B].
        formula: ``paper``, or ``reference``: as the published code of the video experiment applies it.

    Returns:
        The same kind of images: uint8; of ``reference`` float32, in units in which white is 1, from -1 to 1.

    Raises:
        ExunoError: for images that are no pixels, such as those of a poster.
    """
    if images[0].dtype != torch.uint8:
        raise ExunoError(
            "AugMix is for pixels, and these images are numbers of any size", "Leave out --augment.augmix."
        )
    numbers = rng.uniforms(seed, STREAM, draws, SLOTS)
    out = []
    for image, row in zip(images, numbers, strict=True):
        clip = image.unsqueeze(1) if image.ndim == 3 else image
        frames = np.ascontiguousarray(clip.permute(1, 2, 3, 0).numpy())
        if formula == "reference":
            made = _mixed(frames.astype(np.float32), severity, row, formula) / np.float32(255)
        else:
            made = np.rint(_mixed(frames, severity, row, formula)).astype(np.uint8)
        mixed = torch.from_numpy(made).permute(3, 0, 1, 2)
        out.append(mixed[:, 0] if image.ndim == 3 else mixed)
    return torch.stack(out) if isinstance(images, Tensor) else out


def _mixed(frames: Frames, severity: int, numbers: NDArray[np.float64], formula: Formula) -> NDArray[np.float32]:
    """One draw: Beta(1, 1) is uniform, and exponential numbers over their sum are Dirichlet(1, 1, 1)."""
    share, shares, depths = numbers[0], -np.log1p(-numbers[1 : 1 + WIDTH]), numbers[1 + WIDTH : 1 + 2 * WIDTH]
    steps = numbers[1 + 2 * WIDTH :].reshape(WIDTH, DEPTH, 3)
    weights = shares / max(shares.sum(), 1e-12) * (1 - share)
    total = np.multiply(frames, np.float32(share), dtype=np.float32)
    for chain in range(WIDTH):
        changed: Any = frames
        for kind, strength, side in steps[chain, : 1 + int(depths[chain] * DEPTH)]:
            name, negative = OPERATIONS[int(kind * len(OPERATIONS))], side < 0.5
            if formula == "reference":
                level = augmix_reference.LEAST + strength * (severity - augmix_reference.LEAST)
                changed = augmix_reference.apply(changed, name, level, negative)
            else:
                changed = apply(changed, name, int(strength * severity), negative)
        total += np.multiply(changed, np.float32(weights[chain]), dtype=np.float32)
    return total
