"""Data specs: a name, or ``PREFIX:PATH`` -> Data."""

from pathlib import Path

from exuno.data.base import Data
from exuno.engine.errors import ExunoError

FORMS = "digits"


def open_data(spec: str, split: str = "train", *, root: Path | None = None) -> Data:
    """Open the data set that ``spec`` names.

    Args:
        spec: a data spec.
        split: ``train``, ``test`` or another one that the data set has.
        root: folder in which the files of a named data set lie.

    Raises:
        ExunoError: for an unknown spec or split, and for missing or broken files.
    """
    if spec == "digits":
        from exuno.data.digits import open_digits

        return open_digits(split)
    raise ExunoError(f"'{spec}' is no data spec", f"The forms are {FORMS}.")
