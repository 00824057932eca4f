"""A photograph in many sizes, each filtered before it is made smaller: made once, read by every patch."""

import numpy as np
from numpy.typing import NDArray

PER_OCTAVE = 2
"""Levels from one size to half of it. Four gain 0.3 dB over two and take nearly twice the memory."""


def pyramid(photo: NDArray[np.uint8], largest: float) -> list[NDArray[np.uint8]]:
    """Levels of ``photo``, uint8 [h, w, 4] each: level i is smaller by a factor of about 2 ** (i / PER_OCTAVE).

    The fourth channel is empty: OpenCV warps four channels twice as fast as three.

    All levels together have at most twice the pixels of the photograph.

    Args:
        photo: uint8 [H, W, 3].
        largest: the largest reduction that will be asked for; no level far beyond it is made.
    """
    import cv2
    from PIL import Image

    levels = [np.ascontiguousarray(photo)]
    height, width = photo.shape[:2]
    while 2 ** ((len(levels) - 1) / PER_OCTAVE) < largest and max(levels[-1].shape[:2]) > 1:
        factor = 2 ** (len(levels) / PER_OCTAVE)
        # Filtering from four times the size is as good as from the photograph, and spares most of the time.
        source = levels[max(0, len(levels) - 2 * PER_OCTAVE)]
        size = max(1, round(width / factor)), max(1, round(height / factor))
        levels.append(np.asarray(Image.fromarray(source).resize(size, Image.Resampling.BICUBIC)))
    return [np.asarray(cv2.cvtColor(level, cv2.COLOR_RGB2RGBA), np.uint8) for level in levels]
