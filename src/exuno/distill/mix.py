"""CutMix and MixUp as the single-image papers use them: one box or share for a whole batch, partner = the batch
reversed.

A loader gives each process a mirrored slice of the batch, so that the same pairs meet on any number of processes.
"""

import torch
from torch import Tensor

from exuno.data.rng import generator
from exuno.distill.options import Mix


def mix(images: Tensor, options: Mix, seed: int, step: int) -> tuple[Tensor, float]:
    """Mixes each image of a batch with its mirror image in the order of the batch.

    CutMix: Yun et al. (ICCV 2019); a box of area 1 - λ with a uniform centre, cut off at the border, comes from the
    partner. MixUp: Zhang et al. (ICLR 2018); λ x + (1 - λ) partner.

    Args:
        images: [B, C, H, W]; clips [B, C, T, H, W], in which the box goes through all frames; recordings [B, 1, S], in
            which it is a stretch of time.
        options: what to do; the draw is a pure function of (seed, step).
        seed: the run's seed.
        step: number of the optimizer step.

    Returns:
        The mixed images [B, C, H, W], and λ, the share that is the image's own (after the box was cut off).
    """
    active = [name for name in ("cutmix", "mixup") if getattr(options, name) > 0]
    draw = generator(seed, "mix", step)
    if not active or draw.random() >= options.probability:
        return images, 1.0
    name = active[int(draw.integers(len(active)))]
    alpha = getattr(options, name)
    share = float(draw.beta(alpha, alpha))
    partner = images.flip(0)
    if name == "mixup":
        return torch.lerp(partner, images, share), share
    height, width = images.shape[-2:]  # of recordings 1 and S
    y, x = float(draw.random()), float(draw.random())
    if images.ndim == 3:
        (top, bottom), (_, _, left, right) = (0, 1), box(1, width, 1 - (1 - share) ** 2, y, x)
    else:
        top, bottom, left, right = box(height, width, share, y, x)
    mixed = images.clone()
    mixed[..., top:bottom, left:right] = partner[..., top:bottom, left:right]
    return mixed, 1.0 - (bottom - top) * (right - left) / (height * width)


def box(height: int, width: int, share: float, y: float, x: float) -> tuple[int, int, int, int]:
    """CutMix's box (top, bottom, left, right): sides ``sqrt(1 - share)`` of the image's, centre at (y, x) in [0, 1)."""
    ratio = (1.0 - share) ** 0.5
    half_height, half_width = int(height * ratio) // 2, int(width * ratio) // 2
    row, column = int(y * height), int(x * width)
    return (
        max(0, row - half_height),
        min(height, row + half_height),
        max(0, column - half_width),
        min(width, column + half_width),
    )
