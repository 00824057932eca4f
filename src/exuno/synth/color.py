"""Colour jitter as torchvision applies it to PIL images: 8 bits after each step, in the drawn order."""

import numpy as np
from numpy.typing import NDArray

from exuno.data.constants import LUMA
from exuno.synth.parameters import BRIGHTNESS, CONTRAST, HUE, SATURATION, Parameters

FLOOR = -0.4999
"""Added before rounding, because PIL cuts the fraction off."""


def jitter(patches: NDArray[np.uint8], drawn: Parameters) -> None:
    """Change the colours of those of the patches, uint8 [N, size, size, 3], that were drawn for it; in place.

    The numbers of all patches are prepared at once; the pixels are changed one patch after the other, so that a patch
    stays in the cache through its four steps, each of which is one or two calls of OpenCV.
    """
    import cv2

    size = patches.shape[1]
    hsv = np.empty((size, size, 3), np.uint8)
    hsv_rows = hsv.reshape(size, 3 * size)
    rows = np.flatnonzero(drawn.jitter)
    factors, matrices = drawn.factors[rows], saturation_matrices(drawn.factors[rows, SATURATION])
    shifts = np.zeros((len(rows), 3 * size), np.uint8)
    shifts[:, ::3] = hue_shifts(factors[:, HUE])[:, None]
    each = zip(rows.tolist(), factors.tolist(), drawn.order[rows].tolist(), matrices, shifts, strict=True)
    for row, factor, order, matrix, shift in each:
        patch = patches[row]
        for step in order:
            if step == BRIGHTNESS:
                cv2.addWeighted(patch, factor[BRIGHTNESS], patch, 0.0, FLOOR, patch)
            elif step == CONTRAST:
                red, green, blue, _ = cv2.mean(patch)
                mean = int(LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue + 0.5)
                cv2.addWeighted(patch, factor[CONTRAST], patch, 0.0, (1 - factor[CONTRAST]) * mean + FLOOR, patch)
            elif step == SATURATION:
                cv2.transform(patch, matrix, patch)
            else:
                cv2.cvtColor(patch, cv2.COLOR_RGB2HSV_FULL, hsv)
                np.add(hsv_rows, shift, hsv_rows)  # uint8 wraps around, as the circle of hues does
                cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL, patch)


def saturation_matrices(factors: NDArray[np.float64]) -> NDArray[np.float32]:
    """[N, 3, 4]: the map (red, green, blue, 1) -> RGB that mixes a pixel with its gray value."""
    matrices = np.empty((len(factors), 3, 4))
    matrices[:, :, :3] = factors[:, None, None] * np.eye(3) + (1 - factors)[:, None, None] * np.array(LUMA)
    matrices[:, :, 3] = FLOOR
    # In steps of 1/1024, as OpenCV would round them itself, so that the torch path multiplies by the same numbers.
    return (np.rint(matrices * 1024) / 1024).astype(np.float32)


def hue_shifts(factors: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Steps of OpenCV's circle of hues for fractions of it.

    PIL's circle has 255 steps both ways and it rounds down, OpenCV's 256 on the way there, to nearest, and 255 on the
    way back; one step less makes up for the difference on average.
    """
    return (np.trunc(factors * 255) - 1).astype(np.int64).astype(np.uint8)
