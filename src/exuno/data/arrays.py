"""Arrays of images as people store them -> uint8 [N, C, H, W]. NumPy only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.engine.errors import ExunoError
from exuno.engine.tell import tell

FORMS = "Images are uint8 [N, H, W] (gray) or [N, H, W, 3] (RGB)."
GRID = 0.01
"""How far, in steps of 8 bits, numbers may lie from whole ones and still be called exact."""


def as_images(found: NDArray[Any], what: str, scale: float | None = None) -> tuple[NDArray[np.uint8], float | None]:
    """Images as uint8 [N, C, H, W], C = 1 or 3, and what floats were multiplied by.

    uint8 [N, H, W] and [N, H, W, 1 or 3] are taken as they are. [N, 1 or 3, H, W], other integers in 0..255, booleans,
    and floats in [0, 1] (times 255) or [0, 255], rounded to 8 bits, are recognised and told.

    Args:
        found: the array.
        what: it is, for messages.
        scale: what floats are multiplied by, if another part of the data has told: a dark part would mislead.

    Raises:
        ExunoError: another form, such as rows of pixels without a height, or numbers that are no pixels.
    """
    shape = list(found.shape)
    if found.dtype.kind not in "buif":
        raise ExunoError(f"{what} is {found.dtype} {shape}", FORMS)
    if found.ndim == 2:
        raise ExunoError(f"{what} is {found.dtype} {shape}: rows of pixels without height and width", _unflatten(shape))
    first = found.ndim == 4 and shape[3] not in (1, 3) and shape[1] in (1, 3)
    if found.ndim == 4 and not first and shape[3] not in (1, 3):
        todo = "Leave out the fourth channel (images[..., :3]), if it is transparency." if 4 in shape[1::2] else FORMS
        raise ExunoError(f"{what} is {found.dtype} {shape}, of neither 1 nor 3 channels", todo)
    if found.ndim not in (3, 4) or 0 in shape[1:]:
        raise ExunoError(f"{what} is {found.dtype} {shape}", FORMS)
    images = found[:, None] if found.ndim == 3 else found if first else found.transpose(0, 3, 1, 2)
    pixels, scale, words = _eight_bits(images, what, scale)
    if first:
        words = [f"{shape} as [N, channels, height, width]", *words]
    if words:
        tell(f"{what}: read {', '.join(words)}")
    return pixels, scale if found.dtype.kind == "f" else None


def _eight_bits(images: NDArray[Any], what: str, scale: float | None) -> tuple[NDArray[np.uint8], float, list[str]]:
    if images.dtype == np.uint8:
        return images, 1.0, []
    if not images.size:
        return images.astype(np.uint8), scale or 1.0, []
    low, high = float(images.min()), float(images.max())
    span = f"{what} is {images.dtype} from {low:g} to {high:g}"
    if not np.isfinite([low, high]).all():
        raise ExunoError(f"{what} has values that are not a number, or infinite", "Replace them first.")
    if scale is None:
        scale = 255.0 if images.dtype.kind == "b" or (images.dtype.kind == "f" and high <= 1) else 1.0
    if low * scale < -0.5:
        raise ExunoError(span, "Undo its normalisation: pixels are from 0 to 255, or floats from 0 to 1.")
    if high * scale > 255.5:
        raise ExunoError(span, "Scale it to 0 to 255 (16 bits: images // 257), or floats from 0 to 1.")
    values = images.astype(np.float32) * np.float32(scale)
    pixels = np.rint(values).clip(0, 255).astype(np.uint8)
    if images.dtype.kind != "f":
        return pixels, scale, [f"{images.dtype} as 8 bits"]
    exact = float(np.abs(values - pixels).max()) <= GRID
    return pixels, scale, [f"{images.dtype} up to {255 / scale:g}" + (" as 8 bits" if exact else ", rounded to 8 bits")]


def _unflatten(shape: list[int]) -> str:
    for channels in (1, 3):
        side = round((shape[1] / channels) ** 0.5)
        if side > 1 and side * side * channels == shape[1]:
            last = ", 3" if channels == 3 else ""
            return f"Give them their shape, perhaps images.reshape(-1, {side}, {side}{last})."
    return "Give them their shape: images.reshape(-1, height, width)."
