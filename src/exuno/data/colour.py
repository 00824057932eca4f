"""Colour augmentation of a batch: jitter, gray, solarisation; the definitions of torchvision's ColorJitter, one draw
per image."""

from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.constants import LUMA

ORDERS = np.array(list(permutations(range(4))))


def gray_of(images: Tensor) -> Tensor:
    """ITU-R 601 luma, [B, 3, H, W] -> [B, 1, H, W]; gray passes."""
    if images.shape[1] == 1:
        return images
    return (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def jitter(
    images: Tensor,
    strength: tuple[float, float, float, float],
    numbers: NDArray[np.float64],
    which: NDArray[np.bool_],
) -> Tensor:
    """Change brightness, contrast, saturation and hue by random factors in a random order.

    Args:
        images: float [B, C, H, W] in [0, 1]. Gray images have neither saturation nor hue.
        strength: the factors lie in [max(0, 1 - s), 1 + s]; the hue turns by at most its strength, a fraction of the
            circle.
        numbers: uniform numbers [B, 5]: four strengths and the order.
        which: the images to change, [B].
    """
    factors = np.empty((len(images), 4))
    for k, s in enumerate(strength):
        low, high = (-s, s) if k == 3 else (max(0.0, 1 - s), 1 + s)
        factors[:, k] = low + (high - low) * numbers[:, k]
    order = ORDERS[(numbers[:, 4] * len(ORDERS)).astype(np.int64)]
    operations = (brightness, contrast, saturation, hue)
    active = [k for k in range(4 if images.shape[1] == 3 else 2) if strength[k]]
    images = images.clone()
    for turn in range(4):
        for k in active:
            rows = torch.from_numpy(np.flatnonzero(which & (order[:, turn] == k))).to(images.device)
            if len(rows):
                factor = torch.from_numpy(factors[:, k]).to(images)[rows].view(-1, 1, 1, 1)
                images[rows] = operations[k](images[rows], factor)
    return images


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply by ``factor`` [B, 1, 1, 1]."""
    return (images * factor).clamp(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean gray of the image."""
    mean = gray_of(images).mean((1, 2, 3), keepdim=True)
    return (mean + (images - mean) * factor).clamp(0, 1)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the gray version of the image."""
    gray = gray_of(images)
    return (gray + (images - gray) * factor).clamp(0, 1)


def hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by ``turn`` [B, 1, 1, 1], a fraction of the circle, in HSV; value and saturation stay."""
    red, green, blue = images.unbind(1)
    value, _ = images.max(1)
    chroma = value - images.min(1)[0]
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sixth = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sixth = torch.where(chroma > 0, sixth, torch.zeros_like(sixth))
    # Alvy Ray Smith's model in closed form: channel n of HSV is V - chroma * clip(min(k, 4 - k), 0, 1), k = (n +
    # hue/60) mod 6.
    steps = images.new_tensor((5.0, 3.0, 1.0)).view(1, 3, 1, 1)
    k = (steps + (sixth[:, None] + 6 * turn)) % 6
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)


def to_gray(images: Tensor, which: NDArray[np.bool_]) -> Tensor:
    """Replace the chosen images by their luma."""
    chosen = torch.from_numpy(which).to(images.device).view(-1, 1, 1, 1)
    return torch.where(chosen, gray_of(images), images)


def solarize(images: Tensor, which: NDArray[np.bool_]) -> Tensor:
    """Invert the pixels of at least half brightness in the chosen images."""
    chosen = torch.from_numpy(which).to(images.device).view(-1, 1, 1, 1)
    return torch.where(chosen & (images >= 0.5), 1 - images, images)
