"""The picture of a poster as a PNG file, written and read."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exuno.data.poster.quantisation import packed, top
from exuno.engine.errors import ExunoError


def png(pixels: NDArray[np.uint8], bits: int = 8, colours: NDArray[np.uint8] | None = None) -> bytes:
    """A poster as a PNG file: one that is gray or has a palette of as many bits a pixel as it has, other colours of 8 a
    channel.

    Args:
        pixels: uint8 [C, H, W], C = 1 or 3, multiples of 255 / (2^bits - 1).
        bits: 2, 4 or 8.
        colours: of a palette, uint8 [2^bits, 1 or 3]; pixels are its numbers, times 255 / (2^bits - 1).
    """
    from PIL import Image

    stream = io.BytesIO()
    if colours is not None:
        numbers = Image.fromarray(pixels[0] // (255 // top(bits)), "P")
        numbers.putpalette(np.broadcast_to(colours, (len(colours), 3)).tobytes())
        numbers.save(stream, format="PNG", bits=bits, optimize=False)
        return stream.getvalue()
    if len(pixels) == 1 and bits < 8:
        return _gray_png(pixels[0] // (255 // top(bits)), bits)
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _gray_png(levels: NDArray[np.uint8], bits: int) -> bytes:
    """Levels [H, W] of 1, 2 or 4 bits as a gray PNG file of that depth, which Pillow reads and does not write (PNG
    specification, W3C, sections 5, 7 and 11)."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = levels.shape
    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    rows = b"".join(b"\0" + packed(row, bits).tobytes() for row in levels)  # 0: no filter, which suits few levels
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def picture(path: Path, bits: int | None = None) -> NDArray[np.uint8]:
    """uint8 [C, H, W] of a gray or RGB PNG file; gray of fewer than 8 bits is spread over 0 to 255, and so are the
    numbers of a palette of 2^``bits`` colours where one is looked for."""
    from PIL import Image

    if not path.is_file():
        raise ExunoError(f"{path.name} is missing")
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if bits is not None:
                if image.mode != "P":
                    raise ExunoError(f"{path.name} is a picture of mode {image.mode}, not one with a palette")
                numbers = np.array(image, np.uint8)
                if bits not in (2, 4, 8) or numbers.max() > top(bits):
                    raise ExunoError(f"{path.name} has pixels beyond its palette of {bits} bits")
                return numbers[None] * np.uint8(255 // top(bits))
            if image.mode not in ("L", "RGB"):
                raise ExunoError(f"{path.name} is a picture of mode {image.mode}, not 8-bit gray or RGB")
            pixels = np.array(image, np.uint8)
    except ExunoError:
        raise
    except Exception as error:  # Pillow raises OSError, SyntaxError, DecompressionBombError, … for a damaged file
        raise ExunoError(f"{path.name} is no whole PNG file ({type(error).__name__})") from error
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
