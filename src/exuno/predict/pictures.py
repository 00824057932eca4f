"""What is answered for, opened: a picture or a recording, from a file or from memory.

A picture is seen as ``exuno eval`` sees it: one of at most 96 pixels whole, a larger one as a photograph, its short
side resized to 256 and the middle 224 cut out. That depends on the picture alone, not on its neighbours. A tensor is
taken as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.audio.recording import load_recording, read_recording
from exuno.data.images.deep import split_bits
from exuno.data.images.folder import PHOTO_RESIZE, PHOTO_SIZE, SMALL
from exuno.data.images.photo import FORMS, load_photo
from exuno.data.images.picture import decode, from_pillow
from exuno.data.images.resize import prepare
from exuno.engine.documents import read_bytes
from exuno.engine.errors import ExunoError
from exuno.engine.files import existing
from exuno.models.card import Hearing
from exuno.models.classifier import fitted

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

Picture = Union[str, Path, "PILImage", NDArray[Any], Tensor]
"""A path, or what is in memory: PIL's, uint8 [H, W, 3] or [H, W], a tensor [C, H, W] as ``Classifier`` takes it."""
BYTES = 16
"""Floats beyond this are no pixels in [0, 1], nor whitened ones, but bytes that were not divided by 255."""


BESIDE = 0.5
"""How far pixels may leave [0, 1], as sharp interpolation does; what goes further is normalised."""


@dataclass(frozen=True)
class Seen:
    """How a picture is seen: what a data set of such pictures would say."""

    image_size: tuple[int, int]
    resize: int | None


Opener = Callable[[Picture], Tensor]
"""What is answered for -> what the model is given of it, without the axis of a batch; uint8 [0, 255] or float."""


@dataclass(frozen=True)
class Look:
    """Opens pictures: [C, H, W].

    Args:
        side: of the square that is cut out of all but tensors; None leaves it to the picture.
        whitened: whether the model takes whitened images as they are, and no pixels in [0, 1].
    """

    side: int | None = None
    whitened: bool = False

    def __call__(self, picture: Picture) -> Tensor:
        pixels, seen = opened(picture)
        if not self.whitened:
            check_range(pixels, f"a tensor {list(pixels.shape)}")
        if isinstance(picture, Tensor) or (self.side is None and seen.resize is None):
            return pixels
        size = (self.side, self.side) if self.side else seen.image_size
        short = None if seen.resize is None else round(seen.resize * min(size) / min(seen.image_size))
        return prepare([pixels], size, short)[0]


@dataclass(frozen=True)
class Listen:
    """Opens recordings: [1, S], the middle of them, at the rate and of the length that a model hears."""

    hearing: Hearing

    def __call__(self, picture: Picture) -> Tensor:
        if isinstance(picture, str | Path):
            made = str(picture).startswith("sound:")
            samples = (load_recording if made else read_recording)(picture, self.hearing.rate)
            return fitted(torch.from_numpy(samples)[None], self.hearing.length)
        sound = taken(picture, 2, "a recording [1, samples]")
        return fitted(sound, self.hearing.length)


@dataclass(frozen=True)
class Watch:
    """Takes clips that are tensors, [C, T, H, W]."""

    def __call__(self, picture: Picture) -> Tensor:
        return taken(picture, 4, "a clip [C, T, H, W]")


def opened(picture: Picture) -> tuple[Tensor, Seen]:
    """A picture [C, h, w], uint8 or (of a float tensor) float in [0, 1], and how it is seen.

    Raises:
        ExunoError: no complete picture, or an array or a tensor that is none.
    """
    if isinstance(picture, Tensor):
        pixels = taken(picture, 3, "a picture [C, H, W]")
        return pixels, Seen((pixels.shape[1], pixels.shape[2]), None)
    if isinstance(picture, str | Path):
        found = _file(str(picture))
    elif isinstance(picture, np.ndarray):
        found = _array(picture)
    else:
        found = from_pillow(picture, "the picture")
    height, width = found.shape[:2]
    small = max(height, width) <= SMALL
    seen = Seen((height, width), None) if small else Seen(PHOTO_SIZE, PHOTO_RESIZE)
    return torch.from_numpy(found).permute(2, 0, 1), seen


