"""JPEG files that every decoder reads alike: they may take the fast way, all other files take Pillow's."""

import io
import struct

from exuno.engine.limits import PIXELS

BASELINE, EXTENDED, PROGRESSIVE = 0xC0, 0xC1, 0xC2
SCAN, APP1 = 0xDA, 0xE1
ORIENTATION = 0x0112


def plain_size(content: bytes) -> tuple[int, int] | None:
    """(height, width) of the image in the bytes of a plain JPEG file; None for every other content.

    Plain: 8 bits, gray or three channels, upright, complete (the last two bytes are the marker of the end), and not
    larger than ``EXUNO_MAX_PIXELS``. Pillow, OpenCV and DALI decode it by the same library to the same pixels.
    """
    if content[:2] != b"\xff\xd8" or content[-2:] != b"\xff\xd9":
        return None
    size, tagged, at = None, False, 2
    while at + 10 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == SCAN:
            break
        if marker in (BASELINE, EXTENDED, PROGRESSIVE):
            bits, height, width, channels = struct.unpack_from(">BHHB", content, at + 4)
            if bits != 8 or channels not in (1, 3) or size is not None:
                return None
            size = (height, width)
        elif marker == 0xFF or marker < 0xC0 or 0xD0 <= marker <= 0xD9:
            return None  # fill bytes and markers without a length: rare here
        tagged = tagged or marker == APP1
        at += 2 + int.from_bytes(content[at + 2 : at + 4])
    else:
        return None
    if size is None or min(size) == 0 or size[0] * size[1] > PIXELS.value or (tagged and _turned(content)):
        return None
    return size


def _turned(content: bytes) -> bool:
    """Whether a tag says that the image does not lie as it is stored."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.getexif().get(ORIENTATION, 1) != 1
    except Exception:  # a broken tag: whoever opens the file next says what is wrong
        return True
