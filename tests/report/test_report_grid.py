from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exuno.engine.errors import ExunoError
from exuno.report.images import image_grid, save_png


def test_grid_places_every_picture() -> None:
    images = np.arange(1, 6, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    grid = image_grid(images, columns=3, scale=2, gap=1, background=9)
    assert grid.shape == (9, 14)
    assert (grid[:4, 5:9] == 2).all()
    assert (grid[5:, :4] == 4).all()
    assert (grid[4] == 9).all()
    assert (grid[5:, 10:] == 9).all()


def test_grid_is_square_by_default_and_takes_colour() -> None:
    assert image_grid(np.zeros((9, 2, 2, 3), np.uint8), gap=0).shape == (6, 6, 3)
    assert image_grid(np.zeros((2, 4, 3, 1), np.uint8), columns=8).shape == (4, 8)
    assert (image_grid(np.zeros((1, 1, 1, 4), np.uint8), columns=1)[..., 3] == 0).all()


@pytest.mark.parametrize(
    ("images", "options"),
    [
        (np.zeros((2, 4, 4)), {}),
        (np.zeros((4, 4), np.uint8), {}),
        (np.zeros((0, 4, 4), np.uint8), {}),
        (np.zeros((2, 4, 4, 2), np.uint8), {}),
        (np.zeros((2, 4, 4), np.uint8), {"columns": 0}),
        (np.zeros((2, 4, 4), np.uint8), {"scale": 0}),
    ],
)
def test_mistakes(images: np.ndarray, options: dict[str, int]) -> None:
    with pytest.raises(ExunoError):
        image_grid(images, **options)


def test_png_round_trip_leaves_nothing_else(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    path = save_png(picture, tmp_path / "figures" / "a.png")
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]
    with pytest.raises(ExunoError, match="PNG"):
        save_png(picture[0, 0], path)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)
