"""The list of the pictures that the page of a run shows beside its curves and tables. No torch."""

import json
from pathlib import Path

from exuno.engine.documents import read_text
from exuno.engine.errors import ExunoError
from exuno.engine.files import write_json


def add(folder: Path, file: str, title: str, caption: str, shows: str = "data", least: int = 0) -> None:
    """Names a picture in ``figures.json``, in the place of an older one of its name.

    Args:
        folder: figures/ of a run.
        file: its name there.
        title: of the figure.
        caption: of the figure.
        shows: "numbers" for a chart, which a page inverts in the dark; "model" for what a model made of noise; else
            "data" (see ``private``).
        least: width in pixels of the page below which its labels are too small; 0 for a picture without labels.
    """
    path = folder / "figures.json"
    try:
        listed = json.loads(read_text(path)) if path.is_file() else []
    except (ValueError, RecursionError, ExunoError):
        listed = []
    others = [each for each in listed if isinstance(each, dict) and each.get("file") != file]
    write_json(path, [*others, {"file": file, "title": title, "caption": caption, "shows": shows, "least": least}])


def slug(name: str) -> str:
    """A name as part of a file name."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)
