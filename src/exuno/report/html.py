"""Small functions that return HTML. Every text goes through ``esc``; nothing else writes user data into the page.

Tables that a command has put into result.json as text: a title, a head, rows, and perhaps a note.
"""

import base64
import html
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exuno.report.record import Record, mapping

LARGEST = 1600  # longest side of an embedded figure in pixels; more only makes the page heavy


def esc(value: Any) -> str:
    """Text for a place between tags or inside a double-quoted attribute."""
    return html.escape(str(value), quote=True)


def section(title: str, body: str, lead: str = "", wide: bool = False) -> str:
    """A section of the page; nothing where there is no body. ``lead`` is text, ``body`` HTML."""
    if not body:
        return ""
    intro = f'<p class="lead">{esc(lead)}</p>' if lead else ""
    kind = ' class="wide"' if wide else ""
    return f"<section{kind}><h2>{esc(title)}</h2>{intro}{body}</section>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table that scrolls sideways on a phone. ``head`` is text, the cells of ``rows`` HTML; the first is a label.
    Numbers are not broken into lines, and words keep room enough to be read."""
    rows = [list(row) for row in rows]
    words = [[html.unescape(TAG.sub("", cell)) for cell in row] for row in rows]
    top = "".join(f'<th scope="col">{esc(cell)}</th>' for cell in head)
    body = ""
    for (first, *rest), (_, *texts) in zip(rows, words, strict=True):
        cells = "".join(f"<td{_cell_class(text)}>{cell}</td>" for cell, text in zip(rest, texts, strict=True))
        body += f'<tr><th scope="row">{first}</th>{cells}</tr>'
    top = f"<thead><tr>{top}</tr></thead>" if top else ""
    width = sum(max((_width(text) for text in column), default=0) for column in zip(*words, strict=False))
    if kind == "plain":  # its values break anywhere
        width = 0
    return scroll(f'<table class="{esc(kind)}">{top}<tbody>{body}</tbody></table>', width)


TAG = re.compile(r"<[^>]*>")
NUMBERS = re.compile(r"[\s\d.,:;×x%±+−–…()/→-]+")
"""Of a cell that stays in one line however long it is."""
SHORT, LETTER, GAP, WORDS = 16, 7.8, 14, 125
"""Letters that stay in one line; pixels of a letter, between columns, and of a column of words, broken into lines."""


def _cell_class(text: str) -> str:
    return ' class="whole"' if _whole(text) else ' class="words"'


def _width(text: str) -> float:
    return GAP + (LETTER * len(text) if _whole(text) else WORDS)


def _whole(text: str) -> bool:
    """Whether it stays in one line."""
    return len(text) <= SHORT or NUMBERS.fullmatch(text) is not None


def scroll(body: str, width: float) -> str:
    """What may be wider than the page: it scrolls sideways by itself, and a cue says so.

    ``width`` in pixels is an estimate from above: the cue stands where it is more than a phone, a tablet or the whole
    page has. Browsers with scroll timelines show it only where there is something to scroll to.
    """
    room = ((1032, " far"), (640, " mid"), (330, ""))
    kind = next((name for least, name in room if width > least), None)
    cue = "" if kind is None else f'<p class="cue{kind}" aria-hidden="true">scroll →</p>'
    if not cue:
        return f'<div class="scroll">{body}</div>'
    return f'<div class="cued">{cue}<div class="scroll" tabindex="0">{body}</div></div>'


def facts(pairs: Iterable[tuple[str, Any]]) -> str:
    """Names and values, as a description list; nothing where there are none."""
    items = "".join(f"<div><dt>{esc(name)}</dt><dd>{esc(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="facts">{items}</dl>' if items else ""


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """``{"a": {"b": 1}}`` -> ``("a / b", "1")``; lists are joined where they hold plain values."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flatten(inner, f"{prefix} / {key}" if prefix else str(key))
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for number, inner in enumerate(value, 1):
            yield from flatten(inner, f"{prefix} {number}".strip())
    elif isinstance(value, list):
        yield prefix, ", ".join(map(str, value))
    elif value is not None:
        yield prefix, f"{value:g}" if isinstance(value, float) else str(value)


