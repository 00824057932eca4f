"""A poster as it grew: its pictures on the way, as an animated GIF file of bounded size."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from exuno.data.poster_read import picture
from exuno.engine.files import atomic
from exuno.poster.drawing import enlarged
from exuno.report.loop import gif

FRAMES = 60  # at most
SMALLEST = 240  # pixels of the longer side, below which frames are left out instead
SECONDS = 6.0  # of one round, without the last frame, which stays for two more


def write_animation(path: Path, frames: Sequence[Path], longest: int = 480, limit: int = 4 << 20) -> bool:
    """Write a GIF file that repeats for ever.

    Args:
        path: of the GIF file.
        frames: PNG files of one size, gray or RGB, in order; at most 60 of them are taken, spread evenly.
        longest: longer side in pixels, which small pictures reach by whole factors.
        limit: bytes. A file that would be larger is enlarged less, then gets fewer frames.

    Returns:
        Whether there was anything that moves; if not, nothing is written.
    """
    chosen = np.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).round().astype(np.int64)
    pictures = [picture(frames[number]) for number in chosen.tolist()]
    if len({picture.tobytes() for picture in pictures}) < 2:
        return False
    content = encode(pictures, longest)
    while len(content) > limit and (longest > SMALLEST or len(pictures) > 2):
        if longest > SMALLEST:
            longest = longest * 3 // 4
        else:
            pictures = [*pictures[:-1:2], pictures[-1]]
        content = encode(pictures, longest)
    with atomic(path) as temporary:
        temporary.write_bytes(content)
    return True


def encode(pictures: Sequence[np.ndarray], longest: int) -> bytes:
    """Pictures uint8 [C, H, W], enlarged or shrunk to ``longest``, as the content of a GIF file."""
    frames = [enlarged(picture, longest) for picture in pictures]
    for frame in frames:
        frame.thumbnail((longest, longest))
    each = max(40, round(1000 * SECONDS / len(pictures)))
    return gif(frames, [each] * (len(frames) - 1) + [each + 2000])
