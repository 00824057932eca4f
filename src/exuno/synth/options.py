"""The options of the image sampler: Asano, Rupprecht and Vedaldi (ICLR 2020) under clear names. No torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageOptions:
    """How one photograph becomes patches. Defaults are the paper's."""

    size: int = 32
    """Side of a patch in pixels."""
    first_crop: float | None = 0.5
    """Side of the square first crop as a fraction of the short side of the photograph; None leaves it out."""
    area: tuple[float, float] = (1 / 500, 1.0)
    """Range of the area of the random resized crop, as a fraction of the first crop."""
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    """Range of the aspect ratio of the random resized crop (log-uniform)."""
    interpolation: str = "bicubic"
    """bicubic, or random: one of lanczos, bilinear, bicubic for each patch."""
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
