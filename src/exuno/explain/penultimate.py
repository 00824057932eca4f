"""``exuno explain penultimate``: from model specs to numbers, tables, pictures and a page."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exuno.data.content import digests_of
from exuno.engine.files import atomic
from exuno.engine.progress import ProgressBar
from exuno.engine.run import Run
from exuno.explain import drawing, geometry
from exuno.explain.geometry import Floats, Mask, plane_of
from exuno.explain.options import PenultimateConfig, is_groups, replay, values_of
from exuno.explain.readings import (
    Images,
    LastLayer,
    Reading,
    distances_of,
    match_classes,
    near_chance,
    open_images,
    read_models,
    read_similar,
    within_heads,
)
from exuno.explain.similar import grouped, nearest, three_of
from exuno.explain.work import open_models, run_word
from exuno.features.cache import weights_digest
from exuno.fewshot.eval_measure import Table
from exuno.models.classifier import Classifier
from exuno.models.files import sha256
from exuno.report import figures
from exuno.report.images import save_png

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


def geometry_rows(rows: Sequence[Measured], several: bool, note: str) -> Table:
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


PAPER = "Müller, Kornblith, Hinton: When Does Label Smoothing Help? NeurIPS 2019, arXiv 1906.02629"
Readings = dict[str, list[Reading]]
Distances = dict[str, list[tuple[Floats, float]]]
"""Of each model and split: relative distances [C, C], and the length that is 1."""


def explain_penultimate(config: PenultimateConfig) -> Run:
    """Measures and draws; prints the table and writes a run directory. A finished run is only shown again.

    Raises:
        ExunoError: anything the user can put right.
    """
    images = open_images(config)
    models = open_models(config.models, config.size)
    specs = dict(zip(models, config.models, strict=True))
    judge = None
    if config.similar and not is_groups(config.similar) and config.similar not in config.models:
        (judge,) = open_models([config.similar], config.size).values()
    every = models | ({config.similar: judge} if judge and config.similar else {})
    match_classes(every, images.parts[0], config.order)
    mask = grouped(Path(config.similar or ""), images.names, images.missing) if is_groups(config.similar) else None
    three_of(images.names, config.asked, np.zeros((len(images.names),) * 2))  # a mistake is told before all work
    nearest(np.zeros((len(images.names),) * 2), config.neighbours)

    def work(run: Run, device: torch.device) -> dict[str, Any]:
        readings, layers = read_models(config, models, images, device)
        inside = within_heads(readings, layers, config.space)
        distances = {name: [distances_of(name, each, images) for each in found] for name, found in inside.items()}
        if judge and config.similar:
            similarity = read_similar(config.similar, judge, config, images, device)
        elif config.similar in config.models:
            similarity = distances[next(name for name, spec in specs.items() if spec == config.similar)][0][0]
        else:
            similarity = np.mean([each[0][0] for each in distances.values()], 0)
        similar = mask if mask is not None else nearest(similarity, config.neighbours)
        three = three_of(images.names, config.asked, similarity)
        rows = measure(config, inside, distances, images, similar)
        contents = [
            geometry_rows(rows, len(config.split) > 1, _note(config, images, three, near_chance(readings))),
            neighbours(rows, images.names, similar, similarity),
        ]
        draw(run, config, readings, distances, layers, images, three)
        draw_distances(run, rows, images, similar)
        write_distances(run.dir / "distances.csv", rows, images.names, similar)
        told = {"tables": contents, "lineage": {name: model.card.lineage for name, model in models.items()}}
        return {**numbers(rows), **told, "projected": [images.names[label] for label in three]}

    about = {"summary": f"Penultimate features of {_count(specs)} on {config.data}", "paper": PAPER}
    known = digests(config, {spec: models[name] for name, spec in specs.items()}, judge, images)
    values = values_of(config)
    again = replay("explain penultimate", values, "models")
    return run_word("explain penultimate", values, config.run, about, known, again, work)


def digests(
    config: PenultimateConfig, models: dict[str, Classifier], judge: Classifier | None, images: Images
) -> dict[str, str]:
    """sha256 of all that the configuration names and that shapes the numbers: weights under their specs, the file of
    groups, the data of each split."""
    found = {spec: weights_digest(model.net) for spec, model in models.items()}
    if config.similar and judge:
        found[config.similar] = weights_digest(judge.net)
    elif config.similar and is_groups(config.similar):
        found[config.similar] = sha256(Path(config.similar))
    for split, part in zip(images.splits, images.parts, strict=True):
        found |= digests_of(f"{config.data}, {split}", part)
    return found


def measure(
    config: PenultimateConfig, readings: Readings, distances: Distances, images: Images, similar: Mask
) -> list[Measured]:
    """The numbers of each model and split, the reference first."""
    rows, names = [], list(readings)
    count = len(images.names)
    far = ~similar & ~np.eye(count, dtype=bool) & similar.any(1, keepdims=True)
    work = len(names) * len(config.split) * config.resamples
    with ProgressBar("bootstrap", work, "resamples", quiet=len(names) == 1) as bar:
        for part, split in enumerate(config.split):
            found = [readings[name][part] for name in names]
            draws = [[] for _ in names]
            if len(names) > 1:
                options = (found[0].labels, count, similar, config.resamples, config.seed)
                for number, values in geometry.resampled([each.features for each in found], *options):
                    draws[number].append(values)
                    bar.advance(len(values), names[number])
            first = distances[names[0]][part][0]
            for number, (name, reading) in enumerate(zip(names, found, strict=True)):
                matrix, scale = distances[name][part]
                whole = geometry.clusters(reading.features, reading.labels, count)
                spread = geometry.spread(reading.features, reading.labels, whole)
                eta, interval = None, (0.0, 0.0)
                if number:
                    eta = float(geometry.eta(matrix, first, similar))
                    again = 1 - np.concatenate(draws[number]) / np.concatenate(draws[0])
                    interval = geometry.interval(eta, again)
                rows.append(
                    Measured(
                        name,
                        split,
                        len(reading.labels),
                        reading.top1,
                        geometry.within(whole, scale),
                        float(geometry.mean_of(matrix, similar)),
                        float(geometry.mean_of(spread, similar)),
                        float(geometry.mean_of(spread, far)),
                        matrix,
                        eta,
                        interval,
                        geometry.eta_of_classes(matrix, first, similar),
                    )
                )
    return rows


def draw(
    run: Run,
    config: PenultimateConfig,
    readings: Readings,
    distances: Distances,
    layers: dict[str, LastLayer],
    images: Images,
    three: Sequence[int],
) -> None:
    """Writes the pictures of the three classes, with common axes, and projection.csv."""
    names = [images.names[label] for label in three]
    panels, heads, points = {}, {}, {}
    for name, found in readings.items():
        rows = images.kept[list(three)]
        weight, bias = layers[name].weight[rows], layers[name].bias[rows]
        plane = None
        for part, reading in enumerate(found):
            chosen = np.isin(reading.labels, three)
            features = reading.features[chosen].astype(np.float64)
            labels = np.array([three.index(label) for label in reading.labels[chosen]], np.int64)
            centroids = geometry.clusters(features, labels, 3).means
            if plane is None:
                scale = distances[name][0][1]
                plane = plane_of(config.projection, weight, bias, features, centroids, scale)
            title = config.split[part] if len(found) > 1 else ""
            panel = drawing.Panel(title, plane(features), labels, plane(centroids))
            panels.setdefault(name, []).append(panel)
            points[f"{name}/{config.split[part]}"] = (panel.points, [names[label] for label in labels])
        heads[name] = (plane, weight, bias) if config.projection == "templates" else None
    box = drawing.box_of([panel for each in panels.values() for panel in each])
    for (name, mine), slug in zip(panels.items(), slugs(list(panels)), strict=True):
        file = f"projection-{slug}.png"
        picture = drawing.projection(mine, names, box, heads[name])
        save_png(picture, run.dir / "figures" / file)
        caption = f"The classes {', '.join(names[:2])} and {names[2]}; lengths are relative, 1 is the mean distance of "
        caption += "two class centroids of the model."
        figures.add(run.dir / "figures", file, name, caption, "numbers", drawing.least_of(picture))
    write_points(run.dir / "projection.csv", points)


def draw_distances(run: Run, rows: Sequence[Measured], images: Images, similar: Mask) -> None:
    """Writes a heat map of the distances of the reference, and of the changes in each other model, on the first
    split."""
    first = [row for row in rows if row.split == rows[0].split]
    for row, slug in zip(first, slugs([row.name for row in first]), strict=True):
        change = row.eta is not None
        values = row.distances - first[0].distances if change else row.distances
        picture = drawing.matrix(values, images.names, similar, change)
        file = f"distances-{slug}.png"
        save_png(picture, run.dir / "figures" / file)
        caption = (
            f"less those of {first[0].name}, in hundredths: blue where classes came nearer, orange where they parted."
            if change
            else "of class centroids, the nearer the bluer."
        )
        title, least = f"Distances, {row.name}", drawing.least_of(picture)
        figures.add(run.dir / "figures", file, title, f"{caption} Framed: similar classes.", "numbers", least)


def slugs(names: Sequence[str]) -> list[str]:
    """Names as parts of file names, no two alike: ``t-0.1`` and ``t-0-1`` differ in a character that is lost."""
    found = [figures.slug(name) for name in names]
    return [f"{slug}-{number}" if found.count(slug) > 1 else slug for number, slug in enumerate(found, 1)]


def _count(names: Sequence[str] | dict[str, str]) -> str:
    return next(iter(names)) if len(names) == 1 else f"{len(names)} models"


def _note(config: PenultimateConfig, images: Images, three: Sequence[int], guessing: Sequence[str]) -> str:
    """How the numbers came about; ``guessing`` are the models that they say little of."""
    names = [images.names[label] for label in three]
    why = "as asked" if config.asked else "the two nearest classes and the one farthest from both"
    if is_groups(config.similar):
        how = f"those of the same group of {config.similar}"
    else:
        whose = f"in {config.similar}" if config.similar else "averaged over the models"
        how = f"the {config.neighbours or min(3, len(images.names) - 2)} nearest {whose}"
    where = "all features" if config.space == "all" else "the features as far as the class weights span them"
    note = (
        f"Measured in {where}. Lengths are relative: 1 is the mean distance of two class centroids of the same model. "
        "within: distance of an image from its class centroid (root mean square). near: mean distance of similar "
        f"classes, {how}. spread: standard deviation of a class along the way to a similar (near) or another class "
        "(far); 1 is the whole way. η, exuno's diffusion index: by how much nearer similar classes are than in the "
        f"reference, ± half of the 95 % interval over images (not over trainings). Chance of top-1 is "
        f"{100 / len(images.names):.3g} %. Projected: "
        f"{', '.join(names[:2])} and {names[2]}, {why}."
    )
    if images.missing:
        note += f" {len(images.missing)} classes with fewer than two images are left out."
    if guessing:
        note += f" Near chance: {', '.join(guessing)}; an η of such a model, or against it, says nothing."
    return note
