"""Pieces of the page: what is wrong as a sentence, how far a command is, pictures with what was said of them."""

import shlex
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.app.jobs import Jobs, Progress
from exuno.engine.errors import ExunoError, as_mistake
from exuno.report.html import array_uri, esc

Bytes = NDArray[np.uint8]
SMALL = 64
"""Side in pixels up to which a picture is enlarged with sharp pixels."""
FOR_SHELLS = ("-h", "--help", "--dry-run", "--dry_run", "--run-dir", "--run_dir")
"""Options with which a command would not train, or not where the page looks."""


@dataclass(frozen=True)
class Desk:
    """What all tabs work with."""

    out: Path
    """Folder of the page."""
    devices: str
    jobs: Jobs


def mistake(error: Exception) -> str:
    """What is wrong, in a sentence or two for the page; of a bug the terminal gets the traceback."""
    told = as_mistake(error)
    if told is None:
        traceback.print_exception(error)
        said = f"This is a bug in exuno, not a mistake of yours ({type(error).__name__}: {error})."
    else:
        said = f"{told.what[:1].upper()}{told.what[1:]} {told.todo}".strip()
    return f'<p class="mistake" role="alert">{esc(said)}</p>'


def told(handler: Callable[..., Any]) -> Callable[..., Any]:
    """A handler of one output, HTML, whose mistakes stand in its place."""

    def handle(*values: Any) -> Any:
        try:
            return handler(*values)
        except Exception as error:
            return mistake(error)

    return handle


def typed(value: Any) -> str:
    """What stands in a field; one that was not shown gives None."""
    return str(value or "").strip()


def further(options: str) -> list[str]:
    """The words of "further options, as in a shell".

    Raises:
        ExunoError: a quotation mark is open, or an option is not for the page.
    """
    try:
        words = shlex.split(options)
    except ValueError as error:
        raise ExunoError(f"the further options cannot be read ({error})", "Close the quotation mark.") from None
    if any(word.split("=")[0] in FOR_SHELLS for word in words):
        raise ExunoError("--help, --dry-run and --run-dir are for a shell", "Leave them out.")
    return words


def hint(text: str) -> str:
    """A line that says what may be done."""
    return f'<p class="hint">{esc(text)}</p>'


def bar(title: str, progress: Progress | None) -> str:
    """How far a command is."""
    percent, text = (progress.percent, progress.text) if progress else (0, "")
    return (
        f'<div class="bar" role="progressbar" aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100">'
        f'<p><b>{esc(title)}</b><span>{percent} %</span></p><i style="width:{percent}%"></i>'
        f"<p><small>{esc(text)}</small></p></div>"
    )


def image(pixels: Bytes, about: str, kind: str = "") -> str:
    """A picture, uint8 [H, W] or [H, W, C]."""
    sharp = " sharp" if max(pixels.shape[:2]) <= SMALL else ""
    return f'<img class="{esc(kind)}{sharp}" src="{array_uri(pixels)}" alt="{esc(about)}">'


@dataclass(frozen=True)
class Said:
    """What somebody says of a picture."""

    who: str
    what: str
    how: str
    """How surely."""
    right: bool | None = None
    """None where nobody knows."""


def tile(pixels: Bytes, title: str, said: Sequence[Said]) -> str:
    """A picture with what was said of it."""
    marks = {True: "good", False: "bad", None: ""}
    lines = "".join(
        f'<span><small>{esc(each.who)}</small> <span class="{marks[each.right]}">{esc(each.what)}</span> '
        f"<small>{esc(each.how)}</small></span>"
        for each in said
    )
    return (
        f'<figure class="tile">{image(pixels, title)}<figcaption><b title="{esc(title)}">{esc(title)}</b>'
        f"{lines}</figcaption></figure>"
    )


def gallery(tiles: Sequence[str]) -> str:
    """Pictures side by side."""
    return f'<div class="gallery answers">{"".join(tiles)}</div>'
