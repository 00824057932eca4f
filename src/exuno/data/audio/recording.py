"""One recording as mono samples at the rate that is wanted: a file, bytes, or a made sound. No torch."""

import hashlib
import io
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.data.audio.generated import MADE, MADE_RATE, check_sound, made_sound
from exuno.engine.documents import read_bytes
from exuno.engine.errors import ExunoError
from exuno.engine.files import existing
from exuno.engine.remote import fetched

SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64", ".sph"),
)
FORMS = f"PATH of a recording ({', '.join(SUFFIXES)}) or sound:NAME ({', '.join(MADE)})"

RATES = (1000, 1_000_000)
"""Hz: a header that tells another rate is broken, and believing it could take all memory."""

QUIET = 2 / 32768
"""Two steps of 16 bits: what rounding leaves of silence, or of channels that cancel each other."""

_UNKNOWN = 0x7FFFF000
"""Programs that write to a pipe do not know the size of a file: they leave 0, or the largest there is, from here on."""

_LARGEST = 2000
"""Largest numerator and denominator of a resampling; 44,100 Hz to 16,000 Hz needs 441."""


def is_recording(spec: str | Path) -> bool:
    """Whether a spec names a recording, by its suffix or ``sound:`` alone."""
    return str(spec).startswith("sound:") or Path(spec).suffix.lower() in SUFFIXES


def load_recording(spec: str | Path, rate: int) -> NDArray[np.float32]:
    """The recording as float32 [S] in [-1, 1] at ``rate`` Hz, to make excerpts of; channels are averaged.

    Raises:
        ExunoError: no such file or name, not a complete recording, or nothing to hear in it.
    """
    text = str(spec)
    if text.startswith("sound:"):
        return resample(made_sound(text.removeprefix("sound:")), MADE_RATE, rate)
    path = existing(fetched(spec), "recording", FORMS)
    samples = read_recording(path, rate)
    if len(samples) < 2:
        raise ExunoError(f"the recording '{path}' has a single sample", "Give one that lasts some seconds.")
    if samples.max() - samples.min() <= QUIET:
        raise ExunoError(
            f"the recording '{path}' is silent: the mean of its channels never changes",
            "Give one with something to hear.",
        )
    return samples


def check_recording(spec: str | Path) -> None:
    """Raises ExunoError unless a spec names a recording that is there; reads nothing."""
    name = str(spec).removeprefix("sound:")
    if name != str(spec):
        check_sound(name)
    else:
        existing(fetched(spec), "recording", FORMS)


def recording_sha256(spec: str | Path) -> str:
    """SHA-256 of the bytes of the recording's file, of the samples for ``sound:NAME``; hexadecimal."""
    text = str(spec)
    if text.startswith("sound:"):
        return hashlib.sha256(made_sound(text.removeprefix("sound:")).tobytes()).hexdigest()
    return hashlib.sha256(read_bytes(existing(fetched(spec), "recording", FORMS))).hexdigest()


def read_recording(source: str | Path | bytes, rate: int) -> NDArray[np.float32]:
    """A file, or the bytes of one, as float32 [S] in [-1, 1] at ``rate`` Hz; channels are averaged.

    Integers of any width are scaled to [-1, 1]. Floats are taken as they are, and divided by their peak where it is
    above 1. Silence and a single sample are no mistake here: a data set may hold them.

    Raises:
        ExunoError: the only thing raised for what is not a complete recording, or has no sample or values that are not
            a number.
    """
    name = "the recording" if isinstance(source, bytes) else f"'{source}'"
    content = source if isinstance(source, bytes) else read_bytes(Path(source))
    if not content:
        raise ExunoError(f"{name} is empty: it has no bytes", "Copy or download it again.")
    samples, found = _decode(content, name)
    if not RATES[0] <= found <= RATES[1]:
        raise ExunoError(
            f"{name} says that it has {found:,} samples a second", f"{RATES[0]:,} to {RATES[1]:,} can be read."
        )
    if not len(samples):
        raise ExunoError(f"{name} has no sample", "Copy or download it again.")
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(1)
    if not np.isfinite(mono).all():
        raise ExunoError(f"{name} has values that are not a number", "Replace them first.")
    return resample(mono, found, rate)


def resample(samples: NDArray[np.float32], found: int, rate: int) -> NDArray[np.float32]:
    """Samples [S] at ``found`` Hz as ceil(S rate / found) samples at ``rate`` Hz, float32 in [-1, 1]."""
    if found != rate:
        from scipy.signal import resample_poly

        ratio = Fraction(rate, found).limit_denominator(_LARGEST)
        up, down = max(ratio.numerator, 1), ratio.denominator
        samples = resample_poly(samples, up, down, window=_taps(max(up, down)))
    peak = float(max(samples.max(), -samples.min()))
    return np.asarray(samples / peak if peak > 1 else samples, np.float32)


@lru_cache(16)
def _taps(steps: int) -> NDArray[np.float32]:
    """A low-pass filter that ends at the lower of the two rates' limits: 80 dB down, 5 % of the band to get there."""
    place = np.arange(-48 * steps, 48 * steps + 1)
    taps = np.sinc(place * (0.95 / steps)) * np.kaiser(len(place), 8.0)
    return (taps / taps.sum()).astype(np.float32)


def soundfile() -> Any:
    """The library that reads and writes recordings."""
    try:
        import soundfile as library
    except ImportError:
        raise ExunoError("recordings need soundfile, which is not installed", "pip install 'exuno[audio]'") from None
    return library


def _decode(content: bytes, name: str) -> tuple[NDArray[np.float32], int]:
    """Samples float32 [S, channels] and their rate in Hz."""
    library = soundfile()
    _check_size(content, name)
    try:
        with library.SoundFile(io.BytesIO(content)) as file:
            promised, rate = file.frames, file.samplerate
            samples = file.read(dtype="float32", always_2d=True)
    except (library.LibsndfileError, TypeError, ValueError, MemoryError) as error:
        why = getattr(error, "error_string", error)  # soundfile's own text names the buffer too
        raise ExunoError(
            f"{name} is not a recording that can be read ({why})", "WAV, FLAC, MP3, Ogg, Opus, AIFF, AU, … are known."
        ) from None
    if len(samples) < promised:
        raise _cut(name, f"{len(samples):,} of {promised:,} samples")
    return samples, rate


def _check_size(content: bytes, name: str) -> None:
    """Refuses a WAV, AIFF or AU file that ends early; libsndfile plays it as far as it goes, without a word."""
    if content[:4] == b".snd" or (content[:4] == b"FORM" and content[8:11] == b"AIF"):
        au = content[:4] == b".snd"
        start, size = (
            (int.from_bytes(content[4:8]), int.from_bytes(content[8:12])) if au else (8, int.from_bytes(content[4:8]))
        )
        if 0 < size < _UNKNOWN and start + size > len(content):
            raise _cut(name, f"{max(0, len(content) - start):,} of {size:,} bytes")
        return
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return
    start = 12
    while start + 8 <= len(content):
        size = int.from_bytes(content[start + 4 : start + 8], "little")
        if content[start : start + 4] == b"data":
            if 0 < size < _UNKNOWN and start + 8 + size > len(content):
                raise _cut(name, f"{len(content) - start - 8:,} of {size:,} bytes")
            return
        start += 8 + size + size % 2
    raise _cut(name, "a header without samples")


def _cut(name: str, there: str) -> ExunoError:
    return ExunoError(f"{name} is cut off: it holds {there}", "Copy or download it again.")
