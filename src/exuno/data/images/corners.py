"""Several views of a test image, over which answers or features are averaged: its centre, its corners, their mirror
images (Krizhevsky, Sutskever and Hinton, NeurIPS 2012)."""

from collections.abc import Iterator

from torch import Tensor


def views_of(images: Tensor, side: tuple[int, int], count: int) -> Iterator[Tensor]:
    """Views [B, C, h, w] of images [B, C, H, W], one after another, to the pixel and in the order of torchvision's
    ``five_crop`` and ``ten_crop``.

    Args:
        images: at least as large as a view.
        side: (h, w) of a view.
        count: 1, the centre; 2, and that of the mirrored images; 5, the four corners and the centre; 10, these and
            those of the mirrored images.
    """
    (height, width), (tall, wide) = images.shape[-2:], side
    low, right = height - tall, width - wide
    centre = (round(low / 2), round(right / 2))
    places = ((0, 0), (0, right), (low, 0), (low, right), centre) if count >= 5 else (centre,)
    for each in (images, images.flip(3)) if count in (2, 10) else (images,):
        for top, left in places:
            yield each[..., top : top + tall, left : left + wide]
