"""AugMix (Hendrycks et al., ICLR 2020, arXiv 1912.02781): an image mixed with three chains of simple operations.

Width 3, depth 1 to 3, α = 1. Here a draw is a row of numbers, so a clip's frames share one. What the operations are is
in :mod:`exuno.data.augmentation.augmix`, and in :mod:`exuno.data.augmentation.augmix` for published numbers.

The operations of AugMix (Hendrycks et al., arXiv 1912.02781), in the strengths of torchvision's ``AugMix``: each is
a look-up table, a warp or a filter of OpenCV.

The operations of AugMix as the published video experiment applies them (Asano and Saeed, arXiv 2112.00725): those of
pytorchvideo 0.1.3, whose colours are made for floats in [0, 1], on floats in [0, 255].

So warps do what they say, and beyond the border they put 0.5, which is black here. Autocontrast, brightness, colour,
contrast and sharpness end in [0, 1], which is nearly black; equalisation and posterisation multiply by 255, keep the
last eight bits, and end there as well; solarisation gives 1 - v, a negative below black. A chain thus mostly darkens.
"""

from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data import rng
from exuno.data.base import Images
from exuno.data.constants import LUMA
from exuno.engine.errors import ExunoError

LEVELS = 10
WARPS = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
OPERATIONS = (
    *WARPS,
    *("posterize", "solarize", "autocontrast", "equalize", "brightness", "color", "contrast", "sharpness"),
)

Pixels = NDArray[np.uint8]
SameFrames = TypeVar("SameFrames", NDArray[np.uint8], NDArray[np.float32])
RAMP = np.arange(256)


def apply_paper(frames: Pixels, name: str, level: int, negative: bool) -> Pixels:
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


def warped(frames: SameFrames, matrix: NDArray[np.float64], border: float = 0) -> SameFrames:
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


LEAST = 0.1
"""The weakest level; the strongest is the severity."""
STRONGEST = 10

Values = NDArray[np.float32]


def apply_reference(frames: Values, name: str, level: float, negative: bool) -> Values:
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


STREAM = "augmix"
WIDTH, DEPTH = 3, 3
SLOTS = 1 + 2 * WIDTH + 3 * WIDTH * DEPTH

Formula = Literal["paper", "reference"]
Frames = NDArray[np.uint8] | NDArray[np.float32]


def augmix(images: Images, severity: int, seed: int, draws: NDArray[np.int64], formula: Formula = "paper") -> Images:
    """Mix each image with chains of operations of itself.

    Args:
        images: uint8 [B, C, H, W] or clips [B, C, T, H, W], C = 1 or 3, or a list of such images of varying size. All
            frames of a clip get the same operations; what these take from a picture, such as its histogram, is that of
            the frame.
        severity: 1 to 10; the strength of each operation is one of so many, or of ``reference`` any up to it.
        seed: the run's seed.
        draws: the number of each draw, int64 [B].
        formula: ``paper``, or ``reference``: as the published code of the video experiment applies it.

    Returns:
        The same kind of images: uint8; of ``reference`` float32, in units in which white is 1, from -1 to 1.

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
        if formula == "reference":
            made = _mixed(frames.astype(np.float32), severity, row, formula) / np.float32(255)
        else:
            made = np.rint(_mixed(frames, severity, row, formula)).astype(np.uint8)
        mixed = torch.from_numpy(made).permute(3, 0, 1, 2)
        out.append(mixed[:, 0] if image.ndim == 3 else mixed)
    return torch.stack(out) if isinstance(images, Tensor) else out


def _mixed(frames: Frames, severity: int, numbers: NDArray[np.float64], formula: Formula) -> NDArray[np.float32]:
    """One draw: Beta(1, 1) is uniform, and exponential numbers over their sum are Dirichlet(1, 1, 1)."""
    share, shares, depths = numbers[0], -np.log1p(-numbers[1 : 1 + WIDTH]), numbers[1 + WIDTH : 1 + 2 * WIDTH]
    steps = numbers[1 + 2 * WIDTH :].reshape(WIDTH, DEPTH, 3)
    weights = shares / max(shares.sum(), 1e-12) * (1 - share)
    total = np.multiply(frames, np.float32(share), dtype=np.float32)
    for chain in range(WIDTH):
        changed: Any = frames
        for kind, strength, side in steps[chain, : 1 + int(depths[chain] * DEPTH)]:
            name, negative = OPERATIONS[int(kind * len(OPERATIONS))], side < 0.5
            if formula == "reference":
                level = LEAST + strength * (severity - LEAST)
                changed = apply_reference(changed, name, level, negative)
            else:
                changed = apply_paper(changed, name, int(strength * severity), negative)
        total += np.multiply(changed, np.float32(weights[chain]), dtype=np.float32)
    return total
