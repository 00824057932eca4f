"""Which source specs are photographs, and which single recordings. No torch."""

from pathlib import Path

from exuno.data.constants import PICTURES
from exuno.data.deep import split_bits
from exuno.data.recording import is_recording


def is_photo(spec: str) -> bool:
    """Whether a source spec names one picture: ``photo:NAME``, ``noise:SEED``, or a path that ends like one (and
    perhaps ``@12bit`` behind it)."""
    return spec.startswith(("photo:", "noise:")) or Path(split_bits(spec)[0]).suffix.lower() in PICTURES


def is_single(spec: str) -> bool:
    """Whether a source spec names one datum, of which samples are made: a photograph or a recording."""
    return is_photo(spec) or is_recording(spec)
