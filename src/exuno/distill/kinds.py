"""Which source specs are photographs. No torch."""

from pathlib import Path

from exuno.data.constants import PICTURES


def is_photo(spec: str) -> bool:
    """Whether a source spec names one picture: ``photo:NAME``, ``noise:SEED``, or a path that ends like one."""
    return spec.startswith(("photo:", "noise:")) or Path(spec).suffix.lower() in PICTURES
