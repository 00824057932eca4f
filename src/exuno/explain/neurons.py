"""``exuno explain neurons``: from model specs to sheets of pictures, numbers and a page."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from exuno.engine.errors import ExunoError
from exuno.engine.options import ClassOrder
from exuno.engine.progress import ProgressBar
from exuno.engine.run import Run
from exuno.explain.ascent import Drawn, Recipe, maximise
from exuno.explain.options import SMOKE_UNITS, NeuronsConfig, replay, steps_of, values_of
from exuno.explain.units import Layer, layer_of, name_of, numbers_of
from exuno.explain.work import in_one_order, open_models, run_word
from exuno.features.cache import weights_digest
from exuno.fewshot.eval_measure import Table
from exuno.models.classifier import Classifier, match_channels
from exuno.poster.drawing import CLEAR, LABEL, fitted
from exuno.report import figures
from exuno.report.images import save_png

Bytes = NDArray[np.uint8]
CELL, COLUMNS = 128, 10
"""Least side of a picture on a sheet, in pixels; units beside each other."""
LEFT, HEAD, GAP, BLOCK = 150, 30, 4, 18


def least_of(drawn: Bytes) -> int:
    """Width in pixels of the page below which the names on a sheet are too small to be read."""
    return round(0.65 * drawn.shape[1])


def sheet(images: Bytes, rows: Sequence[str], columns: Sequence[str]) -> Bytes:
    """Pictures with the names of their rows and columns, on a transparent ground; more than COLUMNS columns go on
    below.

    Args:
        images: uint8 [R, N, S, S, C], C = 1 or 3; small ones are enlarged with sharp pixels.
        rows: names, [R].
        columns: names, [N].

    Returns:
        uint8 [H, W, 4]
    """
    scale = max(1, -(-CELL // images.shape[2]))
    side = images.shape[2] * scale
    blocks = [range(first, min(first + COLUMNS, len(columns))) for first in range(0, len(columns), COLUMNS)]
    tall = HEAD + len(rows) * (side + GAP) + BLOCK
    size = (LEFT + min(COLUMNS, len(columns)) * (side + GAP), len(blocks) * tall - BLOCK)
    picture = Image.new("RGBA", size, CLEAR)
    draw = ImageDraw.Draw(picture)
    for number, block in enumerate(blocks):
        top = number * tall
        for place, column in enumerate(block):
            left = LEFT + place * (side + GAP)
            text, font = fitted(columns[column], side - 4)
            draw.text((left + side / 2, top + HEAD / 2), text, LABEL, font, anchor="mm")
            for row in range(len(rows)):
                cell = images[row, column].repeat(scale, 0).repeat(scale, 1)
                tile = Image.fromarray(np.broadcast_to(cell, (side, side, 3)).copy())
                picture.paste(tile, (left, top + HEAD + row * (side + GAP)))
        for row, name in enumerate(rows):
            text, font = fitted(name, LEFT - 12)
            draw.text((LEFT - 8, top + HEAD + row * (side + GAP) + side / 2), text, LABEL, font, anchor="rm")
    return np.asarray(picture)


PAPER = "Olah, Mordvintsev, Schubert: Feature Visualization, Distill 2017; of teacher and student: arXiv 2112.00725"
POINTS = 32
"""Of a curve on the page."""


@dataclass(frozen=True)
class Answers:
    """What a judge says to the pictures of one model, [N] each."""

    probability: Tensor
    """Softmax probability of the class that a picture was made for."""
    right: Tensor
    """Whether it is the largest."""


def explain_neurons(config: NeuronsConfig) -> Run:
    """Draws; prints a table and writes a run directory. A finished run is only shown again.

    Raises:
        ExunoError: anything the user can put right.
    """
    models = {name: model.requires_grad_(False) for name, model in open_models(config.models).items()}
    first = next(iter(models.values()))
    size = config.size or first.card.input_size[0]
    layers = {name: layer_of(model, config.layer, size) for name, model in models.items()}
    if config.layer is None:
        check_same_classes(models, config.classes)
    if config.objective == "neuron" and any(len(layer.shape) != 4 for layer in layers.values()):
        raise ExunoError(f"the layer '{config.layer}' gives no maps, so it has no middle", "Leave out --objective.")
    if config.diversity and any(layer.compared is None for layer in layers.values()):
        raise ExunoError(
            f"'{config.layer}' gives no maps by which pictures could be compared", "Leave out --diversity."
        )
    count = min(layer.units for layer in layers.values())
    units = numbers_of(config.units, count, None if config.layer else first.card.class_names)
    if config.run.smoke:
        units = units[:SMOKE_UNITS]
    recipe = Recipe(size, steps_of(config, size), config.pictures, config.diversity, config.objective, config.seed)

    def work(run: Run, device: torch.device) -> dict[str, Any]:
        drawn = draw(run, models, layers, units, recipe, device)
        said = {} if config.layer else classify(models, drawn, units, recipe.pictures, device)
        names = [name_of(unit, first.card, config.layer) for unit in units]
        show(run, drawn, names, recipe)
        return {
            **numbers(drawn, said),
            "units": each(drawn, said, units, names, recipe.pictures),
            "tables": tables(drawn, said, names, recipe),
            "lineage": {name: model.card.lineage for name, model in models.items()},
        }

    what = f"channels of {config.layer}" if config.layer else "logits"
    about = {"summary": f"Activation maximisation of the {what} of {' and '.join(models)}", "paper": PAPER}
    known = {spec: weights_digest(model.net) for spec, model in zip(config.models, models.values(), strict=True)}
    values = values_of(config)
    again = replay("explain neurons", values, "models")
    return run_word("explain neurons", values, config.run, about, known, again, work)


def check_same_classes(models: dict[str, Classifier], order: ClassOrder) -> None:
    """Brings the logits of all models into one order, by the names of their classes, as far as they have names.

    Raises:
        ExunoError: models of different classes.
    """
    (name, first), *others = models.items()
    for other, model in others:
        if model.card.classes != first.card.classes:
            told = f"{model.card.classes} classes, but {name} has {first.card.classes}"
            raise ExunoError(f"{other} has {told}", "Give models of the same classes, or one at a time.")
    in_one_order(models, order)


def draw(
    run: Run,
    models: dict[str, Classifier],
    layers: dict[str, Layer],
    units: Sequence[int],
    recipe: Recipe,
    device: torch.device,
) -> dict[str, Drawn]:
    """Pictures of all units of each model; their course goes to metrics.jsonl."""
    started, found = time.monotonic(), {}
    work = len(models) * len(units) * recipe.pictures * recipe.steps
    with ProgressBar("neurons", work, "picture steps") as bar:
        for name, model in models.items():
            bar.note = name
            found[name] = maximise(model.to(device), layers[name], units, recipe, bar.advance)
            if not torch.isfinite(found[name].images).all():
                raise ExunoError(f"the pictures of {name} diverged", "Its weights may be damaged: exuno eval tells.")
    course = {f"{name}/activation": drawn.course.mean(1) for name, drawn in found.items()}
    for step in np.unique(np.linspace(0, recipe.steps - 1, POINTS).round().astype(int)).tolist():
        means = {key: round(float(values[step]), 5) for key, values in course.items()}
        run.log({"step": step + 1, "time": round(time.monotonic() - started, 2), **means})
    return found


@torch.inference_mode()
def classify(
    models: dict[str, Classifier],
    drawn: dict[str, Drawn],
    units: Sequence[int],
    pictures: int,
    device: torch.device,
) -> dict[tuple[str, str], Answers]:
    """(judge, whose pictures) -> what each model says to the pictures of each."""
    wanted = torch.tensor(units).repeat_interleave(pictures)
    found = {}
    for name, model in models.items():
        for whose, its in drawn.items():
            logits = torch.cat([model(part.to(device)).float().cpu() for part in its.images.split(16)])
            own = logits.softmax(1).gather(1, wanted[:, None])[:, 0]
            found[name, whose] = Answers(own, logits.argmax(1) == wanted)
    return found


def show(run: Run, drawn: dict[str, Drawn], names: Sequence[str], recipe: Recipe) -> None:
    """Writes ``figures/neurons.png``."""
    channels = max(its.images.shape[1] for its in drawn.values())
    stacked = torch.stack([match_channels(its.images, channels) for its in drawn.values()])
    images = stacked.unflatten(1, (len(names), recipe.pictures)).transpose(1, 2).flatten(0, 1)
    shades = images.mul(255).round().to(torch.uint8).movedim(2, -1).numpy()
    rows = [name for name in drawn for _ in range(recipe.pictures)]
    drawn_on = sheet(shades, rows, names)
    save_png(drawn_on, run.dir / "figures" / "neurons.png")
    caption = "each a column; what stands in one column began with the same noise."
    figures.add(run.dir / "figures", "neurons.png", "Units", caption, "model", least_of(drawn_on))


def numbers(drawn: dict[str, Drawn], said: dict[tuple[str, str], Answers]) -> dict[str, Any]:
    """metrics, intervals and n of result.json."""
    metrics = {f"{name}/activation": float(its.activation.mean()) for name, its in drawn.items()}
    for (name, whose), answers in said.items():
        metrics[f"{name}/of-{whose}/probability"] = float(answers.probability.mean())
        metrics[f"{name}/of-{whose}/right"] = float(answers.right.float().mean())
    return {"metrics": metrics, "n": {key: len(next(iter(drawn.values())).images) for key in metrics}}


def each(
    drawn: dict[str, Drawn],
    said: dict[tuple[str, str], Answers],
    units: Sequence[int],
    names: Sequence[str],
    pictures: int,
) -> list[dict[str, Any]]:
    """Every picture: model, unit, name, picture, activation before and after, and what each model answers."""
    rows = []
    for whose, its in drawn.items():
        for place in range(len(its.images)):
            unit = place // pictures
            row = {"model": whose, "unit": units[unit], "name": names[unit], "picture": place % pictures}
            row |= {"before": float(its.before[place]), "activation": float(its.activation[place])}
            told = {name: float(found.probability[place]) for (name, of), found in said.items() if of == whose}
            rows.append(row | ({"probabilities": told} if told else {}))
    return rows


def tables(
    drawn: dict[str, Drawn], said: dict[tuple[str, str], Answers], names: Sequence[str], recipe: Recipe
) -> list[Table]:
    """What each model says to whose pictures, of logits; the activations of every unit."""
    found = []
    count = len(names) * recipe.pictures
    if said:
        rows = []
        for whose in drawn:
            told = [said[name, whose] for name in drawn]
            shares = (f"{100 * one.probability.mean():.1f} %, {int(one.right.sum())} of {count}" for one in told)
            rows.append([whose, *shares])
        note = (
            "Mean softmax probability of the class that a picture was made for, and how often it is the first answer; "
            f"pictures of each model: {count}, without transformations."
        )
        head = ["pictures of", *(f"{name} says" for name in drawn)]
        found.append({"title": "Answers", "head": head, "rows": rows, "note": note})
    rows = []
    for number, name in enumerate(names):
        own = slice(number * recipe.pictures, (number + 1) * recipe.pictures)
        pairs = (f"{its.before[own].mean():.2f} → {its.activation[own].mean():.2f}" for its in drawn.values())
        rows.append([name, *pairs])
    note = f"From noise to the last of {recipe.steps} steps; pictures of {recipe.size}x{recipe.size} pixels."
    return [*found, {"title": "Activations", "head": ["unit", *drawn], "rows": rows, "note": note}]
