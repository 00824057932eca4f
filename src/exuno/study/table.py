"""Rows and columns from measured cells: means over whatever is neither row, column nor table (seeds).

The layout is that of the tables of Chandrasegaran et al. (ICML 2022): the teachers in the first row, a row for each
temperature, a column for each label smoothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from exuno.metrics import mean_interval
from exuno.study.gather import Measured
from exuno.study.grid import Axis


@dataclass(frozen=True)
class Layout:
    """Which axis goes where."""

    tables: Axis | None
    rows: Axis | None
    columns: Axis | None
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One line of a table: its label, and the cells of each column."""

    label: str
    stage: str
    cells: tuple[list[Measured], ...]


@dataclass(frozen=True)
class Table:
    """One table of a study."""

    title: str
    columns: tuple[str, ...]
    rows: list[Row]


def label(axis: Axis, value: str) -> str:
    """``temperature = 3``; a model or data spec without its prefix."""
    return f"{axis.flag.rsplit('.', 1)[-1].replace('-', ' ')} = {value.removeprefix('exuno:')}"


def layout_tables(found: Sequence[Measured], layout: Layout) -> list[Table]:
    """Sorts the cells into tables; a stage that an axis does not concern is the same for all its values."""
    stages = list(dict.fromkeys(one.cell.stage for one in found))
    columns = layout.columns.values if layout.columns else (None,)
    heads = tuple(label(layout.columns, value) if layout.columns and value else "" for value in columns)
    tables = []
    for split in layout.tables.values if layout.tables else (None,):
        rows = []
        here = _at(found, layout.tables, split)
        for stage in stages:
            of_stage = [one for one in here if one.cell.stage == stage]
            for value in _values(layout.rows, of_stage):
                line = _at(of_stage, layout.rows, value)
                cells = tuple(_at(line, layout.columns, column) for column in columns)
                name = label(layout.rows, value) if layout.rows and value else stage
                rows.append(Row(name, stage, cells))
        title = label(layout.tables, split) if layout.tables and split else "Results"
        tables.append(Table(title, heads, rows))
    return tables


def _at(found: Sequence[Measured], axis: Axis | None, value: str | None) -> list[Measured]:
    return [one for one in found if axis is None or one.cell.values.get(axis.name, value) == value]


def _values(axis: Axis | None, found: Sequence[Measured]) -> Sequence[str | None]:
    concerned = axis is not None and any(axis.name in one.cell.values for one in found)
    return axis.values if axis and concerned else (None,)


def contents(table: Table, layout: Layout) -> dict[str, Any]:
    """A table as text, as the page shows it: title, head, rows, note."""
    rows = [
        [row.label, *(" / ".join(_text(cells, metric) for metric in layout.metrics) for cells in row.cells)]
        for row in table.rows
    ]
    seeds = max((len(cells) for row in table.rows for cells in row.cells), default=0)
    note = " / ".join(layout.metrics)
    if seeds > 1:
        note += f"; mean of up to {seeds} cells, ± half of its 95 % interval"
    return {"title": table.title, "head": ["", *table.columns], "rows": rows, "note": note}


def _text(cells: Sequence[Measured], metric: str) -> str:
    values = [value for one in cells if (value := one.value(metric)) is not None]
    failed = sum(bool(one.reason) for one in cells)
    waiting = sum(one.reason is None for one in cells)
    if not values:
        return "failed" if failed else "…" if waiting else "–"
    return numbers(values) + (f" ({len(values)} of {len(cells)})" if failed or waiting else "")


def numbers(values: Sequence[float], sign: str = "") -> str:
    """``71.49 ± 0.30``: mean and half of its interval, in percent where all are shares."""
    shares = all(-1 <= value <= 1 for value in values)
    scaled = [100 * value if shares else value for value in values]
    text = f"{sum(scaled) / len(scaled):{sign}.2f}"
    low, high = mean_interval(scaled)
    return f"{text} ± {(high - low) / 2:.2f}" if len(scaled) > 1 else text


def changes(table: Table, layout: Layout) -> dict[str, Any] | None:
    """How much each row differs from the first of its stage, cells paired by their other axes; None without pairs."""
    metric, rows = layout.metrics[0], []
    first: dict[str, Row] = {}
    for row in table.rows:
        base = first.setdefault(row.stage, row)
        if base is not row:
            pairs = [list(_paired(a, b, layout, metric)) for a, b in zip(base.cells, row.cells, strict=True)]
            rows.append([row.label, *(numbers(differences, "+") if differences else "–" for differences in pairs)])
    if layout.rows is None or not rows:
        return None
    note = f"{metric}, in points; cells are paired by their other axes, ± half of the 95 % interval of the mean"
    title = f"{table.title}: change from {label(layout.rows, layout.rows.values[0])}"
    return {"title": title, "head": ["", *table.columns], "rows": rows, "note": note}


def _paired(before: Sequence[Measured], after: Sequence[Measured], layout: Layout, metric: str) -> Iterator[float]:
    def key(one: Measured) -> tuple[tuple[str, str], ...]:
        row = layout.rows.name if layout.rows else ""
        return tuple(sorted((name, value) for name, value in one.cell.values.items() if name != row))

    known = {key(one): one.value(metric) for one in before}
    for one in after:
        a, b = known.get(key(one)), one.value(metric)
        if a is not None and b is not None:
            yield b - a


def chart(table: Table, layout: Layout) -> dict[str, Any]:
    """The first metric over the rows, a line for each column, as the page draws it."""
    rows = [row for row in table.rows if row.stage == table.rows[-1].stage]
    lines = []
    for number, column in enumerate(table.columns):
        points = []
        for place, row in enumerate(rows):
            values = [v for one in row.cells[number] if (v := one.value(layout.metrics[0])) is not None]
            if values:
                points.append([place, sum(values) / len(values)])
        lines.append({"name": column or layout.metrics[0], "points": points})
    names = [row.label.rsplit("= ", 1)[-1] for row in rows]
    what = f", over {layout.rows.flag.rsplit('.', 1)[-1]}" if layout.rows else ""
    return {"title": f"{table.title}{what}", "places": names, "lines": lines}


def markdown(content: dict[str, Any]) -> str:
    """A table as GitHub shows it."""
    cells = [content["head"], ["---"] * len(content["head"]), *content["rows"]]
    lines = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in cells]
    return f"## {content['title']}\n\n{content['note']}\n\n" + "\n".join(lines) + "\n"
