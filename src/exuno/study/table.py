"""Rows and columns from measured cells: means over seeds; every axis that is neither row nor column makes tables.

The layout is that of the tables of Chandrasegaran et al. (ICML 2022): the teachers in the first row, a row for each
temperature, a column for each label smoothing.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from exuno.metrics import mean_interval
from exuno.study.gather import Measured, in_percent
from exuno.study.grid import Axis


@dataclass(frozen=True)
class Layout:
    """Which axis goes where."""

    tables: tuple[Axis, ...]
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


def is_seed(axis: Axis) -> bool:
    """Whether the values of an axis are repetitions of one experiment, over which a mean says something."""
    return axis.flag.rsplit(".", 1)[-1] == "seed"


def layout_tables(found: Sequence[Measured], layout: Layout) -> list[Table]:
    """Sorts the cells into tables; a stage that an axis does not concern is the same for all its values, and one that
    measures nothing of what is shown is left out."""
    stages = list(dict.fromkeys(one.cell.stage for one in found))
    stages = [stage for stage in stages if _shown(found, stage, layout)] or stages
    several = sum(layout.rows is not None and _has(found, stage, layout.rows) for stage in stages) > 1
    columns = layout.columns.values if layout.columns else (None,)
    heads = tuple(label(layout.columns, value) if layout.columns and value else "" for value in columns)
    tables = []
    for split in itertools.product(*(axis.values for axis in layout.tables)):
        rows = []
        here = found
        for axis, value in zip(layout.tables, split, strict=True):
            here = _at(here, axis, value)
        for stage in stages:
            of_stage = [one for one in here if one.cell.stage == stage]
            for value in _values(layout.rows, of_stage):
                line = _at(of_stage, layout.rows, value)
                cells = tuple(_at(line, layout.columns, column) for column in columns)
                name = label(layout.rows, value) if layout.rows and value else stage
                rows.append(Row(f"{stage}, {name}" if several and value else name, stage, cells))
        named = [label(axis, value) for axis, value in zip(layout.tables, split, strict=True)]
        tables.append(Table(", ".join(named) or "Results", heads, rows))
    return tables


def _shown(found: Sequence[Measured], stage: str, layout: Layout) -> bool:
    """Whether a cell of a stage has, or may still get, one of the metrics."""
    of_stage = [one for one in found if one.cell.stage == stage]
    done = [one for one in of_stage if one.reason == ""]
    return not done or any(one.value(metric) is not None for one in done for metric in layout.metrics)


def _has(found: Sequence[Measured], stage: str, axis: Axis) -> bool:
    return any(axis.name in one.cell.values for one in found if one.cell.stage == stage)


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
        note += f"; mean over {seeds} seeds, ± half of its 95 % interval"
    chance = chance_of(table, layout)
    note += "" if chance is None else f"; chance is {100 * chance:.2f}"
    return {"title": table.title, "head": ["", *_heads(table.columns, layout.metrics)], "rows": rows, "note": note}


def chance_of(table: Table, layout: Layout) -> float | None:
    """The accuracy of guessing, where the first metric is top-1 and it is the same for all cells; else None."""
    found = {one.chance for row in table.rows for cells in row.cells for one in cells if one.metrics}
    top1 = layout.metrics[0].rsplit("/", 1)[-1] == "top1"
    return found.pop() if top1 and len(found) == 1 else None


def _text(cells: Sequence[Measured], metric: str) -> str:
    values = [value for one in cells if (value := one.value(metric)) is not None]
    failed = sum(bool(one.reason) for one in cells)
    waiting = sum(one.reason is None for one in cells)
    if not values:
        return "failed" if failed else "…" if waiting else "–"
    return numbers(values, in_percent(metric)) + (f" ({len(values)} of {len(cells)})" if failed or waiting else "")


def numbers(values: Sequence[float], percent: bool, sign: str = "") -> str:
    """``71.49 ± 0.30``: mean and half of its interval; shares in percent, other numbers with four digits."""
    scaled, form = [100 * value if percent else value for value in values], ".2f" if percent else ".4g"
    text = f"{sum(scaled) / len(scaled):{sign}{form}}"
    low, high = mean_interval(scaled)
    return f"{text} ± {(high - low) / 2:{form}}" if len(scaled) > 1 else text


def changes(table: Table, layout: Layout) -> list[dict[str, Any]]:
    """How much each row differs from the first of its stage, and each column from the first: cells paired by their
    other axes; without pairs no table."""
    return [*_down(table, layout), *_across(table, layout)]


def _down(table: Table, layout: Layout) -> Iterator[dict[str, Any]]:
    rows = []
    first: dict[str, Row] = {}
    for row in table.rows:
        base = first.setdefault(row.stage, row)
        if layout.rows is not None and base is not row:
            pairs = zip(base.cells, row.cells, strict=True)
            rows.append([row.label, *(_change(a, b, layout.rows, layout.metrics[0]) for a, b in pairs)])
    if layout.rows is not None and rows:
        yield _differences(table, layout, layout.rows, table.columns, rows)


def _across(table: Table, layout: Layout) -> Iterator[dict[str, Any]]:
    if layout.columns is not None and len(table.columns) > 1:
        axis, metric = layout.columns, layout.metrics[0]
        rows = [[row.label, *(_change(row.cells[0], b, axis, metric) for b in row.cells[1:])] for row in table.rows]
        if rows := [row for row in rows if set(row[1:]) != {"–"}]:
            yield _differences(table, layout, axis, table.columns[1:], rows)


def _differences(
    table: Table, layout: Layout, axis: Axis, columns: Sequence[str], rows: list[list[str]]
) -> dict[str, Any]:
    metric = layout.metrics[0]
    unit = ", in points" if in_percent(metric) else ""
    note = f"{metric}{unit}; cells are paired by their other axes, ± half of the 95 % interval of the mean"
    title = f"{table.title}: change from {label(axis, axis.values[0])}"
    return {"title": title, "head": ["", *_heads(columns, (metric,))], "rows": rows, "note": note}


def _heads(columns: Sequence[str], metrics: Sequence[str]) -> Sequence[str]:
    """What stands above the cells; the metrics where nothing varies from column to column."""
    return columns if any(columns) else (" / ".join(metrics),)


def _change(before: Sequence[Measured], after: Sequence[Measured], axis: Axis, metric: str) -> str:
    """Mean difference of the cells that are alike but for an axis."""

    def key(one: Measured) -> tuple[tuple[str, str], ...]:
        return tuple(sorted((name, value) for name, value in one.cell.values.items() if name != axis.name))

    known = {key(one): one.value(metric) for one in before}
    pairs = [(known.get(key(one)), one.value(metric)) for one in after]
    found = [b - a for a, b in pairs if a is not None and b is not None]
    return numbers(found, in_percent(metric), "+") if found else "–"


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
    if (chance := chance_of(table, layout)) is not None:
        lines.append({"name": "chance", "points": [[place, chance] for place in range(len(rows))], "dashed": True})
    names = [row.label.rsplit("= ", 1)[-1] for row in rows]
    over = layout.rows.flag.rsplit(".", 1)[-1].replace("-", " ") if layout.rows else ""
    metric = layout.metrics[0].rsplit("/", 1)[-1]
    percent = in_percent(layout.metrics[0])
    return {
        "title": f"{table.title}{f', over {over}' if over else ''}",
        "places": names,
        "lines": lines,
        "percent": percent,
        "x": over,
        "y": {"top1": "top-1 accuracy", "top5": "top-5 accuracy"}.get(metric, metric.replace("_", " ")),
    }


def markdown(content: dict[str, Any]) -> str:
    """A table as GitHub shows it."""
    cells = [content["head"], ["---"] * len(content["head"]), *content["rows"]]
    lines = ["| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in row) + " |" for row in cells]
    return f"## {content['title']}\n\n{content['note']}\n\n" + "\n".join(lines) + "\n"
