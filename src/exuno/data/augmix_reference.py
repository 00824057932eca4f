"""The operations of AugMix as the published video experiment applies them (Asano and Saeed, arXiv 2112.00725): those of
pytorchvideo 0.1.3, whose colours are made for floats in [0, 1], on floats in [0, 255].

So warps do what they say, and beyond the border they put 0.5, which is black here. Autocontrast, brightness, colour,
contrast and sharpness end in [0, 1], which is nearly black; equalisation and posterisation multiply by 255, keep the
last eight bits, and end there as well; solarisation gives 1 - v, a negative below black. A chain thus mostly darkens.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.data.augmix_paper import WARPS, equalize, matrix, warped
from exuno.data.constants import LUMA

LEAST = 0.1
"""The weakest level; the strongest is the severity."""
STRONGEST = 10

Values = NDArray[np.float32]


def apply(frames: Values, name: str, level: float, negative: bool) -> Values:
    """One operation at a level up to 10: float32 [T, H, W, C], white being 255 -> the same shape."""
    part = level / STRONGEST
    if name in WARPS:
        height, width = frames.shape[1:3]
        most = {"rotate": 30, "translate_x": width / 3, "translate_y": height / 3}.get(name, 0.3)
        # Published translations count to the left and up.
        sign = (-1 if negative else 1) * (-1 if name.startswith("translate") else 1)
        return warped(frames, matrix(name, sign * part * most, height, width), 0.5)
    if name == "solarize":
        return np.where(frames >= np.float32(1 - part), 1 - frames, frames)
    if name == "autocontrast":
        low, high = (edge(frames, axis=(1, 2), keepdims=True) for edge in (np.min, np.max))
        flat = high == low
        scale = 1 / np.where(flat, 1, high - low)
        return _limited((frames - np.where(flat, 0, low)) * scale)
    if name == "equalize":
        return _parts(np.stack([equalize(frame).reshape(frame.shape) for frame in _bytes(frames)]))
    if name == "posterize":
        bits = 4 - int(4 * part)
        return _parts(_bytes(frames) & np.uint8(256 - (1 << (8 - bits))))
    factor = np.float32(0.1 + 1.8 * part)
    if name == "color" and frames.shape[-1] == 1:
        return frames
    other = {"brightness": np.zeros_like, "contrast": _mean_gray, "color": _gray, "sharpness": _smooth}[name](frames)
    return _limited(factor * frames + (1 - factor) * other)


def _limited(values: NDArray[Any]) -> Values:
    return np.clip(values, 0, 1).astype(np.float32, copy=False)


def _bytes(frames: Values) -> NDArray[np.uint8]:
    """255 times the values as bytes, of which those above 255 or below 0 keep their last eight bits."""
    return (frames * np.float32(255)).astype(np.int64).astype(np.uint8)


def _parts(pixels: NDArray[np.uint8]) -> Values:
    """Bytes as parts of 255."""
    return np.divide(pixels, 255, dtype=np.float32)


def _gray(frames: Values) -> Values:
    if frames.shape[-1] == 1:
        return frames
    return (frames @ np.array(LUMA, np.float32))[..., None]


def _mean_gray(frames: Values) -> Values:
    return _gray(frames).mean((1, 2, 3), keepdims=True)


def _smooth(frames: Values) -> Values:
    """A 3 x 3 mean in which the middle counts five times; the border stays."""
    import cv2

    out = frames.copy()
    if min(frames.shape[1:3]) > 2:
        kernel = np.ones((3, 3), np.float32)
        kernel[1, 1] = 5
        for frame, into in zip(frames, out, strict=True):
            into[1:-1, 1:-1] = cv2.filter2D(frame, -1, kernel / 13).reshape(frame.shape)[1:-1, 1:-1]
    return out