def is_share(value: Any) -> bool:
    """Whether a value can be shown in percent: a number from 0 to 1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def percent(share: float | None, digits: int = 1) -> str:
    """``0.964`` -> ``96.4 %`` (narrow no-break space); a dash for None and NaN."""
    return "–" if share is None or math.isnan(share) else f"{100 * share:.{digits}f}\u202f%"


def duration(seconds: Any) -> str:
    """``3725`` -> ``1 h 2 min``; an empty string for what is no number."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def pretty(name: str) -> str:
    """``student/top1`` -> ``student``; ``student_on_noise`` -> ``student on noise``; ``test/5-way-1-shot`` and
    ``test/5-way-1-shot/prototype`` -> ``test · 5-way 1-shot``."""
    name = re.sub(r"(\d-way)-(\d+-shot)(/prototype$)?", r"\1 \2", name)
    return name.removesuffix("/top1").replace("/", " · ").replace("_", " ")


def hue(name: str) -> str:
    """CSS class of a model's colour, the same all over the page."""
    if shot := re.search(r"-way-(\d+)-shot", name):
        return "third" if shot[1] == "1" else "fourth"
    roles = {"teacher": "teacher", "student": "student", "model": "third", "poster": "third"}
    return next((roles[part] for part in name.split("/") if part in roles), "other")


def figure_uri(path: Path) -> tuple[str, int, int]:
    """A picture file as a data URI, its width and height: large ones made smaller, an animation as it is.

    Raises OSError or ValueError if it is no picture.
    """
    from PIL import Image

    with Image.open(path) as picture:
        picture.load()
        (width, height), data = picture.size, path.read_bytes()
        if picture.format == "GIF":
            return f"data:image/gif;base64,{base64.b64encode(data).decode()}", width, height
        if max(picture.size) > LARGEST:
            picture.thumbnail((LARGEST, LARGEST))
            return _uri(picture, "JPEG" if picture.mode in ("RGB", "L") else "WEBP"), width, height
    return f"data:image/png;base64,{base64.b64encode(data).decode()}", width, height


def array_uri(image: NDArray[np.uint8]) -> str:
    """uint8 [H, W] or [H, W, C] as a data URI: PNG for tiny pictures, JPEG of at most 160 pixels for others; a clip
    [T, H, W, C] as a GIF that repeats."""
    from PIL import Image

    if image.ndim == 4:
        from exuno.report.images import loop

        return f"data:image/gif;base64,{base64.b64encode(loop(image[None])).decode()}"
    picture = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] in (1, 2) else image)
    if max(picture.size) <= 64:
        return _uri(picture, "PNG")
    picture.thumbnail((160, 160))
    return _uri(picture.convert("RGB"), "JPEG")


def _uri(picture: Any, kind: str) -> str:
    stream = io.BytesIO()
    picture.save(stream, format=kind, **({"optimize": True} if kind == "PNG" else {"quality": 85}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"


def tables(record: Record) -> str:
    """A section for each table of result.json; one that makes no sense becomes a note."""
    listed = (record.result or {}).get("tables") or []
    return "".join(_section(record, each) for each in (listed if isinstance(listed, list) else [listed]))


def _section(record: Record, content: Any) -> str:
    content = mapping(content)
    head, rows = content.get("head"), content.get("rows")
    good = isinstance(head, list) and head and isinstance(rows, list)
    if not good or any(not isinstance(row, list) or len(row) != len(head) for row in rows):
        record.notes.append("A table of result.json makes no sense.")
        return ""
    body = table([str(cell) for cell in head], [[esc(cell) for cell in row] for row in rows])
    return section(str(content.get("title") or "Table"), body, str(content.get("note") or ""))
