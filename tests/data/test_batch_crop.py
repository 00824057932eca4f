"""Cropping, resizing and blurring a batch against torch, one image at a time."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from exuno.data.augmentation.crop import blur_batch, crop_batch, resampling

HEIGHT, WIDTH = 13, 17


def pixels(count: int, channels: int = 3, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Images in the middle of [0, 1], so that a cubic kernel does not leave it."""
    made = torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(0))
    return 0.3 + 0.4 * made


def one_by_one(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    cut = [
        image[None, :, top : top + height, left : left + width]
        for image, (top, left, height, width) in zip(images, boxes.tolist(), strict=True)
    ]
    return torch.cat([F.interpolate(x, size, mode="bicubic", antialias=True) for x in cut])


@st.composite
def box(draw: st.DrawFn) -> list[int]:
    height, width = draw(st.integers(1, HEIGHT)), draw(st.integers(1, WIDTH))
    return [draw(st.integers(0, HEIGHT - height)), draw(st.integers(0, WIDTH - width)), height, width]


# From 2 pixels on: to one pixel across, torch 2.x resizes a box of one column wrongly (all rows become the first).
@given(st.lists(box(), min_size=1, max_size=4), st.integers(2, 24), st.integers(2, 24))
@settings(max_examples=60, deadline=None)
def test_boxes_are_resized_as_torch_resizes_them(boxes: list[list[int]], height: int, width: int) -> None:
    images, where = pixels(len(boxes)), torch.tensor(boxes)
    found = crop_batch(images, where, (height, width))
    torch.testing.assert_close(found, one_by_one(images, where, (height, width)), atol=1e-5, rtol=0)


def test_boxes_at_the_borders_and_the_whole_image() -> None:
    boxes = torch.tensor(
        [[0, 0, 4, 5], [HEIGHT - 4, WIDTH - 5, 4, 5], [0, WIDTH - 1, HEIGHT, 1], [0, 0, HEIGHT, WIDTH]]
    )
    images = pixels(4)
    for size in ((3, 3), (8, 20), (HEIGHT, WIDTH)):
        torch.testing.assert_close(crop_batch(images, boxes, size), one_by_one(images, boxes, size), atol=1e-5, rtol=0)
    torch.testing.assert_close(crop_batch(images, boxes, (HEIGHT, WIDTH))[3], images[3])


def test_nothing_outside_a_box_is_seen() -> None:
    weights = resampling(torch.tensor([3]), torch.tensor([5]), 12, 7)
    assert weights.shape == (1, 7, 12)
    assert not weights[0, :, :3].any()
    assert not weights[0, :, 8:].any()
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 7))


def test_chosen_boxes_are_mirrored() -> None:
    images, boxes = pixels(3), torch.tensor([[1, 2, 9, 8]]).expand(3, 4)
    flip = torch.tensor([True, False, True])
    plain, flipped = crop_batch(images, boxes, (6, 7)), crop_batch(images, boxes, (6, 7), flip)
    torch.testing.assert_close(flipped[flip], plain[flip].flip(-1))
    torch.testing.assert_close(flipped[~flip], plain[~flip])


def test_what_overshoots_is_clamped() -> None:
    images = torch.zeros(1, 1, 8, 8)
    images[..., 4:] = 1
    found = crop_batch(images, torch.tensor([[0, 0, 8, 8]]), (32, 32))
    assert (found.min(), found.max()) == (0, 1)


def test_a_blur_leaves_a_constant_image_and_sigma_0_every_image() -> None:
    constant = torch.full((2, 3, 9, 5), 0.37)
    torch.testing.assert_close(blur_batch(constant, torch.tensor([0.5, 4.0])), constant)
    images = pixels(2)
    torch.testing.assert_close(blur_batch(images, torch.zeros(2)), images, atol=0, rtol=0)


@pytest.mark.parametrize("sigma", [0.1, 0.8, 2.0])
def test_a_blur_is_a_gaussian_with_the_image_s_own_sigma(sigma: float) -> None:
    """Away from the border, where the kernel is cut off: the response to one bright pixel."""
    image = torch.zeros(2, 1, 41, 41)
    image[:, :, 20, 20] = 1
    found = blur_batch(image, torch.tensor([sigma, 0]))
    line = torch.exp(-((torch.arange(41.0) - 20) ** 2) / (2 * sigma**2))
    line /= line.sum()
    torch.testing.assert_close(found[0, 0], line[:, None] * line, atol=1e-6, rtol=0)
    torch.testing.assert_close(found[1], image[1])
