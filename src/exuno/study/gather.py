"""What the cells of a study measured, read from their run directories."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exuno.study.grid import Axis, Cell

PREFERRED = ("student", "model", "poster", "test")
"""Whose metric is meant where a name of result.json is given by its end."""


@dataclass(frozen=True)
class Measured:
    """A cell and what became of it."""

    cell: Cell
    metrics: Mapping[str, float]
    """Empty where it has no result."""
    reason: str | None
    """Why it has none; None where it has not been tried."""
    seconds: float | None = None

    def value(self, metric: str) -> float | None:
        """A metric by its whole name or its end."""
        if metric in self.metrics:
            return self.metrics[metric]
        found = {key.split("/")[0]: value for key, value in self.metrics.items() if key.endswith(f"/{metric}")}
        return next((found[who] for who in PREFERRED if who in found), next(iter(found.values()), None))


def gather(cells: Sequence[Cell], reasons: Mapping[str, str], folder: Path) -> list[Measured]:
    """Reads the results of all cells that have one.

    Args:
        cells: of the grid.
        reasons: name -> why a cell has no result.
        folder: where the runs of the cells lie.
    """
    return [_measured(cell, reasons.get(cell.name), folder / cell.name / "result.json") for cell in cells]


def _measured(cell: Cell, reason: str | None, path: Path) -> Measured:
    if not path.is_file():
        return Measured(cell, {}, reason)
    result: dict[str, Any] = json.loads(path.read_text())
    metrics = {key: value for key, value in result["metrics"].items() if isinstance(value, int | float)}
    return Measured(cell, metrics, "", result.get("wall_seconds"))


def to_csv(found: Sequence[Measured], axes: Sequence[Axis], folder: Path) -> str:
    """One line a cell: stage, values of the axes, what became of it, all metrics, its folder."""
    metrics = list(dict.fromkeys(key for one in found for key in one.metrics))
    names = [axis.name for axis in axes]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["stage", *names, "status", "reason", *metrics, "seconds", "run"])
    for one in found:
        status = "done" if one.metrics else "waiting" if one.reason is None else "failed"
        values = [one.cell.values.get(name, "") for name in names]
        numbers = [one.metrics.get(key, "") for key in metrics]
        last = ["" if one.seconds is None else f"{one.seconds:.1f}", folder / one.cell.name]
        writer.writerow([one.cell.stage, *values, status, one.reason or "", *numbers, *last])
    return text.getvalue()
