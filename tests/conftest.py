"""Fixtures of all tests. The shared folder is beside the checkout or at EXUNO_SHARED; without it, its tests skip."""

import os
from pathlib import Path

import numpy as np
import pytest

# Tests work on small tensors, on which threads only wait for each other, and pytest-xdist runs several at once.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared folder: data and weights that are not part of the repository."""
    folder = Path(os.environ.get("EXUNO_SHARED") or Path(__file__).parents[1].parent / "shared")
    if not (folder / "data").is_dir():
        pytest.skip(f"there is no shared folder at {folder} (set EXUNO_SHARED)")
    return folder


@pytest.fixture(scope="session")
def cifar10_test(shared: Path) -> tuple[np.ndarray, np.ndarray]:
    """The CIFAR-10 test set, bit-exact, sorted by class: uint8 [10000, 3, 32, 32] and labels int64 [10000]."""
    from PIL import Image

    classes = (shared / "data/cifar10/classes.txt").read_text().split()
    images = []
    for name in classes:
        with Image.open(shared / f"data/cifar10/test/{name}.webp") as sheet:
            pixels = np.asarray(sheet.convert("RGB"))
        rows, columns = pixels.shape[0] // 32, pixels.shape[1] // 32
        tiles = pixels.reshape(rows, 32, columns, 32, 3).transpose(0, 2, 4, 1, 3)
        images.append(tiles.reshape(-1, 3, 32, 32))
    return np.concatenate(images), np.repeat(np.arange(10), [len(part) for part in images])
