"""Which source specs are photographs. No torch."""

from pathlib import Path

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".jp2", ".ppm", ".pgm")


def is_photo(spec: str) -> bool:
    """Whether a source spec names one picture: ``photo:NAME``, ``noise:SEED``, or a path that ends like one."""
    return spec.startswith(("photo:", "noise:")) or Path(spec).suffix.lower() in PICTURES
