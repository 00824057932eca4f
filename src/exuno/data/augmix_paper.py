"""The operations of AugMix (Hendrycks et al., arXiv 1912.02781), in the strengths of torchvision's ``AugMix``: each is
a look-up table, a warp or a filter of OpenCV."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from exuno.data.constants import LUMA

LEVELS = 10
WARPS = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
OPERATIONS = (
    *WARPS,
    *("posterize", "solarize", "autocontrast", "equalize", "brightness", "color", "contrast", "sharpness"),
)

Pixels = NDArray[np.uint8]
Frames = TypeVar("Frames", NDArray[np.uint8], NDArray[np.float32])
RAMP = np.arange(256)


def apply(frames: Pixels, name: str, level: int, negative: bool) -> Pixels:
    """One operation at one of ten levels, 0 being the weakest: uint8 [T, H, W, C] -> the same shape."""
    sign, part = -1 if negative else 1, level / (LEVELS - 1)
    if name in WARPS:
        height, width = frames.shape[1:3]
        amount = {
            **dict.fromkeys(("shear_x", "shear_y"), sign * 0.3 * part),
            "translate_x": int(sign * part * width / 3),
            "translate_y": int(sign * part * height / 3),
            "rotate": sign * 30 * part,
        }[name]
        return warped(frames, matrix(name, amount, height, width))
    if name == "posterize":
        return _looked_up(frames, RAMP & (256 - (1 << (8 - (4 - round(4 * part))))))
    if name == "solarize":
        return _looked_up(frames, np.where(255 * (1 - part) <= RAMP, 255 - RAMP, RAMP))
    if name == "brightness":
        return _looked_up(frames, np.clip(RAMP * (1 + sign * 0.9 * part), 0, 255))
    each = {
        "autocontrast": _autocontrast,
        "equalize": equalize,
        "contrast": lambda frame: _contrast(frame, 1 + sign * 0.9 * part),
        "color": lambda frame: _color(frame, 1 + sign * 0.9 * part),
        "sharpness": lambda frame: _sharpness(frame, 1 + sign * 0.9 * part),
    }[name]
    return np.stack([each(frame).reshape(frame.shape) for frame in frames])


def matrix(name: str, amount: float, height: int, width: int) -> NDArray[np.float64]:
    """Place in the result -> place in the image, 2 x 3, for pixel centres at whole numbers; ``amount``: of a shear its
    slope, of a translation pixels to the right or down, of a rotation degrees, counter-clockwise."""
    if name in ("translate_x", "translate_y"):
        x, y = (amount, 0) if name == "translate_x" else (0, amount)
        return np.array([[1, 0, -x], [0, 1, -y]], np.float64)
    if name in ("shear_x", "shear_y"):  # about the corner of the picture, half a pixel before the first centre
        rows = [[1, amount, amount / 2], [0, 1, 0]] if name == "shear_x" else [[1, 0, 0], [amount, 1, amount / 2]]
        return np.array(rows, np.float64)
    angle = np.deg2rad(amount)
    cos, sin, x, y = np.cos(angle), np.sin(angle), (width - 1) / 2, (height - 1) / 2
    return np.array([[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]])


def warped(frames: Frames, matrix: NDArray[np.float64], border: float = 0) -> Frames:
    """Frames [T, H, W, C] read at the places that ``matrix`` says, bilinear, ``border`` outside."""
    import cv2

    flags, size = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, (frames.shape[2], frames.shape[1])
    out = np.empty_like(frames)
    for frame, into in zip(frames, out, strict=True):
        cv2.warpAffine(frame, matrix, size, dst=into, flags=flags, borderValue=(border,) * 4)
    return out


def _looked_up(pixels: Pixels, table: NDArray[np.generic]) -> Pixels:
    """``table``: [256], or [256, C], one for each channel."""
    import cv2

    table = np.clip(table, 0, 255).astype(np.uint8)
    flat = pixels.reshape(-1, *pixels.shape[-2:])
    out = np.asarray(cv2.LUT(flat, table[None] if table.ndim == 2 else table), np.uint8)
    return out.reshape(pixels.shape)


def _autocontrast(frame: Pixels) -> Pixels:
    """Stretch each channel to 0 … 255."""
    import cv2

    low, high = (cv2.reduce(frame, 0, way).reshape(-1, frame.shape[2]) for way in (cv2.REDUCE_MIN, cv2.REDUCE_MAX))
    low, high = low.min(0).astype(np.float64), high.max(0).astype(np.float64)
    flat = high == low
    scale = np.where(flat, 1, 255 / np.where(flat, 1, high - low))
    return _looked_up(frame, (RAMP[:, None] - np.where(flat, 0, low)) * scale)


def equalize(frame: Pixels) -> Pixels:
    """Make the histogram of each channel even, in the way of PIL."""
    import cv2

    tables = np.empty((256, frame.shape[2]))
    for channel in range(frame.shape[2]):
        counts = cv2.calcHist([frame], [channel], None, [256], [0, 256]).ravel().astype(np.int64)
        step = int(counts.sum() - counts[counts.nonzero()[0][-1]]) // 255
        before = np.concatenate([[0], counts.cumsum()[:-1]])
        tables[:, channel] = (before + step // 2) // step if step else RAMP
    return _looked_up(frame, tables)


def _contrast(frame: Pixels, factor: float) -> Pixels:
    """Blend with the mean gray."""
    import cv2

    means = cv2.mean(frame)
    gray = np.dot(means[:3], LUMA) if frame.shape[2] == 3 else means[0]
    return _looked_up(frame, factor * RAMP + (1 - factor) * gray)


def _color(frame: Pixels, factor: float) -> Pixels:
    """Blend with the gray version."""
    import cv2

    if frame.shape[2] == 1:
        return frame
    return np.asarray(cv2.transform(frame, factor * np.eye(3) + (1 - factor) * np.array([LUMA] * 3)), np.uint8)


def _sharpness(frame: Pixels, factor: float) -> Pixels:
    """Blend with a smoothed version; the border stays."""
    import cv2

    kernel = np.full((3, 3), (1 - factor) / 13)
    kernel[1, 1] = factor + (1 - factor) * 5 / 13
    out = frame.copy()
    if min(frame.shape[:2]) > 2:
        out[1:-1, 1:-1] = cv2.filter2D(frame, -1, kernel).reshape(frame.shape)[1:-1, 1:-1]
    return out
