"""The colours of views where no value is read: what ``data.colour`` does to some images of a batch, done to all of them
with strengths that leave the others as they are. The same up to rounding.

There, images are picked out, which costs a processor less; on a GPU it would have to be asked which.
"""

import torch
from torch import Tensor

from exuno.data.colour import gray_of, hue

Strength = tuple[float, float, float, float]
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


def jitter(images: Tensor, strength: Strength, numbers: Tensor, which: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue in a random order: see :func:`exuno.data.colour.jitter`.

    The first three are lerps, from black, from the mean gray and from the gray image. Each image has them in its own
    order, and its hue in between, so those before the hue come first, then every hue, then those after it.

    Args:
        images: float [N, C, H, W] in [0, 1].
        strength: of each; see there.
        numbers: uniform numbers, float64 [N, 5].
        which: bool [N].
    """
    turns = order_of((numbers[:, 4] * 24).long())
    colourful = images.shape[1] == 3
    active = [bool(s) and (colourful or k < SATURATION) for k, s in enumerate(strength)]

    def change(images: Tensor, operation: Tensor, when: Tensor) -> Tensor:
        """One operation of each image, where it is no hue and its turn."""
        factor = torch.ones_like(numbers[:, 0])
        for k in range(HUE):
            if active[k]:
                low, high = max(0.0, 1 - strength[k]), 1 + strength[k]
                factor = torch.where((operation == k) & when, low + (high - low) * numbers[:, k], factor)
        chosen, factor = operation.view(-1, 1, 1, 1), factor.to(images.dtype).view(-1, 1, 1, 1)
        gray = gray_of(images)
        base = torch.where(chosen == CONTRAST, gray.mean((1, 2, 3), keepdim=True), gray)
        base = torch.where(chosen == BRIGHTNESS, 0.0, base)
        return torch.lerp(base, images, factor).clamp_(0, 1)  # a factor of 1 gives the image itself

    if not active[HUE]:
        for operation in turns:
            images = change(images, operation, which)
        return images
    place = sum((operation == HUE).long() * turn for turn, operation in enumerate(turns))
    assert isinstance(place, Tensor)
    for turn in range(3):
        images = change(images, turns[turn], which & (place > turn))
    turned = (-strength[HUE] + 2 * strength[HUE] * numbers[:, HUE]).to(images.dtype).view(-1, 1, 1, 1)
    images = torch.where(which.view(-1, 1, 1, 1), hue(images, turned), images)
    for turn in range(1, 4):
        images = change(images, turns[turn], which & (place < turn))
    return images


def order_of(number: Tensor) -> list[Tensor]:
    """The permutation of 0 to 3 with that number, 0 to 23, in lexicographic order: what comes first, second, …"""
    first, second = number // 6, number % 6 // 2
    second = second + (second >= first)
    low, high = torch.minimum(first, second), torch.maximum(first, second)
    third = number % 2
    third = third + (third >= low)
    third = third + (third >= high)
    return [first, second, third, 6 - first - second - third]


def to_gray(images: Tensor, which: Tensor) -> Tensor:
    """Luma in place of the images in ``which``, bool [N]."""
    return torch.where(which.view(-1, 1, 1, 1), gray_of(images), images)


def solarize(images: Tensor, which: Tensor) -> Tensor:
    """Inverts the pixels of at least half brightness of the images in ``which``, bool [N]."""
    return torch.where(which.view(-1, 1, 1, 1) & (images >= 0.5), 1 - images, images)
