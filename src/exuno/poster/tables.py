"""The tables of a measured poster: text in cells, for the terminal and for the page."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from exuno.data.poster import Poster, ledger
from exuno.metrics import mean_interval

PARTS = {
    "pixels": "pixels, 8 bits",
    "labels": "labels",
    "order": "order of the classes",
    "normalisation": "normalisation",
    "whitening": "whitening matrix",
    "total": "all of these",
    "png": "the pixels as PNG",
}


class Table(TypedDict):
    """All strings; every row as long as the head; ``note``, a sentence on it."""

    title: str
    head: list[str]
    rows: list[list[str]]
    note: NotRequired[str]


def accuracy_table(
    title: str, first: str, curves: Mapping[str, NDArray[np.float64]], steps: Sequence[int], chosen: int
) -> Table:
    """Mean accuracy in percent with the half width of its 95 % Student t interval.

    Args:
        title: of the table; the number of steps that counts is marked by ``*``.
        first: head of the first column.
        curves: name of a row -> accuracies [networks, S], fractions.
        steps: S numbers of training steps.
        chosen: the one that counts.
    """
    head = [first, "networks", *(f"{count:,} steps" + " *" * (count == chosen) for count in steps)]
    rows = [[name, str(len(each)), *(_cell(column) for column in each.T)] for name, each in curves.items()]
    return Table(title=f"{title} (* steps chosen on held-out data)", head=head, rows=rows)


def _cell(values: NDArray[np.float64]) -> str:
    mean = f"{100 * values.mean():.1f}"
    if len(values) == 1:
        return mean
    low, high = mean_interval(values)
    return f"{mean} ± {50 * (high - low):.1f}"


def ledger_table(poster: Poster) -> Table:
    """What it takes to learn from the poster, in bytes."""
    spent = ledger(poster)
    rows = [[text, f"{spent[part]:,}"] for part, text in PARTS.items() if spent[part]]
    return Table(
        title=f"Bytes, at {poster.ipc:.3g} images per class", head=["part", "bytes"], rows=rows, note=spent["code"]
    )


def plain(table: Table) -> str:
    """The table as lines of text: the first column to the left, the others to the right."""
    lines = [table["head"], *table["rows"]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(
            f"{cell:{'<' if i == 0 else '>'}{width}}" for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    note = [table["note"]] if "note" in table else []
    return "\n".join([table["title"], *(line.rstrip() for line in text), *note])
