"""Sounds that need no file, made by a short program from random numbers: ``sound:babble``, ``sound:music``,
``sound:noise``. Each is the same on every machine up to the last of 16 bits.

``sound:music``: plucked chords, a bass, a tune and drums. ``sound:noise``: noises whose colour wanders.

``sound:babble``: forty voices that speak syllables of no language, one after the other.

A source and filter synthesiser (Fant 1960; Klatt, JASA 1980): pulses with a moving pitch and noise, shaped by seven
resonances. Voices differ in pitch, length of the vocal tract, tempo, breath and brightness; syllables are drawn at
random, and those from which an English digit could be heard are left out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from exuno.data.rng import generator
from exuno.engine.errors import ExunoError

MADE_RATE = 16000
"""Samples a second of every made sound."""


def check_sound(name: str) -> None:
    """Raises ExunoError if there is no such sound."""
    if name not in MADE:
        near = get_close_matches(name, MADE, 1)
        hint = f"Did you mean sound:{near[0]}? " if near else ""
        raise ExunoError(f"there is no sound 'sound:{name}'", f"{hint}The names are: {', '.join(MADE)}.")


@lru_cache(3)
def made_sound(name: str) -> NDArray[np.float32]:
    """The sound as float32 [S] in [-0.9, 0.9] at ``MADE_RATE`` Hz, rounded to 16 bits. Treat it as read-only.

    Raises:
        ExunoError: there is no such sound.
    """
    check_sound(name)
    samples = MADE[name]()
    return (np.rint(samples / np.abs(samples).max() * (0.9 * 32767)) / 32768).astype(np.float32)


def _babble() -> NDArray[np.float64]:

    return babble(MADE_RATE)


def _music() -> NDArray[np.float64]:

    return music(MADE_RATE)


def _noise() -> NDArray[np.float64]:

    return noises(MADE_RATE)


MADE: dict[str, Callable[[], NDArray[np.float64]]] = {"babble": _babble, "music": _music, "noise": _noise}
"""How each sound is made, by its name."""


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
