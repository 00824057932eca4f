"""Data sets that need no download: the digits, and clips of them in motion.

``digits``: 1,797 handwritten digits of 8x8 pixels that come with scikit-learn; no download (Alpaydin and Kaynak,
UCI, 1998).

After Moving MNIST (Srivastava, Mansimov and Salakhutdinov, ICML 2015), with a label that no single frame tells.
"""

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exuno.data import rng
from exuno.data.base import ArrayData, channel_stats
from exuno.engine.errors import ExunoError

TEST_EVERY = 5


def open_digits(split: str) -> ArrayData:
    """The digits, gray, their 0..16 levels spread over 0..255.

    scikit-learn has no split of them. Here, within each class in the order of the file, every fifth image (number 4, 9,
    14, …) is
    for testing: 1,442 for training, 355 for testing, every class alike. Both carry the statistics of the training
        images.

    Args:
        split: ``train`` or ``test``.
    """
    if split not in ("train", "test"):
        raise ExunoError(f"digits has no split '{split}'", "Its splits are train and test.")
    # Read from the file itself: importing scikit-learn for it takes seconds.
    found = find_spec("sklearn")
    path = Path(found.origin or "").parent / "datasets/data/digits.csv.gz" if found else None
    if path is None or not path.exists():
        raise ExunoError(f"the digits of scikit-learn are not at {path}", "Install it: pip install scikit-learn.")
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.int64)
    images = np.round(table[:, :-1] * 255 / 16).astype(np.uint8).reshape(-1, 1, 8, 8)
    labels = table[:, -1]
    rank = np.zeros(len(labels), np.int64)
    for label in range(10):
        rank[labels == label] = np.arange((labels == label).sum())
    test = rank % TEST_EVERY == TEST_EVERY - 1
    chosen = test if split == "test" else ~test
    names = tuple("0123456789")
    return ArrayData(f"digits/{split}", images[chosen], labels[chosen], names, stats=channel_stats(images[~test]))


FRAMES, SIDE, DIGIT = 8, 20, 8
CONTRAST = 0.4
SPEED = (0.6, 1.6)
"""Pixels a frame, along each axis on which it moves."""
COUNTS = {"train": 4000, "test": 1000}
LABELS = ("direction", "digit")
DIRECTIONS = {
    "right": (0, 1),
    "down-right": (1, 1),
    "down": (1, 0),
    "down-left": (1, -1),
    "left": (0, -1),
    "up-left": (-1, -1),
    "up": (-1, 0),
    "up-right": (-1, 1),
}
"""Name -> (y, x)."""


def open_moving(split: str, label: str = "direction") -> ArrayData:
    """Clips of one digit each, gray, 8 frames of 20x20 pixels: 4,000 of the training digits, 1,000 of the test digits.

    Clip i shows digit i mod n of the split. Direction (of eight), speed (uniform in 0.6 … 1.6 pixels a frame) and
    place (uniform over those from which the digit stays in the picture), ground and ink (any grays 0.4 of the range
    apart) are drawn from (split, i) alone.

    Args:
        split: ``train`` or ``test``.
        label: what the clips are labelled with: ``direction`` or ``digit``.

    Raises:
        ExunoError: another split or label.
    """
    if split not in COUNTS:
        raise ExunoError(f"moving-digits has no split '{split}'", "Its splits are train and test.")
    if label not in LABELS:
        raise ExunoError(
            f"moving-digits has no label '{label}'", "Its labels are moving-digits (direction) and moving-digits@digit."
        )
    digits = open_digits(split)
    count = COUNTS[split]
    which = np.arange(count) % len(digits)
    u = rng.uniforms(0, f"moving-digits/{split}", np.arange(count), 6)
    direction = (u[:, 0] * len(DIRECTIONS)).astype(np.int64)
    step = np.array(list(DIRECTIONS.values()))[direction] * (SPEED[0] + u[:, 1:2] * (SPEED[1] - SPEED[0]))
    free = SIDE - DIGIT - np.abs(step) * (FRAMES - 1)
    start = u[:, 2:4] * free - np.minimum(0, step) * (FRAMES - 1)
    clips = glide(digits.images.numpy()[which, 0], start, step)[:, None]
    clips = paint(clips, u[:, 4], u[:, 5])
    names = tuple(DIRECTIONS) if label == "direction" else digits.classes
    labels = direction if label == "direction" else digits.labels.numpy()[which]
    stats = channel_stats(clips) if split == "train" else channel_stats(open_moving("train").images.numpy())
    return ArrayData(f"moving-digits/{split}", clips, labels, names, stats=stats)


def glide(digits: NDArray[np.uint8], start: NDArray[np.float64], step: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Digits uint8 [N, 8, 8] that move in a straight line, drawn bilinearly.

    Args:
        digits: what moves.
        start: (y, x) of the top left corner in the first frame, pixels, [N, 2].
        step: (y, x) pixels a frame, [N, 2].

    Returns:
        uint8 [N, T, H, W].
    """
    count, time = len(digits), np.arange(FRAMES)
    corner = start[:, None] + time[:, None] * step[:, None]  # [N, T, 2]
    # A place between pixels spreads over two rows and two columns: each axis is a matrix [side, 8] for each frame.
    place = np.arange(SIDE)[:, None] - np.arange(DIGIT)
    weights = np.maximum(0, 1 - np.abs(place - corner[..., None, None]))  # [N, T, 2, side, 8]
    frames = weights[:, :, 0] @ digits.reshape(count, 1, DIGIT, DIGIT) @ weights[:, :, 1].swapaxes(-1, -2)
    return np.rint(frames).astype(np.uint8)


def paint(clips: NDArray[np.uint8], ground: NDArray[np.float64], ink: NDArray[np.float64]) -> NDArray[np.uint8]:
    """White on black -> gray on gray.

    Args:
        clips: uint8 [N, ...].
        ground: uniform numbers [N]: how bright the ground is, from black to white.
        ink: uniform numbers [N]: how bright the digit is, at least 0.4 of the whole range away from the ground.
    """
    below = np.maximum(0, ground - CONTRAST)  # of ink that is darker than the ground: [0, below)
    free = below + np.maximum(0, 1 - ground - CONTRAST)
    level = ink * free
    level = np.where(level < below, level, ground + CONTRAST + level - below)
    shape = (-1, *[1] * (clips.ndim - 1))
    mixed = ground.reshape(shape) * 255 + (level - ground).reshape(shape) * clips.astype(np.float32)
    return np.rint(mixed).astype(np.uint8)
