"""Sounds that need no file, made by a short program from random numbers: ``sound:babble``, ``sound:music``,
``sound:noise``. Each is the same on every machine up to the last of 16 bits."""

from collections.abc import Callable
from difflib import get_close_matches
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

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
    from exuno.data.made_babble import babble

    return babble(MADE_RATE)


def _music() -> NDArray[np.float64]:
    from exuno.data.made_music import music

    return music(MADE_RATE)


def _noise() -> NDArray[np.float64]:
    from exuno.data.made_music import noises

    return noises(MADE_RATE)


MADE: dict[str, Callable[[], NDArray[np.float64]]] = {"babble": _babble, "music": _music, "noise": _noise}
"""How each sound is made, by its name."""
