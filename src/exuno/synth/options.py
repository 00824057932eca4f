"""The options of the samplers of patches, clips and excerpts. No torch.

The options of the image and video samplers: those of Asano, Rupprecht and Vedaldi (ICLR 2020) and of Asano and Saeed
(arXiv 2112.00725) under clear names. No torch.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from exuno.engine.idle import Acts
from exuno.engine.ranges import Range, check_fields, require

RISING = Range(above=0, high=1, rising=True, wanted="a rising pair in (0, 1]")
ASPECT = Range(above=0, below=math.inf, rising=True, wanted="a rising pair above 0")


@dataclass(frozen=True)
class CropOptions:
    """What patches and clips have in common. Defaults are the papers'."""

    size: int
    """Side in pixels."""
    first_crop: Annotated[float | None, Range(above=0, high=1, wanted="a fraction in (0, 1], or None")] = 0.5
    """Side of the square first crop as a fraction of the short side of the photograph; None leaves it out."""
    area: Annotated[tuple[float, float], RISING] = (
        1 / 500,
        1.0,
    )
    """Range of the area of the random resized crop, as a fraction of the first crop."""
    aspect: Annotated[tuple[float, float], ASPECT] = (3 / 4, 4 / 3)
    """Range of the aspect ratio of the random resized crop (log-uniform)."""
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    """Colour jitter: brightness, contrast, saturation, hue."""
    jitter_p: Annotated[
        float,
        Range(low=0, high=1, wanted="a probability in [0, 1]"),
        Acts(lambda crop: any(crop.jitter), "the jitter is off"),
    ] = 0.5
    """Probability of the colour jitter."""


@dataclass(frozen=True)
class ImageOptions(CropOptions):
    """How one photograph becomes patches. Defaults are the paper's."""

    size: int = 32
    """Side of a patch in pixels; 0 in `exuno distill`: that of training, 8/7 of it before a random resized crop."""
    interpolation: Literal["lanczos", "bilinear", "bicubic", "random"] = "bicubic"
    """Filter that resizes the crop; random: one of the three for each patch."""
    rotate: Annotated[float, Range(low=0, high=180, wanted="degrees in [0, 180]")] = 30.0
    """Largest rotation in degrees, either way."""
    shear: Annotated[float, Range(low=0, below=90, wanted="degrees in [0, 90)")] = 30.0
    """Largest shear in degrees, either way."""
    hflip: Annotated[float, Range(low=0, high=1, wanted="a probability in [0, 1]")] = 0.0
    """Probability of a horizontal flip (the published code has none, its training adds it)."""
    vflip: Annotated[float, Range(low=0, high=1, wanted="a probability in [0, 1]")] = 0.0
    """Probability of a vertical flip (the published flag means 0.5)."""


@dataclass(frozen=True)
class VideoOptions(CropOptions):
    """How one photograph becomes clips. Defaults are those of the published make_fakevideo_dataset.py."""

    size: int = 230
    """Side of a frame in pixels; 0 in `exuno distill`: that of training, 8/7 of it before a random resized crop."""
    frames: int = 8
    """Frames of a clip (the published script makes 8, whatever its flag says); 0 in `exuno distill`: 8, or as many as
    training or a model takes, if that is more."""


@dataclass(frozen=True)
class ClipFileOptions(VideoOptions):
    """How one photograph becomes clips in files. Defaults are those of the published make_fakevideo_dataset.py."""

    fps: Annotated[int, Range(low=1, high=1000, wanted="1 to 1,000")] = 12
    """Frames per second of the file."""


def check(options: CropOptions, group: str = "") -> None:
    """Raise an ExunoError that names the first option whose value makes no sense, ``group`` before its name."""

    check_fields(options, group)
    require(options.size >= 1, f"--{group}size", options.size, "at least 1 pixel")
    fits = (
        len(options.jitter) == 4 and all(0 <= value < math.inf for value in options.jitter) and options.jitter[3] <= 0.5
    )
    require(fits, f"--{group}jitter", options.jitter, "four strengths of 0 or more, the last (hue) at most 0.5")
    if isinstance(options, ImageOptions):
        known = ("lanczos", "bilinear", "bicubic", "random")
        wanted = f"one of {', '.join(known)}"
        require(options.interpolation in known, f"--{group}interpolation", options.interpolation, wanted)
    if isinstance(options, VideoOptions):
        require(1 <= options.frames <= 10**4, f"--{group}frames", options.frames, "1 to 10,000")


@dataclass(frozen=True)
class AudioOptions:
    """How one recording becomes excerpts."""

    rate: int = 16000
    """Samples a second; in `exuno distill` that of the data."""
    seconds: float = 1.0
    """Length of an excerpt; 0 in `exuno distill`: what the models hear."""
    stretch: tuple[float, float] = (0.8, 1.25)
    """Range of the factor by which an excerpt lasts longer at the same pitch (log-uniform)."""
    pitch: tuple[float, float] = (-4.0, 4.0)
    """Range of the change of pitch in semitones at the same length."""
    gain: tuple[float, float] = (-12.0, 6.0)
    """Range of the gain in dB; what becomes louder than 1 is clipped."""
    filter: float = 0.5
    """Probability of a filter: low-pass, high-pass or band-pass, its edges anywhere."""
    mix: float = 0.5
    """Probability that another excerpt of the recording is mixed in."""
    noise: float = 0.5
    """Probability of noise, white or pink."""
    snr: tuple[float, float] = (0.0, 30.0)
    """Range of how many dB an excerpt is above the other one, and above the noise."""

    @property
    def samples(self) -> int:
        """Samples of an excerpt."""
        return round(self.rate * self.seconds)


def check_audio(options: AudioOptions, group: str = "") -> None:
    """Raise an ExunoError that names the first option whose value makes no sense, ``group`` before its name."""

    def rule(holds: bool, name: str, value: object, expected: str) -> None:
        require(holds, f"--{group}{name}", value, expected)

    rule(1000 <= options.rate <= 200_000, "rate", options.rate, "1,000 to 200,000 samples a second")
    lasts = 0 < options.seconds <= 3600 and options.samples >= 16
    rule(lasts, "seconds", options.seconds, "at least 16 samples and at most an hour")
    rule(_rising(options.stretch, 0.25, 4), "stretch", options.stretch, "a rising pair from 0.25 to 4")
    rule(_rising(options.pitch, -12, 12), "pitch", options.pitch, "a rising pair from -12 to 12 semitones")
    rule(_rising(options.gain, -100, 100), "gain", options.gain, "a rising pair from -100 to 100 dB")
    for name in ("filter", "mix", "noise"):
        value = getattr(options, name)
        rule(0 <= value <= 1, name, value, "a probability in [0, 1]")
    rule(_rising(options.snr, -100, 100), "snr", options.snr, "a rising pair from -100 to 100 dB")


def _rising(pair: tuple[float, float], low: float, high: float) -> bool:
    return all(map(math.isfinite, pair)) and low <= pair[0] <= pair[1] <= high