def _file(spec: str) -> NDArray[np.uint8]:
    if spec.startswith(("photo:", "noise:")):
        return load_photo(spec)
    bare, bits = split_bits(spec)
    path = Path(bare)
    try:
        content = read_bytes(path)
    except ExunoError:
        existing(path, "picture", FORMS)  # tells better what is not there, but to ask first takes as long as to read
        raise
    return decode(content, f"'{path}'", bits)


def _array(picture: NDArray[Any]) -> NDArray[np.uint8]:
    flat = picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in (1, 3))
    if not picture.size or picture.dtype != np.uint8 or not flat:
        raise ExunoError(
            f"an array {list(picture.shape)} of {picture.dtype} is no picture",
            "Give uint8 [H, W, 3] or [H, W], or a tensor [C, H, W].",
        )
    deep = picture[..., None] if picture.ndim == 2 else picture
    return np.array(deep.repeat(3, 2) if deep.shape[2] == 1 else deep)


def taken(picture: Picture, ndim: int, what: str) -> Tensor:
    """A tensor of so many axes, on the CPU, uint8 or float32.

    Raises:
        ExunoError: something else, or numbers that are none of a picture.
    """
    told = f"a tensor {list(picture.shape)}" if isinstance(picture, Tensor) else f"a {type(picture).__name__}"
    if not isinstance(picture, Tensor) or picture.ndim != ndim or picture.shape[0] not in (1, 3) or not picture.numel():
        raise ExunoError(f"{told} is not {what}, which the model takes", "Give tensors of that shape.")
    return as_pixels(picture.detach(), told).cpu()


def as_tensor(given: Any) -> Tensor:
    """A tensor as it is, or an array of numbers as one.

    Raises:
        ExunoError: anything else.
    """
    if isinstance(given, Tensor):
        return given
    if not isinstance(given, np.ndarray) or given.dtype.kind not in "biuf":
        raise ExunoError(
            f"a {type(given).__name__} is no tensor and no array of numbers, which a model that is called takes",
            "Give one, or a list of them; predict takes pictures and their paths, too.",
        )
    # Torch takes no mirror image, which is a view of negative steps, nor bytes of the other order.
    return torch.as_tensor(np.ascontiguousarray(given, given.dtype.newbyteorder("=")))


def as_pixels(given: Tensor, told: str) -> Tensor:
    """Numbers of pictures, clips or recordings: uint8, or float32.

    Raises:
        ExunoError: others, which may be anything: bytes of 16 bits, floats that are not finite or that were not divided
            by 255. ``told`` is what the tensor is called.
    """
    if given.dtype == torch.uint8:
        return given
    if not given.is_floating_point():
        kind = str(given.dtype).removeprefix("torch.")
        raise ExunoError(f"{told} is of {kind}", "Give uint8 in [0, 255], or floats in [0, 1].")
    found = given.float()
    if not bool(found.isfinite().all()):
        raise ExunoError(f"{told} holds values that are not finite", "Replace them first.")
    if found.numel() and found.abs().max() > BYTES:
        raise ExunoError(f"{told} holds values far outside [0, 1]", "Divide by 255, or give uint8 in [0, 255].")
    return found


def check_range(pixels: Tensor, told: str) -> None:
    """Raises ExunoError for floats that are no pixels in [0, 1] any more; ``told`` is what the tensor is called."""
    if not pixels.is_floating_point() or not pixels.numel():
        return
    low, high = pixels.min().item(), pixels.max().item()
    if low < -BESIDE or high > 1 + BESIDE:
        raise ExunoError(
            f"{told} goes from {low:.3g} to {high:.3g} and seems to be normalised",
            "Give pixels in [0, 1]: the model normalises them itself.",
        )
