"""The options of the excerpt sampler. No torch."""

import math
from dataclasses import dataclass

from exuno.engine.check import need


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


def check(options: AudioOptions, group: str = "") -> None:
    """Raise an ExunoError that names the first option whose value makes no sense, ``group`` before its name."""

    def rule(holds: bool, name: str, value: object, expected: str) -> None:
        need(holds, f"--{group}{name}", value, expected)

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
