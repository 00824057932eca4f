"""What was measured: rows of a table, for the terminal, for the page and as numbers for result.json. No torch."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Table = dict[str, Any]
"""title, head, rows (all strings) and note, as the page shows them."""


@dataclass(frozen=True)
class Cell:
    """Mean accuracy over episodes of one kind."""

    way: int
    shot: int
    head: str
    mean: float
    interval: tuple[float, float]
    """95 %, Student's t over the episodes; nan for a single one."""
    episodes: int

    @property
    def text(self) -> str:
        """``61.23 ± 0.20``, in percent."""
        low, high = self.interval
        return f"{100 * self.mean:.2f}" + (f" ± {50 * (high - low):.2f}" if self.episodes > 1 else "")


@dataclass(frozen=True)
class Row:
    """One model, and all that its numbers depend on."""

    name: str
    features: str
    """Which."""
    dimension: int
    size: tuple[int, int] | None
    """(H, W) of the images; None if that is not known."""
    short: int
    """Short side before the centre crop."""
    seen: str
    """Whether its training data may contain the tested classes."""
    cells: tuple[Cell, ...]
    baseline: bool = False

    @property
    def images(self) -> str:
        """``320 of 360``: side of the crop and the short side before it; the side alone where nothing is cut off."""
        if self.size is None:
            return "–"
        height, width = self.size
        side = f"{width}" if height == width else f"{width}x{height}"
        return side if self.short <= min(self.size) else f"{side} of {self.short}"


def tables(rows: Sequence[Row], title: str, note: str = "") -> list[Table]:
    """Models x shots, one table for each classifier."""
    heads = list(dict.fromkeys(cell.head for row in rows for cell in row.cells))
    return [_table(rows, head, f"{title}, {head}" if len(heads) > 1 else title, note) for head in heads]


def _table(rows: Sequence[Row], head: str, title: str, note: str) -> Table:
    shots = list(dict.fromkeys((cell.way, cell.shot) for row in rows for cell in row.cells if cell.head == head))
    lines = []
    for row in rows:
        found = {(cell.way, cell.shot): cell.text for cell in row.cells if cell.head == head}
        told = [row.name, f"{row.features}, {row.dimension:,}", row.images]
        lines.append([*told, *(found.get(shot, "–") for shot in shots), row.seen])
    named = [
        "model",
        "features",
        "pixels",
        *(f"{way}-way {shot}-shot" for way, shot in shots),
        "test classes in training",
    ]
    return {"title": title, "head": named, "rows": lines, "note": note}


def numbers(rows: Sequence[Row], with_head: bool = True) -> dict[str, dict[str, Any]]:
    """metrics, baselines, intervals and n for result.json, under keys like ``phase2/5-way-1-shot/prototype``.

    Args:
        rows: what was measured.
        with_head: whether the keys name the classifier; without, ``test/5-way-1-shot``.
    """
    found: dict[str, dict[str, Any]] = {"metrics": {}, "baselines": {}, "intervals": {}, "n": {}}
    for row in rows:
        for cell in row.cells:
            key = f"{row.name}/{cell.way}-way-{cell.shot}-shot" + (f"/{cell.head}" if with_head else "")
            found["baselines" if row.baseline else "metrics"][key] = cell.mean
            found["n"][key] = cell.episodes
            if cell.episodes > 1:
                found["intervals"][key] = list(cell.interval)
    return found


def show(contents: Sequence[Table]) -> None:
    """Prints tables, and the note that they share."""
    from rich.console import Console
    from rich.table import Table as Drawn

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120, markup=False, highlight=False)
    for content in contents:
        drawn = Drawn(title=content["title"], title_justify="left")
        for name in content["head"]:
            number = name.endswith("-shot")
            justify = "right" if number else "left"
            drawn.add_column(name, justify=justify, no_wrap=number, overflow="fold", min_width=None if number else 8)
        for row in content["rows"]:
            drawn.add_row(*row)
        console.print(drawn)
    for note in dict.fromkeys(content["note"] for content in contents if content["note"]):
        console.print(note, soft_wrap=True)
