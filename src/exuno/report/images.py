"""Many pictures as one: PNG grids, and GIF files that repeat."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic

Bytes = NDArray[np.uint8]


def image_grid(images: Bytes, columns: int | None = None, scale: int = 1, gap: int = 2, background: int = 128) -> Bytes:
    """Lay out N pictures row by row.

    Args:
        images: uint8 [N, H, W] (gray) or [N, H, W, C], C = 1, 3 or 4.
        columns: pictures in a row; default: as square as it gets.
        scale: factor of the nearest-neighbour enlargement, so that an 8x8 digit stays crisp.
        gap: pixels between pictures, after the enlargement.
        background: gray value of the gaps and of the empty places, 0 to 255 (opaque where C = 4); the default is as
            quiet on a dark page as on a light one.

    Returns:
        uint8 [H', W'] for gray input, [H', W', C] for C = 3 or 4.

    Raises:
        ExunoError: no pictures, another dtype or shape, or columns, scale or gap out of range.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3, 4)):
        raise ExunoError(f"a grid needs uint8 pictures [N, H, W] or [N, H, W, C], not {images.dtype} {images.shape}")
    if images.size == 0:
        raise ExunoError("a grid needs at least one picture")
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    count = len(images)
    columns = min(columns, count) if columns is not None else int(np.ceil(np.sqrt(count)))
    if columns < 1 or scale < 1 or gap < 0:
        raise ExunoError(f"a grid cannot have {columns} columns, scale {scale} and gap {gap}")
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = images.shape[1:3]
    rows = -(-count // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, *images.shape[3:])
    canvas = np.full(shape, background, np.uint8)
    if images.shape[3:] == (4,):
        canvas[..., 3] = 255
    for place, image in enumerate(images):
        top, left = place // columns * (height + gap), place % columns * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def save_png(array: Bytes, path: Path) -> Path:
    """Write uint8 [H, W] or [H, W, 3 or 4] as a PNG file. An older file stays until the new one is whole.

    Raises:
        ExunoError: not a picture.
    """
    from PIL import Image

    array = np.asarray(array)
    if (
        array.dtype != np.uint8
        or array.size == 0
        or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4)))
    ):
        raise ExunoError(
            f"a PNG needs uint8 [H, W] or [H, W, 3], not {array.dtype} {list(array.shape)}", f"For {path}."
        )
    with atomic(path) as temporary:
        Image.fromarray(array).save(temporary, format="PNG", optimize=True)
    return path


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
