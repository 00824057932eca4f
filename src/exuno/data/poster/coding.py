"""How the pixels of a poster are stored, and all that follows: what is trained, what a step sees of it, the numbers of
few bits that are kept, their bytes, and how they look. A new way is a class like these that :func:`coding_of` finds.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.poster.chroma import Pair, chroma_size, coloured, joined, planes, sheet_of
from exuno.data.poster.palette import fitted
from exuno.data.poster.quantisation import quantise, restored, rounded, top
from exuno.engine.errors import ExunoError

if TYPE_CHECKING:
    from exuno.data.poster.format import Poster


@dataclass(frozen=True)
class Coding:
    """Evenly spaced levels of each channel. ``size`` is (H, W) of a poster, ``channels`` the C that networks see."""

    bits: int
    """Of a number: 2, 4 or 8."""
    words: ClassVar[str] = ""
    """What is said of it behind the number of pixels."""

    def shape(self, size: Pair, channels: int) -> tuple[int, int, int]:
        """Of ``Poster.pixels``: (planes, height, width)."""
        return channels, *size

    def numbers(self, size: Pair, channels: int) -> int:
        """How many numbers are stored: all of that shape but a column beside the poster."""
        planes, height, width = self.shape(size, channels)
        return planes * height * width - size[0] * (width - size[1])

    def shared_bytes(self, channels: int) -> int:
        """Bytes of what they share in the place of ``low`` and ``high``."""
        return 0

    def start(self, values: Tensor) -> Tensor:
        """What is trained, of a first poster [C, H, W]."""
        return values

    def seen(self, trained: Tensor, size: Pair) -> Tensor:
        """The poster [C, H, W] of a step: as it will be stored, by a straight-through estimator. At 8 bits levels are
        not rounded: that fine it changes nothing."""
        return rounded(trained, self.bits) if self.bits < 8 else trained

    def stored(self, trained: Tensor, size: Pair) -> dict[str, Any]:
        """The fields of a Poster that hold it. Raises ExunoError for values that are not finite."""
        pixels, low, high = quantise(trained, self.bits)
        return {"pixels": pixels, "low": low, "high": high, "bits": self.bits}

    def levels(self, poster: "Poster") -> NDArray[np.uint8]:
        """All numbers that are stored, below 2^bits."""
        return poster.pixels // (255 // top(self.bits))

    def values(self, poster: "Poster") -> Tensor:
        """The poster in the space in which it was distilled, float32 [C, H, W]."""
        return restored(poster.pixels, poster.low, poster.high)

    def colours(self, poster: "Poster") -> NDArray[np.uint8] | None:
        """Where pixels are numbers of colours, these as they are shown, [2^bits, C]."""
        return None

    def shown(self, poster: "Poster") -> NDArray[np.uint8]:
        """The poster as a picture, [C, H, W]."""
        return poster.pixels


class Palette(Coding):
    """Pixels are the numbers of float16 colours [2^bits, C]; ``low`` and ``high`` are the ends of these."""

    def shape(self, size: Pair, channels: int) -> tuple[int, int, int]:
        return 1, *size

    def shared_bytes(self, channels: int) -> int:
        return 2 * channels << self.bits

    def seen(self, trained: Tensor, size: Pair) -> Tensor:
        with torch.no_grad():
            colours, numbers = fitted(trained, self.bits)
            error = colours[numbers].permute(2, 0, 1) - trained
        return trained + error

    def stored(self, trained: Tensor, size: Pair) -> dict[str, Any]:
        if not trained.isfinite().all() or trained.abs().max() > torch.finfo(torch.float16).max:
            raise ExunoError("the poster holds values that are not finite", "Distill it anew with a lower --optim.lr.")
        colours, numbers = fitted(trained.detach().cpu(), self.bits)
        pixels, palette = numbers[None].numpy() * (255 // top(self.bits)), colours.numpy().astype(np.float16)
        low, high = (tuple(bound.astype(float).tolist()) for bound in (palette.min(0), palette.max(0)))
        return {"pixels": pixels.astype(np.uint8), "low": low, "high": high, "bits": self.bits, "palette": palette}

    def values(self, poster: "Poster") -> Tensor:
        return torch.tensor(poster.palette).float()[self.levels(poster)[0].astype(int)].permute(2, 0, 1).contiguous()

    def colours(self, poster: "Poster") -> NDArray[np.uint8]:
        low, high = np.array(poster.low), np.array(poster.high)
        return np.rint((poster.palette - low) / np.where(high > low, high - low, 1) * 255).clip(0, 255).astype(np.uint8)

    def shown(self, poster: "Poster") -> NDArray[np.uint8]:
        return self.colours(poster)[self.levels(poster)[0]].transpose(2, 0, 1)


class SmallColours(Coding):
    """Light and colours of half the size on one sheet (chroma.py); ``low`` and ``high`` are those of these planes."""

    words = ", colours of half the size"

    def shape(self, size: Pair, channels: int) -> tuple[int, int, int]:
        height, width = chroma_size(size)
        return 1, size[0] + height, 2 * width

    def start(self, values: Tensor) -> Tensor:
        return sheet_of(values)

    def seen(self, trained: Tensor, size: Pair) -> Tensor:
        light, colours = planes(trained, size)
        return coloured(super().seen(light, size), super().seen(colours, size))

    def stored(self, trained: Tensor, size: Pair) -> dict[str, Any]:
        light, colours = (quantise(part, self.bits) for part in planes(trained, size))
        sheet = joined(*(torch.from_numpy(part[0]) for part in (light, colours))).numpy()
        low, high = light[1] + colours[1], light[2] + colours[2]
        return {"pixels": sheet, "low": low, "high": high, "bits": self.bits, "chroma": "half"}

    def levels(self, poster: "Poster") -> NDArray[np.uint8]:
        """Light before colours, without the column beside the light: uint8 [H * W + 2 * h * w]."""
        parts = planes(torch.from_numpy(super().levels(poster)), poster.layout.size)
        return np.concatenate([part.flatten().numpy() for part in parts])

    def values(self, poster: "Poster") -> Tensor:
        light, colours = (part.numpy() for part in planes(torch.from_numpy(poster.pixels), poster.layout.size))
        low, high = poster.low, poster.high
        return coloured(restored(light, low[:1], high[:1]), restored(colours, low[1:], high[1:]))

    def shown(self, poster: "Poster") -> NDArray[np.uint8]:
        values = self.values(poster)
        low, high = values.amin((1, 2), keepdim=True), values.amax((1, 2), keepdim=True)
        return ((values - low) / (high - low).clamp(min=1e-30) * 255).round().to(torch.uint8).numpy()


def coding_of(bits: int, palette: bool, chroma: str, channels: int = 3) -> Coding:
    """The coding that the options of these names ask for. Raises ExunoError for some that do not go together."""
    if chroma == "half" and palette:
        raise ExunoError(
            "--chroma half and --palette are two ways to store colours", "Give one of them; a palette has no chroma."
        )
    if chroma == "half" and channels != 3:
        raise ExunoError(
            "--chroma half does nothing for a poster in gray", "Leave it out, or give --channels 3 for one in colours."
        )
    return SmallColours(bits) if chroma == "half" else Palette(bits) if palette else Coding(bits)
