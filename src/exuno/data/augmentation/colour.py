"""Colour augmentation of a batch: jitter, gray, solarisation; the definitions of torchvision's ColorJitter, one draw
per image."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.base import Numbers
from exuno.data.constants import LUMA

ORDERS = np.array(list(permutations(range(4))))


def gray_of(images: Tensor) -> Tensor:
    """ITU-R 601 luma, [B, 3, H, W] -> [B, 1, H, W]; gray passes."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, 1)
    return (red * LUMA[0]).add_(green * LUMA[1]).add_(blue * LUMA[2])


def jitter(
    images: Tensor,
    strength: tuple[float, float, float, float],
    numbers: Numbers,
    which: NDArray[np.bool_] | Tensor,
) -> Tensor:
    """Change brightness, contrast, saturation and hue by random factors in a random order.

    Args:
        images: float [B, C, H, W] in [0, 1]. Gray images have neither saturation nor hue.
        strength: the factors lie in [max(0, 1 - s), 1 + s]; the hue turns by at most its strength, a fraction of the
            circle.
        numbers: uniform numbers [B, 5]: four strengths and the order.
        which: the images to change, [B].
    """
    if isinstance(numbers, Tensor):
        assert isinstance(which, Tensor)
        return _jitter_all(images, strength, numbers, which)
    assert not isinstance(which, Tensor)
    factors = np.empty((len(images), 4))
    for k, (low, high) in enumerate(_ranges(strength)):
        factors[:, k] = low + (high - low) * numbers[:, k]
    order = ORDERS[(numbers[:, 4] * len(ORDERS)).astype(np.int64)]
    operations = (brightness, contrast, saturation, hue)
    active = [k for k in range(4 if images.shape[1] == 3 else 2) if strength[k]]
    images = images.clone()
    for turn in range(4):
        for k in active:
            rows = np.flatnonzero(which & (order[:, turn] == k))
            factor = torch.from_numpy(factors[rows, k]).to(images).view(-1, 1, 1, 1)
            if len(rows) == len(images):
                images = operations[k](images, factor)
            else:
                _change(images, rows, lambda chosen, k=k, factor=factor: operations[k](chosen, factor))
    return images


def _ranges(strength: tuple[float, float, float, float]) -> list[tuple[float, float]]:
    return [(-s, s) if k == 3 else (max(0.0, 1 - s), 1 + s) for k, s in enumerate(strength)]


def _jitter_all(images: Tensor, strength: tuple[float, float, float, float], numbers: Tensor, which: Tensor) -> Tensor:
    """:func:`jitter` with numbers that are not looked at: every image goes through the three blends before its hue is
    turned, through the turn, and through the three after it, and keeps of that what its own order has."""
    factors = [
        (low + (high - low) * numbers[:, k]).to(images.dtype).view(-1, 1, 1, 1)
        for k, (low, high) in enumerate(_ranges(strength))
    ]
    order = _orders((numbers[:, 4] * len(ORDERS)).long())
    active = [k for k in range(4 if images.shape[1] == 3 else 2) if strength[k]]
    blends, chosen = [k for k in active if k < 3], which.view(-1, 1, 1, 1)
    turned = [(step == 3).view(-1, 1, 1, 1) for step in order]
    before = chosen  # images that have not turned their hue yet
    for step, turns in zip(order[:3], turned[:3], strict=True):
        before = before & ~turns
        images = _blend(images, factors, blends, step.view(-1, 1, 1, 1), before)
    if 3 in active:
        images = torch.where(chosen, hue(images, factors[3]), images)
    after = torch.zeros_like(chosen)
    for step, turns in zip(order[1:], turned[:3], strict=True):
        after = after | (chosen & turns)
        images = _blend(images, factors, blends, step.view(-1, 1, 1, 1), after)
    return images


