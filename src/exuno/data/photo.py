"""One picture as RGB bytes: a file, a photograph that comes with scikit-image, or noise. No torch."""

import hashlib
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exuno.data.jpeg import plain_size, read_bytes
from exuno.data.rng import generator
from exuno.engine.errors import ExunoError
from exuno.engine.files import existing

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

EMBEDDED = {
    "astronaut": "astronaut.png",
    "brick": "brick.png",
    "camera": "camera.png",
    "cat": "chelsea.png",
    "chelsea": "chelsea.png",
    "clock": "clock_motion.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "hubble": "hubble_deep_field.jpg",
    "ihc": "ihc.png",
    "moon": "moon.png",
    "motorcycle": "motorcycle_left.png",
    "page": "page.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
    "text": "text.png",
}
"""Names of ``photo:NAME`` and the files of scikit-image they stand for."""

NOISE_SIDE = 512
"""Side of a ``noise:SEED`` picture in pixels."""

FORMS = "PATH of a picture, photo:NAME or noise:SEED"


def load_photo(spec: str | Path) -> NDArray[np.uint8]:
    """The picture as uint8 [H, W, 3], RGB, in [0, 255].

    ``noise:SEED`` is 512 x 512 pixels, each channel uniform and independent. A file is turned as its EXIF tag says; of
    several frames the first is taken. Transparent pictures are laid on white, the colour of paper. 16 bits are scaled
    to 8 (32-bit integers too, by their maximum where that is beyond 16 bits); float pictures in [0, 1] are multiplied
    by 255 and others taken as they are.

    Raises:
        ExunoError: no such file or name, a folder, or not a complete picture.
    """
    text = str(spec)
    if text.startswith("noise:"):
        return generator(_noise_seed(text), "noise").integers(0, 256, (NOISE_SIDE, NOISE_SIDE, 3), np.uint8)
    return _decode(source_path(spec))


def photo_sha256(spec: str | Path) -> str:
    """SHA-256 of the bytes of the picture's file, of the pixels for ``noise:SEED``; hexadecimal."""
    if str(spec).startswith("noise:"):
        return hashlib.sha256(load_photo(spec).tobytes()).hexdigest()
    return hashlib.sha256(source_path(spec).read_bytes()).hexdigest()


def source_path(spec: str | Path) -> Path:
    """The file behind a path or ``photo:NAME``; ExunoError where there is none."""
    text = str(spec)
    if text.startswith("photo:"):
        return _embedded(text.removeprefix("photo:"))
    return existing(Path(spec), "picture", FORMS)


def _noise_seed(text: str) -> int:
    try:
        return int(text.removeprefix("noise:"))
    except ValueError:
        raise ExunoError(f"'{text}' has no whole number after noise:", "For example: noise:0.") from None


def _embedded(name: str) -> Path:
    if name not in EMBEDDED:
        near = get_close_matches(name, EMBEDDED, 1)
        hint = f"Did you mean photo:{near[0]}? " if near else ""
        raise ExunoError(f"there is no photograph 'photo:{name}'", f"{hint}The names are: {', '.join(EMBEDDED)}.")
    package = find_spec("skimage")  # its folder without importing it, which takes seconds
    path = Path(package.origin).parent / "data" / EMBEDDED[name] if package and package.origin else None
    if path is None or not path.exists():
        raise ExunoError(f"photo:{name} needs scikit-image, which is not installed", "pip install scikit-image")
    return path


def _decode(path: Path) -> NDArray[np.uint8]:
    content = read_bytes(path)
    pixels = _fast(content) if plain_size(content) else None
    return _by_pillow(path) if pixels is None else pixels


def _fast(content: bytes) -> NDArray[np.uint8] | None:
    """A plain JPEG file by OpenCV: the pixels of Pillow in half its time; None where it gives up."""
    import cv2

    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return None if found is None else np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB, found), np.uint8)


def _by_pillow(path: Path) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            image.load()
            return _rgb(ImageOps.exif_transpose(image), path)
    except ExunoError:
        raise
    except UnidentifiedImageError:
        raise ExunoError(
            f"'{path}' is not a picture of a known format", "JPEG, PNG, WebP, TIFF, … are known."
        ) from None
    except Image.DecompressionBombError as error:
        raise ExunoError(f"'{path}' has too many pixels: {error}", "Make it smaller first.") from None
    except PermissionError:
        raise ExunoError(f"'{path}' may not be read", "Check its permissions.") from None
    except Exception as error:  # decoders of broken files raise whatever they trip over
        raise ExunoError(
            f"the picture '{path}' is damaged or incomplete ({error})", "Copy or download it again."
        ) from error


def _rgb(image: "PILImage", path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return np.repeat(_eight_bits(np.asarray(image), path)[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _eight_bits(gray: NDArray, path: Path) -> NDArray[np.uint8]:
    values = gray.astype(np.float64)
    if not np.isfinite(values).all():
        raise ExunoError(f"'{path}' has pixels that are not a number", "Replace them first.")
    low, high = values.min(), values.max()
    if gray.dtype.kind == "f":
        scale = 255.0 if high <= 1 else 1.0
        if low < 0 or high > 255:
            raise ExunoError(f"the values of '{path}' go from {low:g} to {high:g}", "Scale them to [0, 1] or [0, 255].")
    else:
        scale = 255.0 / max(65535.0, high)
    return np.rint(np.maximum(values, 0) * scale).astype(np.uint8)
