"""The options of the image sampler: Asano, Rupprecht and Vedaldi (ICLR 2020) under clear names. No torch."""

import math
from dataclasses import dataclass
from typing import Literal

from exuno.engine.errors import ExunoError


@dataclass(frozen=True)
class ImageOptions:
    """How one photograph becomes patches. Defaults are the paper's."""

    size: int = 32
    """Side of a patch in pixels; 0 in `exuno distill`: that of training, 8/7 of it before a random resized crop."""
    first_crop: float | None = 0.5
    """Side of the square first crop as a fraction of the short side of the photograph; None leaves it out."""
    area: tuple[float, float] = (1 / 500, 1.0)
    """Range of the area of the random resized crop, as a fraction of the first crop."""
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    """Range of the aspect ratio of the random resized crop (log-uniform)."""
    interpolation: Literal["lanczos", "bilinear", "bicubic", "random"] = "bicubic"
    """Filter that resizes the crop; random: one of the three for each patch."""
    rotate: float = 30.0
    """Largest rotation in degrees, either way."""
    shear: float = 30.0
    """Largest shear in degrees, either way."""
    hflip: float = 0.0
    """Probability of a horizontal flip (the published code has none, its training adds it)."""
    vflip: float = 0.0
    """Probability of a vertical flip (the published flag means 0.5)."""
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    """Colour jitter: brightness, contrast, saturation, hue."""
    jitter_p: float = 0.5
    """Probability of the colour jitter."""


def check(options: ImageOptions) -> None:
    """Raise an ExunoError that names the first option whose value makes no sense."""
    _rule(options.size >= 1, "size", options.size, "at least 1 pixel")
    _rule(
        options.first_crop is None or 0 < options.first_crop <= 1, "first-crop", options.first_crop, "in (0, 1] or None"
    )
    _rule(0 < options.area[0] <= options.area[1] <= 1, "area", options.area, "a rising pair in (0, 1]")
    _rule(0 < options.aspect[0] <= options.aspect[1] < math.inf, "aspect", options.aspect, "a rising pair above 0")
    known = ("lanczos", "bilinear", "bicubic", "random")
    _rule(options.interpolation in known, "interpolation", options.interpolation, f"one of {', '.join(known)}")
    _rule(0 <= options.rotate <= 180, "rotate", options.rotate, "in [0, 180] degrees")
    _rule(0 <= options.shear < 90, "shear", options.shear, "in [0, 90) degrees")
    for name in ("hflip", "vflip", "jitter_p"):
        value = getattr(options, name)
        _rule(0 <= value <= 1, name.replace("_", "-"), value, "a probability in [0, 1]")
    fits = (
        len(options.jitter) == 4 and all(0 <= value < math.inf for value in options.jitter) and options.jitter[3] <= 0.5
    )
    _rule(fits, "jitter", options.jitter, "four strengths of 0 or more, the last (hue) at most 0.5")


def _rule(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ExunoError(f"--{name} is {value}", f"It has to be {expected}.")
