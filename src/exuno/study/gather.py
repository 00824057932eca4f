"""What the cells of a study measured, read from their run directories."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exuno.engine.documents import read_result
from exuno.engine.errors import ExunoError
from exuno.report.headline import EPISODES
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
    """Why it failed; empty where it did not, None where it has not been tried."""
    seconds: float | None = None
    chance: float | None = None
    """Top-1 accuracy of guessing, where its result tells it."""

    def value(self, metric: str) -> float | None:
        """A metric by its whole name or its end."""
        if metric in self.metrics:
            return self.metrics[metric]
        found = {key.split("/")[0]: value for key, value in self.metrics.items() if key.endswith(f"/{metric}")}
        return next((found[who] for who in PREFERRED if who in found), next(iter(found.values()), None))


def in_percent(metric: str) -> bool:
    """Whether a metric is a share, which is shown in percent."""
    return metric.rsplit("/", 1)[-1] in ("top1", "top5", "ece", "accuracy") or bool(EPISODES.search(metric))


def measured(cell: Cell, reason: str | None, folder: Path) -> Measured:
    """A cell with what its run directory says.

    Args:
        cell: of the grid.
        reason: why it failed, "" if it did not, None if it has not been tried.
        folder: where the runs of the cells lie.
    """
    path = folder / cell.name / "result.json"
    if not path.is_file():
        return Measured(cell, {}, "it left no result" if reason == "" else reason)
    try:
        result = read_result(path)
    except ExunoError as error:
        return Measured(cell, {}, error.what)
    metrics = {key: value for key, value in result["metrics"].items() if isinstance(value, int | float)}
    chance = (result.get("baselines") or {}).get("chance/top1")
    return Measured(cell, metrics, reason or "", result.get("wall_seconds"), chance)


def to_csv(found: Sequence[Measured], axes: Sequence[Axis], folder: Path) -> str:
    """One line a cell: stage, values of the axes, what became of it, all metrics, its folder."""
    metrics = list(dict.fromkeys(key for one in found for key in one.metrics))
    names = [axis.name for axis in axes]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["stage", *names, "status", "reason", *metrics, "seconds", "run"])
    for one in found:
        status = "waiting" if one.reason is None else "failed" if one.reason else "done"
        values = [one.cell.values.get(name, "") for name in names]
        numbers = [one.metrics.get(key, "") for key in metrics]
        last = ["" if one.seconds is None else f"{one.seconds:.1f}", folder / one.cell.name]
        writer.writerow([one.cell.stage, *values, status, one.reason or "", *numbers, *last])
    return text.getvalue()
