"""Pictures of more than 8 bits a channel: what a file holds, and how it becomes 8 bits. No torch."""

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exuno.engine.errors import ExunoError, tell

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

SUFFIXES = (".png", ".apng", ".tif", ".tiff", ".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc", ".ppm", ".pgm", ".pnm")
"""Of files that can hold more than 8 bits."""
PROBED = 32
"""Files of a data set that are looked at when it is opened."""
USUAL = (8, 10, 12, 14)
"""Bits of sensors and converters whose numbers are stored in files of 16 bits."""
BITS, PHOTOMETRIC, EXTRA, FORMAT, ORIENTATION = 258, 262, 338, 339, 274
"""Tags of TIFF; the last one also of EXIF."""
TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}
"""What brings a picture with an EXIF orientation upright."""


class Deep(NamedTuple):
    """A picture as it is stored."""

    values: NDArray[Any]
    """Gray [H, W] or RGB [H, W, 3]: integers or floats, upright."""
    alpha: NDArray[Any] | None = None
    """[H, W]: bool (opaque or not), or integers of the same kind as the values."""
    top: int = 65535
    """The integer that is white."""
    inverted: bool = False
    """Whether 0 is white instead, and ``top`` black."""


def split_bits(spec: str) -> tuple[str, int | None]:
    """``PATH@12bit`` -> (PATH, 12); (spec, None) without such an ending, and where a file has that very name.

    Raises:
        ExunoError: less than 1 bit, or more than 32.
    """
    match = re.fullmatch(r"(.+)@(\d+)bits?", spec)
    if match is None or Path(spec).exists():
        return spec, None
    bits = int(match[2])
    if not 1 <= bits <= 32:
        raise ExunoError(f"'{spec}' asks for {bits} bits", "Give 1 to 32, as in PATH@12bit: then 4095 is white.")
    return match[1], bits


def deep(image: "PILImage", content: bytes = b"") -> Deep | None:
    """What is in an opened picture of more than 8 bits a channel; None for one of 8 bits (or fewer), or one whose
    channels no library reads whole (CMYK).

    Args:
        image: as Pillow opened it.
        content: the bytes of its file: Pillow drops the lower half of each 16-bit channel, OpenCV does not. Without
            them an image in colour is taken as Pillow has it.
    """
    tags: Any = getattr(image, "tag_v2", {})
    bits, sample = tags.get(BITS, (8,))[0], tags.get(FORMAT, (1,))[0]
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image.load()
        values = np.asarray(image)
        if image.mode == "F":
            return Deep(_upright(values, image))
        if image.format != "TIFF":
            clear = image.info.get("transparency")
            alpha = None if clear is None else _upright(values != clear, image)
            return Deep(_upright(values, image), alpha)
        if sample == 1 and bits == 32:
            values = values.view(np.uint32)  # Pillow takes it for signed
        top = 2 ** (bits - (sample == 2)) - 1 if bits <= 16 else 65535
        return Deep(values, None, top, inverted=tags.get(PHOTOMETRIC) == 0)
    if image.mode not in ("RGB", "RGBA", "LA") or not content:
        return None
    if image.format == "PNG":
        top = 65535 if content[24] == 16 else 255
    elif image.format == "TIFF":  # colours that were multiplied by their opacity are left to Pillow
        top = 65535 if bits == 16 and 1 not in tags.get(EXTRA, ()) else 255
    elif image.format == "JPEG2000":
        start = content.find(b"\xff\x4f\xff\x51")  # of the codestream; the precision is 42 bytes further
        top = 2 ** ((content[start + 42] & 0x7F) + 1) - 1 if start >= 0 else 255
    elif image.format == "PPM":
        match = re.match(rb"P\d(?:\s+(?:#[^\n]*\n\s*)*\d+){2}\s+(?:#[^\n]*\n\s*)*(\d+)", content)
        top = int(match[1]) if match else 255
    else:
        return None
    if top <= 255:
        return None
    image.load()  # tells of what is cut off, which OpenCV passes over
    return by_opencv(content, top, image if image.format != "TIFF" else None)


def by_opencv(content: bytes, top: int = 65535, image: "PILImage | None" = None) -> Deep | None:
    """What OpenCV finds in a file, if that is more than 8 bits a channel; ``image`` has the EXIF tag by which to turn
    it (OpenCV turns TIFF by itself)."""
    import cv2

    # OpenCV 5 has moved it, and the stubs know one of the two.
    quiet: Any = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    quiet(0)
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype.itemsize == 1 or (found.ndim == 3 and found.shape[2] not in (1, 3, 4)):
        return None
    if image is not None:
        found = _upright(found, image)
    if found.ndim == 2 or found.shape[2] == 1:
        return Deep(found.reshape(found.shape[:2]), top=top)
    return Deep(found[..., 2::-1], found[..., 3] if found.shape[2] == 4 else None, top)


def _upright(values: NDArray[Any], image: "PILImage") -> NDArray[Any]:
    turn = None if image.format == "TIFF" else TURNS.get(image.getexif().get(ORIENTATION, 1))
    return turn(values) if turn else values