def _blend(images: Tensor, factors: list[Tensor], blends: list[int], step: Tensor, which: Tensor) -> Tensor:
    """Each of the chosen images [B, C, H, W] after its own ``step`` [B, 1, 1, 1], one of ``blends``; else itself."""
    if not blends:
        return images
    gray = gray_of(images)
    base, factor, does = torch.zeros_like(gray), torch.ones_like(factors[0]), torch.zeros_like(which)
    for k in blends:
        mine = step == k
        does, factor = does | mine, torch.where(mine, factors[k], factor)
        if k:  # brightness blends with black
            base = torch.where(mine, gray.mean((1, 2, 3), keepdim=True) if k == 1 else gray, base)
    return torch.where(which & does, ((images - base) * factor + base).clamp(0, 1), images)


def _orders(number: Tensor) -> list[Tensor]:
    """Columns of ``ORDERS[number]``, int64 [B] each: permutations of 0 .. 3 in lexicographic order, from their number
    in the factorial system."""
    first, second, third = number // 6, number % 6 // 2, number % 2
    second = second + (second >= first)
    low, high = torch.minimum(first, second), torch.maximum(first, second)
    third = third + (third >= low)
    third = third + (third >= high)
    return [first, second, third, 6 - first - second - third]


def _change(images: Tensor, rows: NDArray[np.int64], how: Callable[[Tensor], Tensor]) -> Tensor:
    """``images`` with ``how`` of those in ``rows`` in their place."""
    if not len(rows):
        return images
    index = torch.from_numpy(rows).to(images.device)
    return images.index_copy_(0, index, how(images.index_select(0, index)))


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply by ``factor`` [B, 1, 1, 1]."""
    return (images * factor).clamp_(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean gray of the image."""
    mean = gray_of(images).mean((1, 2, 3), keepdim=True)
    return (images - mean).mul_(factor).add_(mean).clamp_(0, 1)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the gray version of the image."""
    gray = gray_of(images)
    return (images - gray).mul_(factor).add_(gray).clamp_(0, 1)


def hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by ``turn`` [B, 1, 1, 1], a fraction of the circle, in HSV; value and saturation stay."""
    red, green, blue = images.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    first, second = value == red, value == green
    # Where there is no chroma, red is the largest channel, and 0 / 1 the hue.
    sixth = torch.where(first, green - blue, torch.where(second, blue - red, red - green))
    sixth = sixth.div_(torch.where(chroma > 0, chroma, 1.0))
    sixth = sixth.add_(torch.where(first, 0.0, torch.where(second, 2.0, 4.0))).add_(6 * turn[:, 0])
    # Alvy Ray Smith's model in closed form: channel n of HSV is V - chroma * clip(min(k, 4 - k), 0, 1), k = (n +
    # hue/60) mod 6.
    out = torch.empty_like(images)
    for channel, step in enumerate((5.0, 3.0, 1.0)):
        k = sixth + step
        k = k.sub_(torch.floor(k / 6), alpha=6)
        torch.sub(value, torch.minimum(k, 4 - k).clamp_(0, 1).mul_(chroma), out=out[:, channel])
    return out


def to_gray(images: Tensor, which: NDArray[np.bool_] | Tensor) -> Tensor:
    """Replace the chosen images by their luma."""
    if isinstance(which, Tensor):
        return torch.where(which.view(-1, 1, 1, 1), gray_of(images), images)
    return _change(images.clone(), np.flatnonzero(which), lambda chosen: gray_of(chosen).expand_as(chosen))


def solarize(images: Tensor, which: NDArray[np.bool_] | Tensor) -> Tensor:
    """Invert the pixels of at least half brightness in the chosen images."""
    if isinstance(which, Tensor):
        return torch.where(which.view(-1, 1, 1, 1) & (images >= 0.5), 1 - images, images)
    return _change(images.clone(), np.flatnonzero(which), lambda chosen: torch.where(chosen >= 0.5, 1 - chosen, chosen))
