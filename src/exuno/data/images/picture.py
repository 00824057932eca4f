"""The one decoder of pictures: the bytes of a file -> RGB bytes, wherever they were found. No torch.

JPEG files that every decoder reads alike: they may take the fast way, all other files take Pillow's.
"""

import io
import re
import struct
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exuno.data.images.deep import Deep, by_opencv, deep, eight_bits
from exuno.engine.errors import ExunoError
from exuno.engine.untrusted import PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

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


KNOWN = "JPEG, PNG, WebP, TIFF, … are known."
AGAIN = "Copy or download it again."
STARTS = {
    b"version https://git-lfs": ("is a Git LFS pointer, not the picture itself", "Run git lfs pull where it lies."),
    b"%PDF": ("is a PDF document, not a picture", "Save its pages as PNG."),
    b"PK\x03\x04": ("is a ZIP archive, not a picture", "Unpack it."),
    b"\x1f\x8b": ("is a gzip archive, not a picture", "Unpack it."),
    b"\x89HDF": ("is an HDF5 file, not a picture", "Save its arrays as PNG or npz."),
    b"\x93NUMPY": ("is an array of NumPy, not a picture", "Save it as PNG or npz."),
}
"""How files begin that are something else, what they are, and what to do."""


def decode(content: bytes, name: str, bits: int | None = None) -> NDArray[np.uint8]:
    """A picture as uint8 [H, W, 3], RGB, in [0, 255].

    It is turned as its EXIF tag says; of several frames or pages the first is taken. Transparency is laid on white, the
    colour of paper. More than 8 bits are scaled to 8 (:func:`exuno.data.images.deep.eight_bits`).

    Args:
        content: the bytes of its file.
        name: of it, for messages.
        bits: of a picture that holds more than 8 bits a channel, how many its numbers fill: ``2 ** bits - 1`` is white.

    Raises:
        ExunoError: not a complete picture, or values that cannot be scaled.
    """
    pixels = _fast(content) if plain_size(content) else None
    if pixels is not None:
        return pixels
    found = stored(content, name)
    return eight_bits(found, name, bits) if isinstance(found, Deep) else found


def _fast(content: bytes) -> NDArray[np.uint8] | None:
    """A plain JPEG file by OpenCV: the pixels of Pillow in half its time; None where it gives up."""
    import cv2

    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return None if found is None else np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB, found), np.uint8)


def stored(content: bytes, name: str) -> NDArray[np.uint8] | Deep:
    """A picture by Pillow: RGB bytes, or what is in it where that is more than 8 bits; see :func:`decode`."""
    from PIL import UnidentifiedImageError

    for start, (what, todo) in STARTS.items():
        if content.startswith(start):
            raise ExunoError(f"{name} {what}", todo)
    try:
        with opened(content, name) as image:
            found = deep(image, content)
            return _rgb(image) if found is None else found
    except ExunoError:
        raise
    except UnidentifiedImageError:
        found = by_opencv(content) if content[:2] in (b"II", b"MM") else None  # forms of TIFF that Pillow has not
        if found is not None:
            return found
        what, todo = _something_else(content)
        raise ExunoError(f"{name} {what}", todo) from None
    except Exception as error:  # decoders of broken files raise whatever they trip over
        raise ExunoError(f"the picture {name} is damaged or incomplete ({error})", AGAIN) from error


def opened(content: bytes, name: str) -> "PILImage":
    """A picture whose header alone was read.

    Raises:
        ExunoError: it has more than ``EXUNO_MAX_PIXELS``.
    """
    from PIL import Image

    theirs, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # exuno has a limit of its own, which can be raised
    try:
        image = Image.open(io.BytesIO(content))
    finally:
        Image.MAX_IMAGE_PIXELS = theirs
    PIXELS.check(image.width * image.height, name)
    return image


def from_pillow(image: "PILImage", name: str) -> NDArray[np.uint8]:
    """The same for an image that another library has opened."""
    found = deep(image)
    return _rgb(image) if found is None else eight_bits(found, name)


def gray(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] -> [H, W] (ITU-R BT.601); what is gray stays what it is."""
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).convert("L"))


def _rgb(image: "PILImage") -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    image.load()
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _something_else(content: bytes) -> tuple[str, str]:
    """What the bytes of no picture are, as the end of a sentence, and what to do."""
    if not content:
        return "is an empty file, not a picture", AGAIN
    if not content.strip(b"\0"):
        return "holds nothing but zeros, no picture", AGAIN
    if content[4:8] == b"ftyp" and content[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
        return "is a HEIC picture, which is not read", "Save it as JPEG or PNG."
    if content[:2] == b"\xff\x0a" or content[4:12] == b"JXL \r\n\x87\n":
        return "is a JPEG XL picture, which is not read", "Save it as JPEG or PNG."
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "is a kind of TIFF that is not read", "Save it with 1, 3 or 4 channels of 8 or 16 bits."
    beginning = content[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()
    if re.match(rb"(?i)<!doctype html|<html|<head|<script|(<\?xml|<!--).*<html", beginning, re.DOTALL):
        return "is a web page, not a picture", "Its download was refused or moved: open the address in a browser."
    if re.match(rb"(?i)<svg|(<\?xml|<!doctype svg|<!--).*<svg", beginning, re.DOTALL):
        return "is a drawing in SVG, not pixels", "Save it as PNG."
    if b"/annex/objects/" in beginning:
        return "is a pointer of git-annex, not the picture itself", "Run git annex get where it lies."
    text = beginning.decode("utf-8", "replace")
    if "\ufffd" not in text[:-1] and all(each.isprintable() or each.isspace() for each in text[:-1]):
        return f"is a text, not a picture of a known format; it begins with '{' '.join(text.split())[:40]}'", KNOWN
    return "is not a picture of a known format", KNOWN
