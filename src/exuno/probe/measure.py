"""``exuno probe`` from top to bottom."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exuno.data.base import modality
from exuno.data.holdout import open_both
from exuno.data.images.corners import views_of
from exuno.data.loader import IN_ORDER, Loader
from exuno.data.open import check_apart
from exuno.data.relabelled import of_splits, relabelled, side_of
from exuno.data.subset import labels_of
from exuno.engine.devices import make_accelerator
from exuno.engine.errors import ExunoError
from exuno.engine.loop import fit
from exuno.engine.options import Augment, Optim, RunOptions
from exuno.engine.progress import ProgressBar
from exuno.engine.run import Run
from exuno.engine.session import Subset, seed_everything
from exuno.explain.options import replay
from exuno.explain.work import run_word
from exuno.features.filters import draw_filters
from exuno.features.neighbours import neighbour_votes
from exuno.fewshot.eval_measure import Table
from exuno.fewshot.eval_models import names_of_specs, random_network
from exuno.metrics import guessing, mean_interval, wilson_interval
from exuno.models.classifier import NAMES, Classifier
from exuno.models.load import load_model
from exuno.presets import to_dict
from exuno.probe.layers import Layer, absorbed, activations, layers_of
from exuno.probe.linear import Probes, solve, standardise
from exuno.probe.options import RANDOM, SMOKE_IMAGES, ProbeConfig, split_row
from exuno.training import size_of

BATCH = 250
SCHEDULE = Optim("sgd", lr=0.01, weight_decay=1e-5, schedule="step", milestones=(10 / 36, 20 / 36, 30 / 36), gamma=0.1)
"""Of the published probes: 0.01, a tenth of it from epochs 10, 20 and 30 of 36 on."""
CROPPED = Augment(resized_crop=(0.08, 1.0), flip=0.5)
"""What they see in training."""


@dataclass(frozen=True)
class Row:
    """One row of the table: a network, or several of one kind."""

    name: str
    networks: list[Classifier]
    baseline: bool
    """Whether its weights are random."""


@dataclass(frozen=True)
class Answers:
    """What probes of one layer of one network got right on the test images."""

    layer: str
    right: int
    neighbours: int | None
    """The votes of nearest neighbours, likewise."""


def probe(config: ProbeConfig) -> Run:
    """Probes all rows of a complete configuration in a run directory, prints the table; a dry run only opens and checks
    all.

    Raises:
        ExunoError: anything the user can put right.
    """
    assert config.data is not None
    train, test = open_both(config.data, config.data_root, config.held)
    for each in (train, test):
        if modality(each) != "image":
            raise ExunoError(f"{each.name} has {modality(each)}s", "Give --data of single images.")
        labels_of(each)
    check_apart(config.data, train, test)
    test = relabelled(test, side_of(train), of_splits(train, test))
    count = config.images
    sets: tuple[Any, Any] = (
        Subset(train, count) if count else train,
        Subset(test, SMOKE_IMAGES) if config.run.smoke else test,
    )
    size = size_of(config, test)
    rows = open_rows(config, test, size)
    for row in rows:
        layers_of(row.networks[0], size, config.numbers or 1, config.layers)  # a mistake is told before anything
    values = to_dict(config)
    about = {"summary": f"{config.data} told from the layers of {rows[0].name}"}

    def work(run: Run, device: torch.device) -> dict[str, Any]:
        seed_everything(config.seed)
        measure = fast if config.protocol == "fast" else published
        answers = measure(config, rows, sets, size, device, run)
        for row in rows:
            draw_filters(run.dir / "figures", row.networks[0].net, row.name)
        return content(config, rows, answers, len(sets[1]), len(sets[0])) | {
            "baselines": guessing(labels_of(test), test.num_classes) | content_of_random(rows, answers, len(sets[1])),
            "lineage": {row.name: row.networks[0].card.lineage for row in rows},
        }

    return run_word("probe", values, config.run, about, {}, replay("probe", values, "probed"), work)


def open_rows(config: ProbeConfig, data: Any, size: tuple[int, int]) -> list[Row]:
    """The networks of all rows, ready to answer.

    Raises:
        ExunoError: one that cannot be loaded, or takes clips or recordings.
    """
    specs = [config.probed, *(row for row in config.against if row != RANDOM)]
    names = dict(zip(specs, names_of_specs([split_row(row)[0] for row in specs]), strict=True))
    found: dict[str, Row] = {}
    for row in specs:
        networks = [load_model(spec, input_size=size, pretrained=True).eval() for spec in split_row(row)]
        if wrong := next((each for each in networks if each.ndim != 4), None):
            raise ExunoError(f"{wrong.card.arch} takes {NAMES[wrong.ndim]}", "Give a model of single images.")
        found[row] = Row(names[row], networks, False)
    if RANDOM in config.against:
        card = found[config.probed].networks[0].card
        networks = [random_network(card, data, config.seed + i).eval() for i in range(config.seeds)]
        found[RANDOM] = Row(RANDOM, networks, True)
    return [found[row] for row in (config.probed, *config.against)]


Sets = tuple[Any, Any]
"""Training and test images."""


def fast(
    config: ProbeConfig, rows: Sequence[Row], sets: Sets, size: tuple[int, int], device: torch.device, run: Run
) -> list[list[list[Answers]]]:
    """Answers by row, network and layer: features of whole images once, all layers of a network solved together."""
    networks, images = sum(len(row.networks) for row in rows), sum(map(len, sets))
    found = []
    with ProgressBar("features", networks * images, "images") as bar:
        for row in rows:
            found.append([])
            for number, model in enumerate(row.networks):
                layers = layers_of(model.to(device), size, config.numbers or 1, config.layers)
                model = absorbed(model, layers)
                (train, labels), (test, truth) = (
                    read(model, layers, data, size, config.workers, device, bar.advance) for data in sets
                )
                for known, asked in zip(train, test, strict=True):
                    standardise(known, asked)
                flat, other = ([each.flatten(1) for each in part] for part in (train, test))
                votes: list[int | None] = [None] * len(layers)
                if config.neighbours:
                    voted = zip(flat, other, strict=True)
                    votes = [
                        int((neighbour_votes(a, labels, b, config.neighbours).argmax(1) == truth).sum())
                        for a, b in voted
                    ]
                epochs, classes = config.epochs or 1, int(max(labels.max(), truth.max())) + 1
                seed, size_of_batch = config.seed + number, config.batch_size
                logits = solve(flat, labels, other, classes, epochs=epochs, batch_size=size_of_batch, seed=seed)
                right = (logits.argmax(2) == truth).sum(1).tolist()
                found[-1].append([Answers(a.name, b, c) for a, b, c in zip(layers, right, votes, strict=True)])
    return found


def read(
    model: Classifier, layers: Sequence[Layer], data: Any, size: tuple[int, int], workers: int, device: torch.device,
    progress: Any = None,
) -> tuple[list[Tensor], Tensor]:  # fmt: skip
    """Pooled activations of all images in their order, of each layer [N, C, h w]; and labels int64 [N]. Half precision
    where all of them are many."""
    total = len(data) * sum(layer.numbers for layer in layers)
    dtype = torch.float16 if total > 1 << 28 else torch.float32
    shapes = [(len(data), layer.channels, layer.numbers // layer.channels) for layer in layers]
    found, labels, start = [torch.empty(shape, dtype=dtype) for shape in shapes], [], 0
    loader = Loader(data, BATCH, None, 0, size, workers=workers, device=device, **IN_ORDER)
    for batch in loader.epoch(0):
        count = len(batch["labels"])
        for features, maps in zip(found, activations(model, layers, batch["images"].to(device)), strict=True):
            features[start : start + count] = maps.flatten(2).to("cpu", dtype)
        labels.append(batch["labels"].cpu())
        start += count
        if progress:
            progress(count)
    return found, torch.cat(labels)


def published(
    config: ProbeConfig, rows: Sequence[Row], sets: Sets, size: tuple[int, int], device: torch.device, run: Run
) -> list[list[list[Answers]]]:
    """As :func:`fast`, on the one loop: all layers of all networks see the same fresh crops; ten crops at the test."""
    networks = [model for row in rows for model in row.networks]
    trunks = [(model, layers_of(model, size, config.numbers or 1, config.layers)) for model in networks]
    trunks = [(absorbed(model, layers), layers) for model, layers in trunks]
    method = Probes(trunks, sets[0].num_classes, config.seed)
    accelerator = make_accelerator(RunOptions(devices=config.run.devices))
    how = {"workers": config.workers, "device": accelerator.device}
    loader = Loader(sets[0], config.batch_size, CROPPED, config.seed, size, **how)
    steps = max(1, (config.epochs or 1) * len(loader))
    fit(method, loader, optim=SCHEDULE, steps=steps, run=run, accelerator=accelerator, evaluations=0, title="probes")
    short = tuple(round(side * 8 / 7) for side in size)
    right = ten_crop_test(method.eval(), sets[1], (short[0], short[1]), size, config.workers, accelerator.device)
    told = iter(right)
    answers = [[Answers(layer.name, next(told), None) for layer in layers] for _, layers in trunks]
    places = iter(answers)
    return [[next(places) for _ in row.networks] for row in rows]


@torch.inference_mode()
def ten_crop_test(
    method: Probes, data: Any, large: tuple[int, int], size: tuple[int, int], workers: int, device: torch.device
) -> list[int]:
    """How many images each probe gets right by the mean logits of ten crops of (H, W) = ``size`` from ``large``."""
    right = torch.zeros(len(method.heads), dtype=torch.int64, device=device)
    loader = Loader(data, max(1, BATCH // 10), None, 0, large, workers=workers, device=device, **IN_ORDER)
    for batch in loader.epoch(0):
        truth = batch["labels"].to(device)
        answers = method.logits(torch.cat([*views_of(batch["images"].to(device), size, 10)]))
        guesses = torch.stack([each.unflatten(0, (10, -1)).mean(0).argmax(1) for each in answers])
        right += (guesses == truth).sum(1)
    return right.tolist()


@dataclass(frozen=True)
class Cell:
    """The accuracy of the probes of a row on one layer, a fraction, with its 95 % interval."""

    mean: float
    interval: tuple[float, float]

    @property
    def text(self) -> str:
        return f"{100 * self.mean:.1f} ± {50 * (self.interval[1] - self.interval[0]):.1f}"


def cell_of(right: Sequence[int], count: int) -> Cell:
    """Of several networks the mean, and Student's interval over them; of one, Wilson's over the test images."""
    shares = np.array(right) / count
    if len(right) == 1:
        return Cell(float(shares[0]), wilson_interval(right[0], count))
    return Cell(float(shares.mean()), mean_interval(shares))


def cells_of(networks: Sequence[Sequence[Answers]], count: int, neighbours: bool = False) -> dict[str, Cell]:
    """Layer -> cell of a row."""
    found: dict[str, Cell] = {}
    for place, first in enumerate(networks[0]):
        numbers = [(each[place].neighbours or 0) if neighbours else each[place].right for each in networks]
        found[first.layer] = cell_of(numbers, count)
    return found


def content_of_random(rows: Sequence[Row], answers: list[list[list[Answers]]], count: int) -> dict[str, float]:
    """The rows of random weights as baselines of result.json."""
    return {
        f"{row.name}/{layer}/top1": cell.mean
        for row, networks in zip(rows, answers, strict=True)
        if row.baseline
        for layer, cell in cells_of(networks, count).items()
    }


def content(
    config: ProbeConfig, rows: Sequence[Row], answers: list[list[list[Answers]]], count: int, images: int
) -> dict[str, Any]:
    """What result.json says: a table of rows x layers, a chart, numbers with their intervals."""
    metrics, intervals, n, tables, charts = {}, {}, {}, [], []
    kinds = [(False, "linear probes")] + ([(True, f"{config.neighbours} nearest neighbours")] * (config.neighbours > 0))
    for votes, title in kinds:
        all_cells = [cells_of(networks, count, votes) for networks in answers]
        longest = max(all_cells, key=len)
        places = [f"layer {number}" for number in range(1, len(longest) + 1)]
        lines, drawn = [], []
        for row, cells in zip(rows, all_cells, strict=True):
            told = [cell.text for cell in cells.values()]
            lines.append([row.name, str(len(row.networks)), *told, *["–"] * (len(places) - len(told))])
            points = [(float(place), cell.mean) for place, cell in enumerate(cells.values())]
            ranges = [list(cell.interval) for cell in cells.values()]
            drawn.append({"name": row.name, "points": points, "ranges": ranges, "dashed": row.baseline})
            kind = "neighbours/top1" if votes else "top1"
            for layer, cell in cells.items():
                key = f"{row.name}/{layer}/{kind}"
                if not row.baseline:
                    metrics[key] = cell.mean
                intervals[key], n[key] = list(cell.interval), count
        note = (
            f"Top-1 accuracy in percent on {count:,} test images of {config.data}, ± half of the 95 % interval: over "
            f"the networks of a row, or over the test images where it is one. Probes learn from {images:,} images, "
            f"protocol {config.protocol}, activations pooled to about {config.numbers:,} numbers. "
            f"Layers of {rows[0].name}: {', '.join(all_cells[0])}."
        )
        heading = f"{config.data} by layer: {title}"
        tables.append(Table(title=heading, head=["model", "networks", *places], rows=lines, note=note))
        charts.append({"title": title, "places": places, "lines": drawn, "percent": True, "x": "layer", "y": "top-1"})
    return {"metrics": metrics, "intervals": intervals, "n": n, "tables": tables, "charts": charts}
