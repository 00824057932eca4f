"""Which picture a spec names: a file, a photograph that comes with scikit-image, or noise. No torch.

Which source specs are photographs, and which single recordings. No torch.
"""

import hashlib
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exuno.data.audio.recording import is_recording
from exuno.data.constants import PICTURES
from exuno.data.images.deep import split_bits, tell_depth
from exuno.data.images.picture import decode
from exuno.data.rng import generator
from exuno.engine.documents import read_bytes
from exuno.engine.errors import ExunoError
from exuno.engine.files import existing
from exuno.engine.remote import fetched

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

FORMS = "PATH[@BITSbit] of a picture, photo:NAME or noise:SEED"


def load_photo(spec: str | Path) -> NDArray[np.uint8]:
    """The picture as uint8 [H, W, 3], RGB, in [0, 255]; see :func:`exuno.data.images.picture.decode`.

    ``noise:SEED`` is 512 x 512 pixels, each channel uniform and independent. ``PATH@12bit`` is a file of 16 bits a
    channel in which 4095 is white; without that, a file that looks like one is told of.

    Raises:
        ExunoError: no such file or name, a folder, or not a complete picture.
    """
    text = str(spec)
    if text.startswith("noise:"):
        return generator(_noise_seed(text), "noise").integers(0, 256, (NOISE_SIDE, NOISE_SIDE, 3), np.uint8)
    (bare, bits), path = split_bits(text), source_path(spec)
    content = read_bytes(path)
    tell_depth(bare, bits, [path.name], lambda _: content)
    return decode(content, f"'{path}'", bits)


def photo_sha256(spec: str | Path) -> str:
    """SHA-256 of the bytes of the picture's file (of these and the bits for ``PATH@12bit``), of the pixels for
    ``noise:SEED``; hexadecimal."""
    if str(spec).startswith("noise:"):
        return hashlib.sha256(load_photo(spec).tobytes()).hexdigest()
    bits = split_bits(str(spec))[1]
    return hashlib.sha256(read_bytes(source_path(spec)) + (f"@{bits}bit".encode() if bits else b"")).hexdigest()


def source_path(spec: str | Path) -> Path:
    """The file behind a path (``PATH@12bit``) or ``photo:NAME``; ExunoError where there is none."""
    text = str(spec)
    if text.startswith("photo:"):
        return _embedded(text.removeprefix("photo:"))
    return existing(fetched(split_bits(text)[0]), "picture", FORMS)


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


def is_photo(spec: str) -> bool:
    """Whether a source spec names one picture: ``photo:NAME``, ``noise:SEED``, or a path that ends like one (and
    perhaps ``@12bit`` behind it)."""
    return spec.startswith(("photo:", "noise:")) or Path(split_bits(spec)[0]).suffix.lower() in PICTURES


PROGRAM = "program:"


def is_program(spec: str) -> bool:
    """Whether a source spec names a program that draws patches: ``program:module:Name``."""
    return spec.startswith(PROGRAM)


def is_single(spec: str) -> bool:
    """Whether a source spec names one datum, of which samples are made: a photograph, a recording, a program."""
    return is_photo(spec) or is_recording(spec) or is_program(spec)
