"""What was measured: tables for the page and the terminal, numbers for result.json, files of distances and points."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exuno.engine.files import atomic
from exuno.explain.geometry import Floats, Mask
from exuno.fewshot.tables import Table

MOST = 20
"""Classes that a table shows."""


@dataclass(frozen=True)
class Measured:
    """The numbers of one model on one split."""

    name: str
    split: str
    images: int
    top1: float
    within: float
    """Distance of an image from the centroid of its class."""
    near: float
    """Mean distance of similar classes."""
    spread_near: float
    """Standard deviation of a class along the way to a similar one, as a share of the way."""
    spread_far: float
    """The same to the other classes."""
    distances: Floats
    """[C, C]"""
    eta: float | None
    """Diffusion index; None for the reference."""
    interval: tuple[float, float]
    eta_of_classes: Floats
    """[C]"""

    @property
    def key(self) -> str:
        """In result.json and in the head of a table."""
        return f"{self.name}/{self.split}"


def signed(value: float, digits: int = 1) -> str:
    """``-0.013`` -> ``−1.3``, in percent; a dash for NaN."""
    return "–" if math.isnan(value) else f"{100 * value:+.{digits}f}".replace("-", "−")


def geometry(rows: Sequence[Measured], several: bool, note: str) -> Table:
    """Models x numbers; the split only where there are several."""
    lines = []
    for row in rows:
        half = (row.interval[1] - row.interval[0]) / 2
        index = "reference" if row.eta is None else f"{signed(row.eta)} ± {100 * half:.1f}"
        told = [row.name, row.split] if several else [row.name]
        numbers = [f"{value:.3f}" for value in (row.within, row.near, row.spread_near, row.spread_far)]
        lines.append([*told, f"{100 * row.top1:.1f} %", *numbers, index])
    head = ["model", *(["split"] if several else []), "top-1", "within", "near", "spread near", "spread far", "η in %"]
    return {"title": "Geometry of the features", "head": head, "rows": lines, "note": note}


def neighbours(rows: Sequence[Measured], names: Sequence[str], similar: Mask, similarity: Floats) -> Table:
    """Each class with its similar ones, nearest first, and the index of each model; of many classes those that moved
    most, or, of a single model, those with the nearest neighbours."""
    moved = [row for row in rows if row.eta is not None]
    has = similar.any(1)
    if moved:
        size = np.nanmax(np.where(has, np.abs([row.eta_of_classes for row in moved]), -1), 0)
    else:
        size = -np.where(similar, similarity, np.inf).min(1)
    chosen = np.flatnonzero(has)
    if len(chosen) > MOST:
        chosen = np.sort(chosen[np.argsort(-size[chosen], kind="stable")[:MOST]])
    lines = []
    for i in chosen.tolist():
        near = [j for j in similarity[i].argsort(kind="stable").tolist() if similar[i, j]]
        told = ", ".join(f"{names[j]} {similarity[i, j]:.2f}" for j in near[:8])
        told += f" and {len(near) - 8} more" if len(near) > 8 else ""
        lines.append([names[i], told, *(signed(float(row.eta_of_classes[i])) for row in moved)])
    several = len({row.split for row in rows}) > 1
    head = ["class", "similar classes", *(f"η, {row.key if several else row.name}" for row in moved)]
    note = "Beside each similar class its distance; 1 is the mean distance of two classes."
    if len(names) > MOST:
        note += f" {len(chosen)} of {len(names):,} classes, those that " + (
            "moved most; all distances are in distances.csv." if moved else "have the nearest neighbours."
        )
    return {"title": "Classes", "head": head, "rows": lines, "note": note}


def numbers(rows: Sequence[Measured]) -> dict[str, Any]:
    """metrics, intervals and n of result.json, and everything else under ``geometry``."""
    moved = [row for row in rows if row.eta is not None]
    fields = ("top1", "within", "near", "spread_near", "spread_far", "eta", "images")
    return {
        "metrics": {f"{row.key}/eta": row.eta for row in moved},
        "intervals": {f"{row.key}/eta": list(row.interval) for row in moved},
        "n": {f"{row.key}/eta": row.images for row in moved},
        "geometry": {row.key: {field: getattr(row, field) for field in fields} for row in rows},
    }


def write_distances(path: Path, rows: Sequence[Measured], names: Sequence[str], similar: Mask) -> None:
    """A line for each pair of classes, with its distance in each model; ``similar`` where one counts as similar to the
    other."""
    with atomic(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["class", "other", "similar", *(row.key for row in rows)])
        for i in range(len(names)):
            for j in range(i + 1, len(names)):
                either = int(similar[i, j] or similar[j, i])
                writer.writerow([names[i], names[j], either, *(f"{row.distances[i, j]:.5f}" for row in rows)])


def write_points(path: Path, points: dict[str, tuple[Floats, Sequence[str]]]) -> None:
    """A line for each projected image: model and split, class, x, y."""
    with atomic(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "class", "x", "y"])
        for key, (places, classes) in points.items():
            writer.writerows([key, name, f"{x:.5f}", f"{y:.5f}"] for (x, y), name in zip(places, classes, strict=True))
