"""``sound:babble``: forty voices that speak syllables of no language, one after the other.

A source and filter synthesiser (Fant 1960; Klatt, JASA 1980): pulses with a moving pitch and noise, shaped by seven
resonances. Voices differ in pitch, length of the vocal tract, tempo, breath and brightness; syllables are drawn at
random, and those from which an English digit could be heard are left out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exuno.data.rng import generator

_SECONDS, _VOICES = 60, 40
_STEP, _FRAME = 128, 512
"""Samples from one frame to the next, and in a frame: 8 and 32 ms."""

# First three resonances in Hz of a grown man (Peterson and Barney, JASA 1952, rounded, and two more).
_VOWELS = {
    "i": (280, 2250, 2950), "I": (390, 1990, 2550), "e": (440, 2100, 2600), "E": (530, 1840, 2480),
    "a": (660, 1720, 2410), "A": (730, 1090, 2440), "o": (450, 850, 2500), "O": (570, 840, 2410),
    "u": (300, 870, 2240), "U": (440, 1020, 2240), "V": (640, 1190, 2390), "y": (270, 1850, 2150),
    "3": (490, 1350, 1690),
}  # fmt: skip
# Voiced throughout, with a target of their own: resonances and loudness.
_SONORANTS = {
    "m": (260, 1000, 2200, 0.35), "n": (260, 1500, 2500, 0.35), "N": (260, 2000, 2700, 0.3),
    "l": (360, 1150, 2800, 0.55), "r": (350, 1150, 1600, 0.6), "w": (300, 650, 2250, 0.55), "j": (270, 2250, 3000, 0.5),
}  # fmt: skip
# Noise: centre and width in Hz, its loudness, and that of the voice below it.
_FRICATIVES = {
    "s": (6300, 1500, 0.5, 0), "S": (3300, 1100, 0.5, 0), "f": (5500, 4500, 0.16, 0), "T": (6000, 3500, 0.12, 0),
    "x": (1700, 700, 0.3, 0), "h": (0, 0, 0, 0), "z": (6000, 1500, 0.25, 0.3), "v": (5000, 4000, 0.09, 0.4),
}  # fmt: skip
# Burst: centre and width in Hz, its loudness; where the second resonance comes from; voiced.
_PLOSIVES = {
    "p": (1100, 900, 0.4, 800, False), "t": (4600, 1500, 0.6, 1800, False), "k": (2000, 600, 0.6, 2200, False),
    "b": (900, 700, 0.3, 800, True), "d": (4000, 1500, 0.4, 1800, True), "g": (1800, 600, 0.4, 2200, True),
}  # fmt: skip
_CONSONANTS = [*_SONORANTS, *_FRICATIVES, *_PLOSIVES]
_DIGITS = ("z?I", "z?i", "wV", "wA", "tu", "tU", "ri", "fO", "fo", "f?A", "sI", "si", "sE", "e?t", "eI?t", "n?A", "o?")
"""Onset and nucleus (``?``: whatever follows) of the English digits, of "oh" too."""

_F1, _F2, _F3, _VOICE, _BREATH, _NOISE, _CENTRE, _WIDTH, _F0, _TRACT, _TILT = range(11)


@dataclass(frozen=True)
class _Voice:
    """Who speaks: pitch in Hz and its liveliness, tract (1: a man's, above: shorter), tempo, breath, tilt in Hz."""

    pitch: float
    lively: float
    tract: float
    tempo: float
    breath: float
    tilt: float


def babble(rate: int) -> NDArray[np.float64]:
    """A minute of it, float64 [S], not scaled; ``rate`` in Hz."""
    random = generator(0, "sound:babble")
    voices = [_voice(random) for _ in range(_VOICES)]
    frames = _SECONDS * rate // _STEP
    tracks: list[NDArray[np.float64]] = []
    while sum(map(len, tracks)) < frames:
        tracks.append(_phrase(random, voices[len(tracks) % _VOICES], rate / _STEP))
    return _speak(np.concatenate(tracks)[:frames], rate, random)


def _voice(random: np.random.Generator) -> _Voice:
    kind = random.integers(3)  # man, woman, child
    return _Voice(
        pitch=(115, 205, 290)[kind] * random.uniform(0.75, 1.3),
        lively=random.uniform(0.05, 0.3),
        tract=(1.0, 1.16, 1.32)[kind] * random.uniform(0.92, 1.08),
        tempo=random.uniform(0.9, 1.8),
        breath=random.uniform(0.01, 0.12),
        tilt=random.uniform(400, 2500),
    )


def _phrase(random: np.random.Generator, voice: _Voice, per_second: float) -> NDArray[np.float64]:
    """The tracks of some syllables and the pause behind them, [frames, 11]."""
    rows: list[NDArray[np.float64]] = []
    starts = []
    loud = random.uniform(0.45, 1.0)
    for _ in range(random.integers(1, 8)):
        starts.append(sum(map(len, rows)))
        rows += _syllable(random, voice, per_second)
    rows.append(_hold(rows[-1][-1], random.uniform(0.05, 0.25) * per_second, voice=0, noise=0, breath=0))
    track = np.concatenate(rows)
    for column in (_F1, _F2, _F3):  # the tongue takes 40 ms from one place to the next
        track[:, column] = _smooth(track[:, column], 5)
    track[:, _VOICE] = _smooth(track[:, _VOICE], 3)
    track[:, _BREATH] = track[:, _BREATH] + voice.breath * track[:, _VOICE]
    track[:, [_VOICE, _BREATH, _NOISE]] *= loud
    # Pitch falls over a phrase, with an accent on each syllable; one phrase of four is a question.
    last = len(track)
    tune = np.linspace(1.12, 0.86, last) + (np.linspace(-0.5, 0.6, last).clip(0) if random.random() < 0.25 else 0)
    tune += _smooth(np.interp(np.arange(last), starts, random.normal(0, voice.lively, len(starts))), 9)
    track[:, _F0] = (voice.pitch * tune.clip(0.5, 2) * (1 + 0.01 * random.standard_normal(last))).clip(60, 600)
    track[:, _TRACT], track[:, _TILT] = voice.tract, voice.tilt
    return track


def _syllable(random: np.random.Generator, voice: _Voice, per_second: float) -> list[NDArray[np.float64]]:
    while True:
        onset = random.choice(_CONSONANTS) if random.random() < 0.85 else ""
        nucleus = "".join(random.choice(list(_VOWELS), 1 + (random.random() < 0.3), replace=False))
        coda = random.choice(_CONSONANTS) if random.random() < 0.4 else ""
        if not any((onset + nucleus + coda).startswith(digit.replace("?", "")) for digit in _DIGITS):
            break
    unit = per_second / voice.tempo
    targets = [np.array(_VOWELS[sound]) * random.uniform(0.9, 1.1, 3) for sound in nucleus]
    vowel = np.zeros((max(4, round(random.uniform(0.08, 0.26) * unit)), 11))
    where = np.linspace(0, len(targets) - 1, len(vowel))
    for column in (_F1, _F2, _F3):
        vowel[:, column] = np.interp(where, range(len(targets)), [target[column] for target in targets])
    vowel[:, _VOICE] = np.hanning(len(vowel) + 4)[2:-2] * 0.4 + 0.6
    before = _consonant(random, onset, vowel[0], unit) if onset else []
    after = _consonant(random, coda, vowel[-1], unit) if coda else []
    return [*before, vowel, *after]


def _consonant(
    random: np.random.Generator, sound: str, beside: NDArray[np.float64], unit: float
) -> list[NDArray[np.float64]]:
    """The tracks of one consonant next to a vowel that has these values at its edge."""
    long = random.uniform(0.7, 1.3) * unit
    if sound in _SONORANTS:
        *places, loud = _SONORANTS[sound]
        held = _hold(beside, 0.07 * long, voice=loud)
        held[:, :3] = places
        return [held]
    if sound in _FRICATIVES:
        centre, width, noise, loud = _FRICATIVES[sound]
        breath = 0.25 if sound == "h" else 0.0
        held = _hold(beside, 0.1 * long, voice=loud, noise=noise, breath=breath, centre=centre, width=width)
        held[:, _NOISE] *= np.hanning(len(held) + 2)[1:-1] ** 0.5
        return [held]
    centre, width, noise, locus, voiced = _PLOSIVES[sound]
    closed = _hold(beside, 0.06 * long, voice=0.12 if voiced else 0.0, breath=0.0)
    burst = _hold(beside, 1, voice=0, noise=noise, centre=centre * random.uniform(0.85, 1.15), width=width)
    for part in (closed, burst):
        part[:, _F1], part[:, _F2] = 250, 0.6 * locus + 0.4 * beside[_F2]
    aspired = [] if voiced else [_hold(beside, random.uniform(0.01, 0.06) * unit, voice=0.0, breath=0.3)]
    return [closed, burst, *aspired]


def _hold(
    values: NDArray[np.float64],
    frames: float,
    voice: float = 0.0,
    noise: float = 0.0,
    breath: float = 0.0,
    centre: float = 0.0,
    width: float = 0.0,
) -> NDArray[np.float64]:
    held = np.tile(values, (max(1, round(frames)), 1))
    held[:, [_VOICE, _NOISE, _BREATH, _CENTRE, _WIDTH]] = voice, noise, breath, centre, width
    return held


def _smooth(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    kernel = np.hanning(width + 2)[1:-1]
    smooth = np.convolve(np.pad(values, width // 2, "edge"), kernel / kernel.sum(), "valid")
    return np.asarray(smooth, np.float64)


def _speak(track: NDArray[np.float64], rate: int, random: np.random.Generator) -> NDArray[np.float64]:
    """From tracks [frames, 11] to samples [frames * _STEP]."""
    samples = np.arange(len(track) * _STEP) / _STEP
    voice, breath, noise, f0 = (
        np.interp(samples, np.arange(len(track)), track[:, column]) for column in (_VOICE, _BREATH, _NOISE, _F0)
    )
    white = random.standard_normal(len(samples))
    # Pulses with all harmonics below the limit and none above: a closed form, which does not alias.
    turn = np.pi * (np.cumsum(f0 / rate) + 0.3)
    harmonics = 2 * np.floor(0.47 * rate / f0) + 1
    down = np.sin(turn)
    down[np.abs(down) < 1e-6] = 1e-6
    pulses = np.sin(turn * harmonics) / down / np.sqrt(harmonics)

    window = np.hanning(_FRAME + 1)[:-1].astype(np.float32)
    hz = np.arange(_FRAME // 2 + 1, dtype=np.float32) * (rate / _FRAME)
    rows = track.astype(np.float32)[:, :, None]
    tube = _tube(rows, hz)
    hiss = np.exp(-(((hz - rows[:, _CENTRE]) / np.maximum(rows[:, _WIDTH], 1)) ** 2))
    spoken = np.fft.rfft(_frames(voice * pulses + breath * white) * window) * tube
    spoken += np.fft.rfft(_frames(noise * white) * window) * hiss
    shaped = np.fft.irfft(spoken, _FRAME) * window
    parts = shaped.reshape(len(track), _FRAME // _STEP, _STEP)
    out = np.zeros((len(track) + 3, _STEP))
    for part in range(_FRAME // _STEP):
        out[part : part + len(track)] += parts[:, part]
    return out[: len(track)].reshape(-1)


def _frames(samples: NDArray[np.float64]) -> NDArray[np.float32]:
    padded = np.pad(samples.astype(np.float32), (0, _FRAME - _STEP))
    return np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_STEP]


def _tube(rows: NDArray[np.float32], hz: NDArray[np.float32]) -> NDArray[np.complex64]:
    """The response of seven resonances in a row, and of the glottis, [frames, bins]."""
    response = (1 / (1 + hz / rows[:, _TILT]) * (hz > 50)).astype(np.complex64)
    fixed = ((3500, 150), (4500, 200), (5500, 300), (6500, 400))
    moving = ((rows[:, _F1], 70), (rows[:, _F2], 90), (rows[:, _F3], 130))
    for place, band in (*moving, *fixed):
        centre = place * rows[:, _TRACT]
        response *= centre**2 / (centre**2 - hz**2 + np.complex64(1j * band) * hz)
    # Speakers keep their level more even than tubes do: an open vowel would be ten times as loud as a closed one.
    return response / (np.abs(response) ** 2).mean(1, keepdims=True) ** 0.42
