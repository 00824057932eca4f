"""``moving-digits``: the 8x8 digits gliding over a plain ground in one of eight directions; made, not downloaded.

After Moving MNIST (Srivastava, Mansimov and Salakhutdinov, ICML 2015), with a label that no single frame tells.
"""

import numpy as np
from numpy.typing import NDArray

from exuno.data import rng
from exuno.data.base import ArrayData, channel_stats
from exuno.data.digits import open_digits
from exuno.engine.errors import ExunoError

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
