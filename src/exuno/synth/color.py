"""Colour jitter as torchvision applies it to PIL images: 8 bits after each step, in the drawn order."""

import math

import numpy as np
from numpy.typing import NDArray

from exuno.synth.parameters import BRIGHTNESS, CONTRAST, SATURATION, Parameters

_FLOOR = -0.4999  # PIL cuts the fraction off, OpenCV rounds


def jitter(patches: NDArray[np.uint8], drawn: Parameters) -> None:
    """Change the colours of those of the patches, uint8 [N, h, w, 3], that were drawn for it; in place.

    One patch after the other: each step needs its own numbers, a patch stays in the cache through its four steps,
    and OpenCV takes a few microseconds for each.
    """
    for row in np.flatnonzero(drawn.jitter):
        patch = patches[row]
        for step in drawn.order[row].tolist():
            factor = float(drawn.factors[row, step])
            if step == BRIGHTNESS:
                _blend_constant(patch, 0.0, factor)
            elif step == CONTRAST:
                _blend_constant(patch, _gray_mean(patch), factor)
            elif step == SATURATION:
                _blend_gray(patch, factor)
            else:
                _turn_hue(patch, factor)


_RAMP = np.arange(256, dtype=np.float64)


def _blend_constant(patch: NDArray[np.uint8], constant: float, factor: float) -> None:
    import cv2

    table = np.clip(factor * _RAMP + (1.0 - factor) * constant, 0, 255).astype(np.uint8)
    cv2.LUT(patch, table, dst=patch)


def _gray_mean(patch: NDArray[np.uint8]) -> float:
    import cv2

    return float(int(cv2.mean(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY))[0] + 0.5))


def _blend_gray(patch: NDArray[np.uint8], factor: float) -> None:
    import cv2

    gray = cv2.cvtColor(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    cv2.addWeighted(patch, factor, gray, 1.0 - factor, _FLOOR, dst=patch)


def hue_shift(factor: float) -> int:
    """Steps of OpenCV's circle of 256 for a fraction of the circle; PIL's has 255, and it rounds down twice."""
    return round(math.trunc(factor * 255) * 256 / 255 - 0.5) % 256


def _turn_hue(patch: NDArray[np.uint8], factor: float) -> None:
    import cv2

    hsv = cv2.cvtColor(patch, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(hue_shift(factor))  # wraps around, as the circle does
    cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL, dst=patch)