def eight_bits(found: Deep, name: str, bits: int | None = None) -> NDArray[np.uint8]:
    """uint8 [H, W, 3], RGB, laid on white.

    Integers are divided by ``2 ** bits - 1`` where ``bits`` are given, else by what the file takes for white (65535;
    their own maximum where that is larger), times 255. Floats in [0, 1] are multiplied by 255 and others taken as they
    are, or divided like integers where ``bits`` are given.

    Args:
        found: the picture.
        name: of it, for messages.
        bits: that the numbers fill.

    Raises:
        ExunoError: negative values, values beyond ``bits``, floats that are infinite, no numbers or beyond 255; an
            opacity likewise.
    """
    values, top, alpha = found.values, found.top, found.alpha
    floats = values.dtype.kind == "f"
    if floats and not np.isfinite(values).all():
        raise ExunoError(f"{name} has pixels that are infinite or not a number", "Replace them first.")
    if alpha is not None and alpha.dtype.kind == "f" and not ((alpha >= 0) & (alpha <= 255)).all():
        raise ExunoError(f"{name} has an opacity that is no number from 0 to 255", "Scale it to [0, 1] or [0, 255].")
    low, high = values.min().item(), values.max().item()
    if bits is not None and (not floats or high > 1):
        top = 2**bits - 1
        if high > top:
            raise ExunoError(
                f"{name} has values up to {high:,}, and {bits} bits end at {top:,}", "Give more bits behind the @."
            )
    elif floats:
        top = 1 if high <= 1 else 255
    elif high > top:
        top = high
    if low < 0 or high > top:
        raise ExunoError(
            f"the values of {name} go from {low:g} to {high:g}",
            "Scale them to [0, 1] or [0, 255]." if floats else "Shift them so that the lowest is 0.",
        )
    if values.dtype.itemsize == 2 and not floats:
        pixels = np.rint(np.arange(high + 1) * (255 / top)).astype(np.uint8)[values]
    else:
        pixels = np.rint(values.astype(np.float64) * (255 / top)).astype(np.uint8)
    if found.inverted:
        pixels = 255 - pixels
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, 2)
    if alpha is not None:
        pixels = _on_white(pixels, alpha, top)
    return np.ascontiguousarray(pixels)


def _on_white(pixels: NDArray[np.uint8], alpha: NDArray[Any], top: int) -> NDArray[np.uint8]:
    if alpha.dtype == bool:
        return np.where(alpha[..., None], pixels, np.uint8(255))
    if alpha.dtype.kind == "f":
        opaque = 1 if alpha.max() <= 1 else 255
    else:  # 12-bit colours usually have an opacity of 16 bits
        opaque = top if alpha.max() <= top else np.iinfo(alpha.dtype).max
    return np.rint(255 - (255 - pixels.astype(np.float32)) * (alpha / np.float32(opaque))[..., None]).astype(np.uint8)


def tell_depth(spec: str, bits: int | None, names: Sequence[str], read: Callable[[int], bytes]) -> None:
    """Looks at some files of a data set, and tells once where white seems to be another number than the file takes for
    white, and what to type; or that no picture has more than 8 bits though ``bits`` were given.

    Args:
        spec: of the data set, without bits.
        bits: those that were given.
        names: of the files.
        read: position -> the bytes of a file.
    """
    able = [i for i, name in enumerate(names) if name.lower().endswith(SUFFIXES)]
    found = [high for i in able[:: max(1, len(able) // PROBED)] if (high := _highest(read, i)) is not None]
    high, seen = max(found, default=0), f" in {len(found)} pictures looked at" if len(names) > 1 else ""
    if bits is not None:
        if not found:
            tell(f"{spec} has no pictures of more than 8 bits, as far as was looked: @{bits}bit does nothing", spec)
    elif high > 65535:
        likely = f"{spec}@{high.bit_length()}bit"
        tell(f"{spec} has values up to {high:,}{seen}: each is scaled by its highest, or all alike by {likely}", spec)
    elif 0 < high < 2 ** USUAL[-1]:
        likely = next(each for each in USUAL if high < 2**each)
        tell(
            f"{spec} has 16 bits a channel or more, and values up to {high:,} only{seen}, so it looks dark; "
            f"if it holds {likely}-bit data, {spec}@{likely}bit takes {2**likely - 1:,} for white",
            spec,
        )


def _highest(read: Callable[[int], bytes], position: int) -> int | None:
    """The highest integer in a picture of more than 8 bits; 0 where its file says how many bits it fills, and of
    floats; None for one of 8 bits and for what is no picture."""
    from PIL import Image

    try:
        content = read(position)
        with Image.open(io.BytesIO(content)) as image:
            found = deep(image, content)
    except Exception:  # whoever decodes it tells what is wrong
        return None
    if found is None:
        return None
    scaled = found.values.dtype.kind in "iu" and found.top >= 32767 and found.values.min() >= 0
    return int(found.values.max()) if scaled else 0
