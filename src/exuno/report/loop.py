"""Pictures that move, as GIF files that repeat for ever: many clips side by side."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from exuno.report.grid import Bytes, image_grid

WIDEST = 720  # pixels, of clips that are larger than their place


def gif(frames: Sequence[Image.Image], milliseconds: Sequence[int]) -> bytes:
    """Frames of one size, each shown for so long, as the content of a GIF file."""
    first, *rest = frames
    stream = io.BytesIO()
    first.save(stream, format="GIF", save_all=True, append_images=rest, duration=list(milliseconds), loop=0)
    return stream.getvalue()


def loop(clips: Bytes, columns: int = 8, scale: int = 1, pace: float = 8.0) -> bytes:
    """Clips side by side as the content of one GIF file.

    Args:
        clips: uint8 [N, T, H, W, C], C = 1 or 3.
        columns: clips in a row.
        scale: factor of the enlargement, with sharp pixels.
        pace: frames a second.
    """
    frames = []
    for moment in range(clips.shape[1]):
        frame = Image.fromarray(image_grid(np.ascontiguousarray(clips[:, moment]), columns, scale))
        if frame.width > WIDEST:
            frame = frame.resize((WIDEST, max(1, frame.height * WIDEST // frame.width)), Image.Resampling.BOX)
        frames.append(frame)
    return gif(frames, [round(1000 / pace)] * len(frames))
