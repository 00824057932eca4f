"""Each operation against a formula of its own; gradients; draws."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from exuno.engine.errors import ExunoError
from exuno.poster.augment import (
    NAMES,
    Augmentation,
    brightness,
    contrast,
    crop,
    cutout,
    flip,
    rotate,
    saturation,
    scale,
)

HEIGHT, WIDTH = 8, 6
IMAGE = np.random.default_rng(0).random((3, HEIGHT, WIDTH))


def applied(operation: Callable[..., torch.Tensor], *numbers: float) -> np.ndarray:
    """The operation on one image."""
    x = torch.from_numpy(IMAGE)[None]
    return operation(x, torch.tensor([numbers], dtype=torch.float64))[0].numpy()


def warped(source: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The image sampled where ``source`` says: (y, x) in pixels from the centre -> the same. SciPy's interpolation."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    middle = (HEIGHT - 1) / 2, (WIDTH - 1) / 2
    there = source(y - middle[0], x - middle[1])
    places = [there[0] + middle[0], there[1] + middle[1]]
    return np.stack([map_coordinates(plane, places, order=1, mode="grid-constant") for plane in IMAGE])


@pytest.mark.parametrize("u", [0.0, 0.3, 0.5, 1.0])
def test_rotation_keeps_its_angle_on_images_that_are_not_square(u: float) -> None:
    angle = np.deg2rad(-15 + 30 * u)
    expected = warped(
        lambda y, x: (np.sin(angle) * x + np.cos(angle) * y, np.cos(angle) * x - np.sin(angle) * y),
    )
    np.testing.assert_allclose(applied(rotate, u), expected, atol=1e-6)


@pytest.mark.parametrize(("u", "v"), [(0.0, 1.0), (0.25, 0.75), (1.0, 0.0)])
def test_scale(u: float, v: float) -> None:
    wide, high = (1 / 1.2 + (1.2 - 1 / 1.2) * number for number in (u, v))
    np.testing.assert_allclose(applied(scale, u, v), warped(lambda y, x: (high * y, wide * x)), atol=1e-6)


def test_flip_mirrors_every_other_image() -> None:
    np.testing.assert_array_equal(applied(flip, 0.49), IMAGE[:, :, ::-1])
    np.testing.assert_array_equal(applied(flip, 0.5), IMAGE)


@pytest.mark.parametrize(("u", "shift"), [(0.0, -1), (0.34, 0), (0.99, 1)])
def test_crop_shifts_by_whole_pixels(u: float, shift: int) -> None:
    expected = np.zeros_like(IMAGE)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            if 0 <= row + shift < HEIGHT and 0 <= column - shift < WIDTH:
                expected[:, row, column] = IMAGE[:, row + shift, column - shift]
    np.testing.assert_array_equal(applied(crop, u, 0.99 - u), expected)


def test_colours() -> None:
    gray = IMAGE.mean(0, keepdims=True)
    np.testing.assert_allclose(applied(brightness, 0.9), IMAGE + 0.4)
    np.testing.assert_allclose(applied(saturation, 0.9), gray + 1.8 * (IMAGE - gray))
    np.testing.assert_allclose(applied(contrast, 0.9), IMAGE.mean() + 1.4 * (IMAGE - IMAGE.mean()))


@pytest.mark.parametrize(
    ("u", "v", "rows", "columns"),
    # Centres 0 .. 8 of a hole of 4 (height 8), 0 .. 5 of one of 3 (width 6).
    [(0.0, 0.0, (0, 2), (0, 2)), (0.5, 0.5, (2, 6), (2, 5)), (0.999, 0.999, (6, 8), (4, 6))],
)
def test_cutout(u: float, v: float, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    expected = IMAGE.copy()
    expected[:, slice(*rows), slice(*columns)] = 0
    np.testing.assert_array_equal(applied(cutout, u, v), expected)


@pytest.mark.parametrize("strategy", [*NAMES, "all:flip_rotate_scale_crop_color_cutout"])
def test_gradients(strategy: str) -> None:
    x = torch.rand(3, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    draw = Augmentation(strategy).draw(3, 0, "test", 1)
    assert torch.autograd.gradcheck(draw, (x,))
    assert torch.autograd.grad(draw(x).sum(), x)[0].any()


def test_every_batch_gets_one_operation_or_all() -> None:
    one = Augmentation("flip_rotate_color")
    seen = [[name for name, _ in one.draw(4, 0, "test", index).ops] for index in range(600)]
    assert all(len(names) == 1 for names in seen)
    counts = {name: sum(names == [name] for names in seen) for names in seen for name in names}
    assert set(counts) == {"flip", "rotate", "brightness", "saturation", "contrast"}
    assert all(150 < counts[name] < 250 for name in ("flip", "rotate"))
    assert all(40 < counts[name] < 95 for name in ("brightness", "saturation", "contrast"))
    every = Augmentation("all:color_flip").draw(4, 0, "test", 0)
    assert [name for name, _ in every.ops] == ["brightness", "saturation", "contrast", "flip"]
    assert not Augmentation("none").draw(4, 0, "test", 0).ops


def test_a_draw_is_a_function_of_its_arguments() -> None:
    augmentation, x = Augmentation("all:rotate_crop"), torch.rand(6, 1, 8, 8)
    first = augmentation.draw(6, 1, "test", 5)(x)
    assert torch.equal(first, augmentation.draw(6, 1, "test", 5)(x))
    assert torch.equal(first[:2], augmentation.draw(2, 1, "test", 5)(x[:2]))
    for other in ((2, "test", 5), (1, "other", 5), (1, "test", 6)):
        assert not torch.equal(first, augmentation.draw(6, *other)(x))
    assert first.dtype == x.dtype
    assert first.shape == x.shape
    assert not torch.equal(first[0] - x[0], first[1] - x[1])  # each image its own


@pytest.mark.parametrize("strategy", ["mirror", "flip_", "", "all:none", "flip rotate"])
def test_unknown_names(strategy: str) -> None:
    with pytest.raises(ExunoError, match="Give names of flip, rotate, scale, crop, color, cutout"):
        Augmentation(strategy)
