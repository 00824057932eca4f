"""Geometry and colour of the augmentation, and that a draw depends on nothing but its number."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exuno.data.augmentation import augment as augmentation
from exuno.data.augmentation import colour
from exuno.data.augmentation.augment import affine, augment, cutout, finish, flip, pad_crop
from exuno.data.augmentation.crop import crop_boxes, resized_crop
from exuno.data.images.resize import prepare
from exuno.engine.options import Augment

EVERYTHING = Augment(
    flip=0.5,
    pad=2,
    cutout=4,
    rotate=20,
    shift=0.1,
    zoom=0.1,
    jitter=(0.4, 0.4, 0.4, 0.1),
    jitter_p=0.8,
    gray=0.2,
    solarize=0.2,
)


def pixels(batch: int, channels: int = 3, side: int = 12, seed: int = 0) -> torch.Tensor:
    return torch.randint(
        0, 256, (batch, channels, side, side + 1), generator=torch.Generator().manual_seed(seed)
    ).byte()


@pytest.mark.parametrize("options", [EVERYTHING, Augment(resized_crop=(0.2, 1.0), flip=0.5)], ids=["all", "crop"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_draw_does_not_depend_on_its_batch(options: Augment, channels: int) -> None:
    images, draws = pixels(9, channels), np.arange(100, 109)
    whole = augment(images, options, 3, draws, (12, 13))
    assert whole.shape == (9, channels, 12, 13)
    assert whole.min() >= 0
    assert whole.max() <= 1
    order = np.array([4, 0, 7])
    torch.testing.assert_close(augment(images[order], options, 3, draws[order], (12, 13)), whole[order])
    assert not torch.equal(augment(images, options, 4, draws, (12, 13)), whole)
    assert not torch.equal(augment(images, options, 3, draws + 9, (12, 13)), whole)


def test_a_few_images_at_a_time_are_the_whole_batch(monkeypatch) -> None:
    images, draws = pixels(9), np.arange(100, 109)
    whole = augment(images, EVERYTHING, 3, draws, (12, 13))
    monkeypatch.setattr(augmentation, "CACHED", 2 * images[0].numel())
    assert torch.equal(augment(images, EVERYTHING, 3, draws, (12, 13)), whole)


def test_all_steps_work_on_the_device_of_the_images() -> None:
    """The device "meta" computes nothing, but refuses what is elsewhere."""
    images = pixels(9).to("meta")
    found = finish(images, EVERYTHING, 3, np.arange(9))
    assert found.device.type == "meta"
    assert found.shape == images.shape


def test_lists_and_batches_agree() -> None:
    images = pixels(5)
    options = Augment(resized_crop=(0.1, 1.0), flip=0.5, jitter=(0.2, 0.2, 0.2, 0.1))
    draws = np.arange(5)
    assert torch.equal(augment(list(images), options, 1, draws, (8, 8)), augment(images, options, 1, draws, (8, 8)))


def test_switching_one_thing_on_changes_no_other_draw() -> None:
    images, draws = pixels(64), np.arange(64)
    flipped = augment(images, Augment(flip=0.5), 0, draws, (12, 13))
    both = augment(images, Augment(flip=0.5, gray=1e-9), 0, draws, (12, 13))
    assert torch.equal(flipped, both)


def test_nothing_is_the_identity() -> None:
    images = pixels(3)
    assert torch.equal(augment(images, Augment(), 0, np.arange(3), (12, 13)), images / 255)


@given(which=st.lists(st.booleans(), min_size=4, max_size=4))
def test_flipping_twice_is_the_identity(which: list[bool]) -> None:
    images = pixels(4)
    once = flip(images, np.array(which))
    assert torch.equal(flip(once, np.array(which)), images)
    for image, turned, yes in zip(images, once, which, strict=True):
        assert torch.equal(turned, image.flip(2) if yes else image)


@settings(max_examples=30)
@given(y=st.integers(0, 6), x=st.integers(0, 6))
def test_pad_crop_is_a_shift(y: int, x: int) -> None:
    image = pixels(1)
    out = pad_crop(image, 3, np.array([[y, x]]))[0]
    dy, dx = 3 - y, 3 - x  # content moves down and right by these
    expected = torch.zeros_like(image[0])
    height, width = expected.shape[1:]
    expected[:, max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = image[
        0, :, max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    assert torch.equal(out, expected)


def test_flip_and_pad_happen_as_often_as_asked() -> None:
    images = pixels(1).expand(4000, -1, -1, -1)
    flipped = augment(images, Augment(flip=0.3), 0, np.arange(4000), (12, 13))
    share = (flipped[:, 0, 0, 0] != images[:, 0, 0, 0] / 255).double().mean().item()
    assert share == pytest.approx(0.3, abs=0.03)


ZERO, ONE = np.zeros(1), np.ones(1)


def test_affine_identity_and_whole_shifts() -> None:
    image = pixels(1).float() / 255
    torch.testing.assert_close(affine(image, ZERO, np.zeros((1, 2)), ONE), image, atol=1e-5, rtol=0)
    moved = affine(image, ZERO, np.array([[2 / 12, -3 / 13]]), ONE)
    torch.testing.assert_close(moved[:, :, 2:, :-3], image[:, :, :-2, 3:], atol=1e-5, rtol=0)
    assert not moved[:, :, :2].any()


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_affine_turns_counter_clockwise(turns: int) -> None:
    image = torch.rand(1, 1, 9, 9)
    out = affine(image, np.array([turns * np.pi / 2]), np.zeros((1, 2)), ONE)
    torch.testing.assert_close(out, torch.rot90(image, turns, (2, 3)), atol=1e-4, rtol=0)


def test_affine_keeps_shapes_in_images_that_are_not_square() -> None:
    image = torch.zeros(1, 1, 20, 40)
    image[:, :, 8:12, 10:30] = 1  # a bar of 4 x 20 pixels
    out = affine(image, np.array([np.pi / 2]), np.zeros((1, 2)), ONE)
    assert out.sum().item() == pytest.approx(80, abs=1)
    assert out[0, 0, :, 18:22].mean() > 0.99
    assert affine(image, ZERO, np.zeros((1, 2)), np.array([0.5])).sum().item() == pytest.approx(20, abs=1)


def test_cutout() -> None:
    images = torch.ones(500, 2, 8, 8)
    out = cutout(images, 4, np.random.default_rng(0).random((500, 2)), (0.25, 0.5))
    holes = (out[:, 0] == 0.25).sum((1, 2))
    assert torch.equal(out[:, 1] == 0.5, out[:, 0] == 0.25)
    assert holes.max() == 16
    assert holes.min() == 4  # the corner
    centre = cutout(images[:1], 4, np.array([[0.5, 0.5]]), None)
    assert (centre[0, 0, 2:6, 2:6] == 0.5).all()
    assert centre[0, 0].sum() == 48 + 8


@given(height=st.integers(1, 50), width=st.integers(1, 50), low=st.floats(0.01, 1), seed=st.integers(0, 100))
def test_crop_boxes_lie_inside(height: int, width: int, low: float, seed: int) -> None:
    images = [torch.zeros(3, height, width, dtype=torch.uint8)] * 3
    boxes = crop_boxes(images, (low, 1.0), (0.75, 4 / 3), np.random.default_rng(seed).random((3, 40)))
    top, left, h, w = boxes.T
    assert (boxes[:, 2:] > 0).all()
    assert (boxes >= 0).all()
    assert (top + h <= height).all()
    assert (left + w <= width).all()


def test_crop_boxes_have_the_area_and_aspect_asked_for() -> None:
    blank = torch.zeros(1, 1000, 1000, dtype=torch.uint8)
    boxes = crop_boxes([blank] * 2000, (0.1, 0.4), (0.5, 2.0), np.random.default_rng(0).random((2000, 40)))
    area = boxes[:, 2] * boxes[:, 3] / 1e6
    aspect = boxes[:, 3] / boxes[:, 2]
    assert 0.099 < area.min() < 0.11
    assert 0.39 < area.max() < 0.401
    assert area.mean() == pytest.approx(0.25, abs=0.01)
    assert 0.49 < aspect.min() < 0.52
    assert np.log(aspect).mean() == pytest.approx(0, abs=0.03)


def test_resized_crop_of_the_whole_is_a_resize() -> None:
    images = pixels(2)
    whole = np.array([[0, 0, 12, 13]] * 2)
    assert torch.equal(resized_crop(images, whole, (12, 13)), images)
    assert resized_crop(images, whole, (6, 5)).shape == (2, 3, 6, 5)


@pytest.mark.parametrize("size", [(8, 8), (4, 6), (30, 20)])
@pytest.mark.parametrize("short", [None, 10])
def test_prepare_covers_and_crops_the_centre(size: tuple[int, int], short: int | None) -> None:
    images = [torch.full((3, h, w), 200, dtype=torch.uint8) for h, w in ((20, 31), (9, 7), (8, 8))]
    out = prepare(images, size, short)
    assert out.shape == (3, 3, *size)
    assert (out == 200).all()


def test_prepare_is_symmetric_and_leaves_images_of_the_size_alone() -> None:
    image = torch.zeros(1, 1, 10, 30, dtype=torch.uint8)
    image[..., 10:20] = 255
    assert (prepare(image, (10, 10)) == 255).all()
    same = pixels(2)
    assert torch.equal(prepare(same, (12, 13)), same)


def test_colour_on_known_pixels() -> None:
    image = torch.tensor([0.2, 0.4, 0.8]).view(1, 3, 1, 1)
    one = torch.ones(1, 1, 1, 1)
    gray = 0.2 * 0.299 + 0.4 * 0.587 + 0.8 * 0.114
    assert colour.brightness(image, 1.5 * one).flatten().tolist() == pytest.approx([0.3, 0.6, 1.0])
    assert colour.saturation(image, 0 * one).flatten().tolist() == pytest.approx([gray] * 3)
    assert colour.contrast(image, 0 * one).flatten().tolist() == pytest.approx([gray] * 3)
    # Blue of hue 220 degrees; a third of the circle further is 340 degrees, a half 40 degrees.
    assert colour.hue(image, one / 3).flatten().tolist() == pytest.approx([0.8, 0.2, 0.4], abs=1e-5)
    assert colour.hue(image, -one / 3).flatten().tolist() == pytest.approx([0.4, 0.8, 0.2], abs=1e-5)
    assert colour.hue(image, one / 2).flatten().tolist() == pytest.approx([0.8, 0.6, 0.2], abs=1e-5)


def test_hue_of_nothing_and_of_gray_is_the_identity() -> None:
    images = torch.rand(4, 3, 5, 5)
    images[0] = images[0, :1]
    torch.testing.assert_close(colour.hue(images, torch.zeros(4, 1, 1, 1)), images)
    torch.testing.assert_close(colour.hue(images, torch.full((4, 1, 1, 1), 0.3))[0], images[0])
    torch.testing.assert_close(colour.hue(images, torch.ones(4, 1, 1, 1)), images, atol=1e-5, rtol=0)


def test_jitter_of_strength_zero_and_of_unchosen_images() -> None:
    images, numbers = torch.rand(6, 3, 4, 4), np.random.default_rng(0).random((6, 5))
    assert torch.equal(colour.jitter(images, (0, 0, 0, 0), numbers, np.ones(6, bool)), images)
    chosen = np.array([True, False] * 3)
    out = colour.jitter(images, (0.4, 0.4, 0.4, 0.1), numbers, chosen)
    assert torch.equal(out[1::2], images[1::2])
    assert not torch.equal(out[::2], images[::2])


def test_gray_and_solarize() -> None:
    images = torch.rand(4, 3, 4, 4)
    chosen = np.array([True, False, True, False])
    gray = colour.to_gray(images, chosen)
    assert torch.equal(gray[0, 0], gray[0, 2])
    assert torch.equal(gray[1], images[1])
    sun = colour.solarize(images, chosen)
    assert sun[0].max() < 0.5 + 1e-6
    assert torch.equal(sun[0][images[0] < 0.5], images[0][images[0] < 0.5])
    assert torch.equal(sun[1], images[1])
