"""AugMix (Hendrycks et al., ICLR 2020, arXiv 1912.02781): an image mixed with three chains of simple operations.

Operations and strengths are those of torchvision's ``AugMix`` (width 3, depth 1 to 3, α = 1). Here a draw is a row of
numbers, so a clip's frames share one; and an operation is a look-up table, a warp or a filter of OpenCV.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data import rng
from exuno.data.base import Images
from exuno.data.constants import LUMA
from exuno.engine.errors import ExunoError

STREAM = "augmix"
WIDTH, DEPTH = 3, 3
LEVELS = 10
OPERATIONS = (
    *("shear_x", "shear_y", "translate_x", "translate_y", "rotate"),
    *("posterize", "solarize", "autocontrast", "equalize", "brightness", "color", "contrast", "sharpness"),
)
SLOTS = 1 + 2 * WIDTH + 3 * WIDTH * DEPTH

Pixels = NDArray[np.uint8]
RAMP = np.arange(256)


def augmix(images: Images, severity: int, seed: int, draws: NDArray[np.int64]) -> Images:
    """Mix each image with chains of operations of itself.

    Args:
        images: uint8 [B, C, H, W] or clips [B, C, T, H, W], C = 1 or 3, or a list of such images of varying size. All
            frames of a clip get the same operations; what these take from a picture, such as its histogram, is that of
            the frame.
        severity: 1 to 10; the strength of each operation is one of so many.
        seed: the run's seed.
        draws: the number of each draw, int64 [B].

    Returns:
        The same kind of uint8 images.

    Raises:
        ExunoError: for images that are no pixels, such as those of a poster.
    """
    if images[0].dtype != torch.uint8:
        raise ExunoError(
            "AugMix is for pixels, and these images are numbers of any size", "Leave out --augment.augmix."
        )
    numbers = rng.uniforms(seed, STREAM, draws, SLOTS)
    out = []
    for image, row in zip(images, numbers, strict=True):
        clip = image.unsqueeze(1) if image.ndim == 3 else image
        frames = np.ascontiguousarray(clip.permute(1, 2, 3, 0).numpy())
        mixed = torch.from_numpy(_mixed(frames, severity, row)).permute(3, 0, 1, 2)
        out.append(mixed[:, 0] if image.ndim == 3 else mixed)
    return torch.stack(out) if isinstance(images, Tensor) else out


def _mixed(frames: Pixels, severity: int, numbers: NDArray[np.float64]) -> Pixels:
    """One draw: Beta(1, 1) is uniform, and exponential numbers over their sum are Dirichlet(1, 1, 1)."""
    share, shares, depths = numbers[0], -np.log1p(-numbers[1 : 1 + WIDTH]), numbers[1 + WIDTH : 1 + 2 * WIDTH]
    steps = numbers[1 + 2 * WIDTH :].reshape(WIDTH, DEPTH, 3)
    weights = shares / max(shares.sum(), 1e-12) * (1 - share)
    total = np.multiply(frames, np.float32(share), dtype=np.float32)
    for chain in range(WIDTH):
        changed = frames
        for kind, strength, side in steps[chain, : 1 + int(depths[chain] * DEPTH)]:
            name = OPERATIONS[int(kind * len(OPERATIONS))]
            changed = apply(changed, name, int(strength * severity), side < 0.5)
        total += np.multiply(changed, np.float32(weights[chain]), dtype=np.float32)
    return np.rint(total).astype(np.uint8)


def apply(frames: Pixels, name: str, level: int, negative: bool) -> Pixels:
    """One operation at one of ten levels, 0 being the weakest: uint8 [T, H, W, C] -> the same shape."""
    sign, part = -1 if negative else 1, level / (LEVELS - 1)
    if name in OPERATIONS[:5]:
        return _warped(frames, _matrix(name, sign, part, frames.shape[1], frames.shape[2]))
    if name == "posterize":
        return _looked_up(frames, RAMP & (256 - (1 << (8 - (4 - round(4 * part))))))
    if name == "solarize":
        return _looked_up(frames, np.where(255 * (1 - part) <= RAMP, 255 - RAMP, RAMP))
    if name == "brightness":
        return _looked_up(frames, np.clip(RAMP * (1 + sign * 0.9 * part), 0, 255))
    each = {
        "autocontrast": _autocontrast,
        "equalize": _equalize,
        "contrast": lambda frame: _contrast(frame, 1 + sign * 0.9 * part),
        "color": lambda frame: _color(frame, 1 + sign * 0.9 * part),
        "sharpness": lambda frame: _sharpness(frame, 1 + sign * 0.9 * part),
    }[name]
    return np.stack([each(frame).reshape(frame.shape) for frame in frames])


def _matrix(name: str, sign: int, part: float, height: int, width: int) -> NDArray[np.float64]:
    """Place in the result -> place in the image, 2 x 3, for pixel centres at whole numbers."""
    if name in ("translate_x", "translate_y"):
        move = int(sign * part * (width if name == "translate_x" else height) / 3)
        return np.array([[1, 0, -move], [0, 1, 0]] if name == "translate_x" else [[1, 0, 0], [0, 1, -move]], np.float64)
    if name in ("shear_x", "shear_y"):  # about the corner of the picture, half a pixel before the first centre
        slant = sign * 0.3 * part
        rows = [[1, slant, slant / 2], [0, 1, 0]] if name == "shear_x" else [[1, 0, 0], [slant, 1, slant / 2]]
        return np.array(rows, np.float64)
    angle = np.deg2rad(sign * 30 * part)
    cos, sin, x, y = np.cos(angle), np.sin(angle), (width - 1) / 2, (height - 1) / 2
    return np.array([[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]])


def _warped(frames: Pixels, matrix: NDArray[np.float64]) -> Pixels:
    import cv2

    flags, size = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, (frames.shape[2], frames.shape[1])
    out = np.empty_like(frames)
    for frame, into in zip(frames, out, strict=True):
        cv2.warpAffine(frame, matrix, size, dst=into, flags=flags)
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


def _equalize(frame: Pixels) -> Pixels:
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
