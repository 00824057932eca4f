"""Accuracies of features over episodes, and the tables of what was measured."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exuno.data.base import Data
from exuno.data.subset import abbreviated, labels_of, names_of
from exuno.engine.errors import ExunoError
from exuno.engine.progress import ProgressBar
from exuno.features import Count, FeatureName
from exuno.features.cache import Features, cached, key_of
from exuno.features.extract import (
    Advance,
    check_blocks,
    check_short,
    check_size,
    extract,
    kind_of,
    raw_pixels,
    raw_size,
    short_side,
)
from exuno.fewshot.episodes import PUBLISHED, Episodes, Ints, count_of, draw, too_small
from exuno.fewshot.eval_models import Subject
from exuno.fewshot.eval_options import QUERIES
from exuno.fewshot.options import Protocol, heads
from exuno.metrics import mean_interval

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
    blocks: int = 1
    """Last blocks whose [CLS] tokens are in the features."""
    views: int = 1
    """Of each image."""

    @property
    def images(self) -> str:
        """``320 of 360, 5 views``: side of the crop and the short side before it; the side alone where nothing is cut
        off."""
        if self.size is None:
            return "–"
        height, width = self.size
        side = f"{width}" if height == width else f"{width}x{height}"
        side += f" of {self.short}" if self.short > min(self.size) else ""
        return side + (f", {self.views} views" if self.views > 1 else "")

    @property
    def told(self) -> str:
        """``cls+patch of 4 blocks, 320``: which features, and how many numbers they are."""
        return f"{self.features}{f' of {self.blocks} blocks' if self.blocks > 1 else ''}, {self.dimension:,}"


def tables(rows: Sequence[Row], title: str, note: str = "") -> list[Table]:
    """Models x shots, one table for each classifier."""
    heads = list(dict.fromkeys(cell.head for row in rows for cell in row.cells))
    return [_table(rows, head, f"{title}, {head}" if len(heads) > 1 else title, note) for head in heads]


def _table(rows: Sequence[Row], head: str, title: str, note: str) -> Table:
    shots = list(dict.fromkeys((cell.way, cell.shot) for row in rows for cell in row.cells if cell.head == head))
    lines = []
    for row in rows:
        found = {(cell.way, cell.shot): cell.text for cell in row.cells if cell.head == head}
        told = [row.name, row.told, row.images]
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


SHOTS = (1, 5)
EPISODES = 10_000


@dataclass(frozen=True)
class Plan:
    """What is asked of the features."""

    way: int = 5
    shots: tuple[int, ...] = SHOTS
    queries: int | None = QUERIES
    episodes: int = EPISODES
    protocol: Protocol = "standard"
    heads: tuple[str, ...] = ("prototype",)
    neighbours: int = 1
    seed: int = 0

    @property
    def work(self) -> int:
        """Episodes of one model, over all cells."""
        return len(self.shots) * len(self.heads) * self.episodes

    def sentence(self, data: Data) -> str:
        """How the numbers came about."""
        if data.episodes is not None:
            return self._given(data)
        return (
            f"Mean accuracy in percent over {self.episodes:,} episodes of {self.way} classes and {self._per(data)}, "
            f"± half of the 95 % interval, by {self._named()}. {len(data):,} images of the {data.num_classes} classes "
            f"{abbreviated(names_of(data))}; protocol {self.protocol}, seed {self.seed}. "
            f"Chance is {100 / self.way:.4g}."
        )

    def _given(self, data: Data) -> str:
        shot, queries = self.shots[0], self.queries or 0
        return (
            f"Mean accuracy in percent over the {self.episodes} episodes that {data.name} brings, each of {self.way} "
            f"classes, {shot} image{'s' if shot > 1 else ''} to learn from and {queries} to classify of each "
            f"({self.episodes * self.way * queries:,} answers), ± half of the 95 % interval over the episodes, by "
            f"{self._named()}. {len(data):,} images of {data.num_classes} classes; seed {self.seed}. "
            f"Chance is {100 / self.way:.4g}."
        )

    def _per(self, data: Data) -> str:
        if self.protocol == "reference" and self.queries is None:
            return f"{PUBLISHED} - k queries of each class, as published"
        if self.queries is not None:
            return f"{self.queries} queries of each class"
        sizes = np.bincount(labels_of(data), minlength=data.num_classes)
        if sizes.min() == sizes.max():
            return "all other images of each class"
        return f"{sizes.min()} - k queries of each class, all that the smallest has"

    def _named(self) -> str:
        label = {name: entry.facts["label"].format(self.neighbours) for name, entry in heads.entries.items()}
        return ", ".join(label.get(head, head) for head in self.heads)


@dataclass(frozen=True)
class View:
    """How images become features."""

    features: FeatureName = "auto"
    blocks: int = 1
    views: Count = 1
    size: tuple[int, int] | None = None
    resize: int | None = None
    workers: int = 0
    cache: Path | None = None


def measure(
    subject: Subject,
    data: Data,
    plan: Plan,
    view: View,
    device: torch.device,
    said: str = "",
    progress: Advance | None = None,
) -> Row:
    """The accuracies of one model.

    Args:
        subject: the model, or raw pixels, which are compared at their own size, at most 32 pixels.
        data: N labelled images of new classes.
        plan: episodes and classifiers.
        view: how images become features.
        device: where the network and the classifiers run.
        said: whether the model may have seen the classes.
        progress: called with the number of images or episodes done.

    Raises:
        ExunoError: features that are not finite, or that the model does not have.
    """
    from exuno.fewshot.heads import accuracies

    kind, size, short = seen_as(subject, data, view)
    if subject.table is not None:
        features, labels = subject.table.features, subject.table.labels
        if progress:
            progress(len(data))
    else:
        assert size is not None
        features, labels = _features(subject, data, kind, size, short, view, device, progress)
    if not torch.isfinite(features).all():
        damaged = "Its weights are damaged, or its training diverged."
        damaged = damaged if subject.table is None else "The file is damaged; fetch or write it again."
        raise ExunoError(f"the features of {subject.spec} are not finite", damaged)
    features, cells = features.to(device), []
    for head in plan.heads:
        for shot in plan.shots:
            drawn = episodes_of(data, labels.numpy(), plan, shot)
            options: dict[str, Any] = {"neighbours": plan.neighbours, "seed": plan.seed, "progress": progress}
            found = accuracies(features, labels.numpy(), drawn, head, **options)
            mean, interval = float(np.mean(found)), mean_interval(found)
            cells.append(Cell(plan.way, shot, head, mean, interval, len(found)))
    blocks, views = (view.blocks, view.views) if subject.model is not None else (1, 1)
    shape = (features.shape[1], size, short)
    return Row(subject.name, kind, *shape, said, tuple(cells), subject.baseline, blocks, views)


def episodes_of(data: Data, labels: Ints, plan: Plan, shot: int) -> Iterator[Episodes]:
    """The episodes that the data bring, else those of a plan, drawn."""
    if data.episodes is not None:
        return iter([Episodes(*data.episodes)])
    return draw(labels, plan.way, shot, plan.queries, plan.episodes, plan.seed, plan.protocol)


def seen_as(subject: Subject, data: Data, view: View) -> tuple[str, tuple[int, int] | None, int]:
    """Kind of the features, size of the images (None: unknown) and short side before the crop."""
    if subject.table is not None:
        return "of the file", None, 0
    if subject.model is None:
        size = raw_size(data)
        return "pixels", size, short_side(data, size)
    size = view.size or subject.model.card.input_size
    check_size(subject.model, size)
    kind = kind_of(subject.model, view.features)
    check_blocks(subject.model, kind, view.blocks)
    check_short(size, view.resize, view.views)
    return kind, size, short_side(data, size, view.resize, view.views)


def _features(
    subject: Subject,
    data: Data,
    kind: Any,
    size: tuple[int, int],
    short: int,
    view: View,
    device: torch.device,
    progress: Advance | None,
) -> Features:
    """From the cache, or computed."""
    model, computed = subject.model, []

    def compute() -> Features:
        computed.append(True)
        if model is None:
            return raw_pixels(data, size, short, view.workers, progress)
        options: dict[str, Any] = {"size": size, "resize": short, "device": device, "workers": view.workers}
        return extract(model, data, features=kind, blocks=view.blocks, views=view.views, **options, progress=progress)

    if view.cache is None:
        return compute()
    net, card = (model.net, model.card) if model is not None else (None, None)
    where = device.type if model is not None else "cpu"
    # Named only where they are not 1, so that features from before there were such options are found.
    joined = {"blocks": view.blocks, "views": view.views} if model is not None else {}
    more = {name: count for name, count in joined.items() if count > 1}
    key = key_of(net, card, data, kind=kind, size=size, short=short, seed=subject.seed, device=where, **more)
    found = cached(view.cache, key, compute)
    if not computed and progress:
        progress(len(data))
    return found


def check_data(data: Data, plan: Plan) -> None:
    """Raises ExunoError if the data have too few classes or images for an episode."""
    if plan.way > data.num_classes:
        raise ExunoError(
            f"--way is {plan.way}, but {data.name} has {data.num_classes} classes", "Give a smaller --way."
        )
    counts = np.bincount(labels_of(data), minlength=data.num_classes)
    least, shot = int(counts.argmin()), max(plan.shots)
    smallest = int(counts[least])
    count = count_of(plan.protocol, plan.queries, shot, smallest)
    if smallest < shot + count:
        name = f"class {names_of(data)[least]} of {data.name}"
        raise too_small(name, smallest, plan.protocol, plan.queries, shot, count)


def measure_all(
    subjects: Sequence[Subject],
    data: Data,
    plan: Plan,
    view: View,
    device: torch.device,
    told: Sequence[str],
    title: str = "fewshot eval",
) -> list[Row]:
    """A row for each model, under one progress bar; a network leaves the device when it is done."""
    rows = []
    with ProgressBar(title, len(subjects) * (len(data) + plan.work), "images and episodes") as bar:
        for subject, said in zip(subjects, told, strict=True):
            bar.note = subject.name
            rows.append(measure(subject, data, plan, view, device, said, bar.advance))
            if subject.model is not None:
                subject.model.cpu()
    return rows
