"""``sound:music``: plucked chords, a bass, a tune and drums. ``sound:noise``: noises whose colour wanders."""

import numpy as np
from numpy.typing import NDArray

from exuno.data.rng import generator

_BEATS, _BEAT = 72, 0.5
"""Beats of the music, and seconds of one."""
_CHORDS = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14), (2, 5, 9), (4, 7, 11))
"""Semitones above the keynote; each is played for four beats."""


def music(rate: int) -> NDArray[np.float64]:
    """36 seconds of it, float64 [S], not scaled; ``rate`` in Hz."""
    random = generator(0, "sound:music")
    out = np.zeros(int((_BEATS + 4) * _BEAT * rate))
    chords = random.integers(len(_CHORDS), size=_BEATS // 4)
    for beat in range(_BEATS):
        at = beat * _BEAT
        key = 261.6 * 2 ** ((beat // 24 * 5 % 12) / 12)
        chord = _CHORDS[chords[beat // 4]]
        if beat % 2 == 0:
            for number, tone in enumerate(chord):
                _add(out, rate, at + 0.02 * number, _pluck(random, key * 2 ** (tone / 12), rate, 1.4, 0.25))
        _add(out, rate, at, _pluck(random, key / 4 * 2 ** (chord[0] / 12), rate, 0.5, 0.5))
        for half in range(random.integers(0, 4)):
            tone = chord[random.integers(3)] + 12 * random.integers(0, 3) + random.choice([0, 0, 0, 2])
            _add(out, rate, at + half * _BEAT / 3, _pluck(random, key * 2 ** (tone / 12), rate, 0.6, 0.35))
        _add(out, rate, at, _drum(random, rate, beat))
        _add(out, rate, at + _BEAT / 2, _hiss(random, rate, 0.04, 0.08))
    return out[: int(_BEATS * _BEAT * rate)]


def _add(out: NDArray[np.float64], rate: int, at: float, note: NDArray[np.float64]) -> None:
    start = int(at * rate)
    out[start : start + len(note)] += note[: len(out) - start]


def _pluck(random: np.random.Generator, hz: float, rate: int, seconds: float, loud: float) -> NDArray[np.float64]:
    """Harmonics that fade, the higher the sooner; a random place on the string decides how strong each is."""
    time = np.arange(int(seconds * rate)) / rate
    place, bright = random.uniform(0.1, 0.45), random.uniform(0.8, 1.8)
    note = np.zeros(len(time))
    for number in range(1, min(12, int(0.47 * rate / hz)) + 1):
        weight = np.sin(np.pi * number * place) / number**bright
        note += weight * np.exp(-time * (2 + number) / seconds) * np.sin(2 * np.pi * number * hz * time)
    return loud * note * np.minimum(1, time * 300) * np.minimum(1, (seconds - time) * 50)


def _drum(random: np.random.Generator, rate: int, beat: int) -> NDArray[np.float64]:
    if beat % 2:
        return _hiss(random, rate, 0.15, 0.35)
    time = np.arange(int(0.25 * rate)) / rate
    return 0.9 * np.exp(-time * 14) * np.sin(2 * np.pi * (50 * time + 4 * (1 - np.exp(-time * 30))))


def _hiss(random: np.random.Generator, rate: int, seconds: float, loud: float) -> NDArray[np.float64]:
    time = np.arange(int(4 * seconds * rate)) / rate
    return loud * np.exp(-time / seconds * 2) * random.standard_normal(len(time))


def noises(rate: int) -> NDArray[np.float64]:
    """30 seconds: every second another slope and another band stand out, and loudness comes and goes."""
    random = generator(0, "sound:noise")
    size = rate // 10 // 2 * 2
    count = 30 * rate // (size // 2)
    hz = np.fft.rfftfreq(size, 1 / rate)
    when = np.linspace(0, 30, count)
    slope, centre, band, peak, loud = (
        np.interp(when, np.arange(31), random.uniform(low, high, 31))[:, None]
        for low, high in ((-1.2, 0.2), (np.log(150), np.log(6500)), (0.1, 0.8), (0, 12), (0.15, 1))
    )
    pitch = np.log(np.maximum(hz, 20))
    colour = np.exp(slope * (pitch - np.log(500))) * (1 + peak * np.exp(-(((pitch - centre) / band) ** 2)))
    spectra = np.fft.rfft(random.standard_normal((count, size))) * colour
    spectra *= loud / np.sqrt((colour**2).mean(1, keepdims=True))
    parts = np.fft.irfft(spectra, size) * np.sin(np.pi * (np.arange(size) + 0.5) / size)
    out = np.zeros((count + 1, size // 2))
    out[:-1] += parts[:, : size // 2]
    out[1:] += parts[:, size // 2 :]
    return out[1:-1].reshape(-1)
