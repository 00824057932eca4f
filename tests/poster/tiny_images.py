"""Files of small images of a few classes that can be told apart by their brightness and a stripe."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def make(count: int, classes: int, channels: int, side: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images uint8 [count, side, side(, 3)] and labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = random.normal(110, 20, (count, side, side, channels))
    images[np.arange(count), labels % side] += 80
    images[..., 0] += 10 * labels[:, None, None]
    pixels = images.clip(0, 255).astype(np.uint8)
    return pixels[..., 0] if channels == 1 else pixels, labels


def write(path: Path, classes: int = 3, channels: int = 1, side: int = 8, test_seed: int = 1) -> str:
    """An .npz file of 40 training and 20 test images a class; returns its spec."""
    train, test = make(40 * classes, classes, channels, side, 0), make(20 * classes, classes, channels, side, test_seed)
    np.savez(path, train_images=train[0], train_labels=train[1], test_images=test[0], test_labels=test[1])
    return f"npz:{path}"
