"""The features of several models on the same images, and the last layer that reads them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exuno.data.augmentation.augment import to_float
from exuno.data.base import Data
from exuno.data.holdout import open_held
from exuno.data.subset import labels_of, names_of
from exuno.engine.errors import ExunoError
from exuno.engine.options import ClassOrder
from exuno.engine.progress import ProgressBar
from exuno.evaluate.measure import check_classes
from exuno.explain.geometry import Floats, Ints, clusters, relative
from exuno.explain.options import PenultimateConfig, Space
from exuno.explain.work import in_one_order
from exuno.features.cache import cached, default_folder, key_of
from exuno.features.extract import Crops, extract, few_of_each, normalised, short_side
from exuno.models.classifier import Classifier

TOLERANCE = 1e-2
"""Largest difference of logits that rounding explains, relative to the largest logit."""


@dataclass(frozen=True)
class LastLayer:
    """logits = features · weightᵀ + bias."""

    weight: NDArray[np.float64]
    """[C, F]"""
    bias: NDArray[np.float64]
    """[C]"""

    @property
    def span(self) -> NDArray[np.float64]:
        """An orthonormal basis [F, R] of the differences of the class weights, R at most C - 1: what is at right angles
        to it adds the same to all logits."""
        differences = self.weight - self.weight.mean(0)
        _, size, directions = np.linalg.svd(differences, full_matrices=False)
        return directions[size > 1e-6 * size.max()].T

    def logits(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Features [N, F] -> logits [N, C]."""
        return features @ self.weight.T + self.bias


def last_layer(model: Classifier) -> LastLayer:
    """The layer that timm calls the classifier, else the last linear layer of a network.

    Raises:
        ExunoError: there is none, or it is not linear, or does not give the logits.
    """
    net: Any = model.net
    if hasattr(net, "get_classifier"):
        layer = net.get_classifier()
    else:
        layer = next((each for each in reversed([*net.modules()]) if isinstance(each, nn.Linear)), None)
    if not isinstance(layer, nn.Linear) or layer.out_features != model.card.classes:
        raise _not_linear(model)
    weight = layer.weight.detach().cpu().double().numpy()
    bias = np.zeros(len(weight)) if layer.bias is None else layer.bias.detach().cpu().double().numpy()
    return LastLayer(weight, bias)


def check_logits(model: Classifier, layer: LastLayer, images: Tensor, features: Tensor) -> None:
    """Raises ExunoError unless the layer makes of features [B, F] the logits that the network has for images
    [B, C, H, W], pixels in [0, 1]: then something else stands between the two."""
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        wanted = model.net(normalised(model, images.to(model.mean.device))).double().cpu().numpy()
    model.train(was_training)
    if features.shape[1] != layer.weight.shape[1]:
        raise _not_linear(model)
    if np.abs(layer.logits(features.numpy()) - wanted).max() > TOLERANCE * np.abs(wanted).max():
        raise _not_linear(model)


def _not_linear(model: Classifier) -> ExunoError:
    return ExunoError(
        f"the logits of {model.card.arch} are not a linear layer of its last features",
        "Take a network that ends in one linear layer.",
    )


CHECKED = 8
"""Images on which features and logits are compared."""


@dataclass(frozen=True)
class Images:
    """The images of the splits, and the classes that they are measured for: those with two images or more in each."""

    parts: tuple[Any, ...]
    """A data set of each split."""
    splits: tuple[str, ...]
    kept: Ints
    """Numbers of the C classes that are measured, among those of the data."""
    names: tuple[str, ...]
    """Their names, [C]."""
    missing: tuple[str, ...]
    """The classes that are not."""


@dataclass(frozen=True)
class Reading:
    """What one model makes of one split."""

    features: Floats
    """[N, F], of the measured classes only."""
    labels: Ints
    """Numbers of the measured classes, 0..C-1, [N]."""
    top1: float
    """Accuracy of the model on these images, among all its classes."""


def open_images(config: PenultimateConfig) -> Images:
    """The data of a configuration.

    Raises:
        ExunoError: data that cannot be opened or are unlabelled, or fewer than three classes with two images.
    """
    assert config.data is not None
    parts = []
    for split in config.split:
        data = open_held(config.data, split, config.data_root, config.held)
        labels_of(data)
        parts.append(few_of_each(data, config.images) if config.images else data)
    names = names_of(parts[0])
    if any(names_of(part) != names for part in parts):
        raise ExunoError(f"the splits of {config.data} have different classes", "Give --split one of them.")
    counts = np.stack([np.bincount(labels_of(part), minlength=len(names)) for part in parts]).min(0)
    kept = np.flatnonzero(counts >= 2).astype(np.int64)
    if len(kept) < 3:
        raise ExunoError(
            f"{parts[0].name} has {len(kept)} classes with two images or more",
            "Give data of at least three classes, or more --images of each.",
        )
    missing = tuple(name for name, count in zip(names, counts, strict=True) if count < 2)
    return Images(tuple(parts), config.split, kept, tuple(names[label] for label in kept), missing)


def match_classes(models: dict[str, Classifier], data: Data, order: ClassOrder) -> None:
    """Brings the logits of all models into the order of the classes of the data, by name as far as both have names.

    Raises:
        ExunoError: a model that cannot answer for the data, or that names other classes than the data, or than another
            model.
    """
    for name, model in models.items():
        check_classes(model, data, name)
        have, named = model.card.classes, data.classes and model.card.class_names and order != "by-number"
        if have < data.num_classes or (have > data.num_classes and not named):
            raise ExunoError(
                f"{name} ({model.card.arch}) has {have} classes but {data.name} has {data.num_classes}",
                "Give a model trained for these classes, or the data it was trained for.",
            )
    try:
        in_one_order(models, order, data.classes, data.name)
    except ExunoError as error:
        todo = "Give models that were trained for the same classes, in the same order or another"
        raise ExunoError(error.what, f"{todo}; --classes by-number compares no names.") from None


def read_models(
    config: PenultimateConfig, models: dict[str, Classifier], images: Images, device: torch.device
) -> tuple[dict[str, list[Reading]], dict[str, LastLayer]]:
    """Readings of each model for each split, and its last layer; a network leaves the device when it is done.

    Raises:
        ExunoError: a model whose last layer is not linear, that does not take the images, or whose features are not
            finite, or, of ``--space head``, one that weighs all classes alike.
    """
    layers = {name: last_layer(model) for name, model in models.items()}
    for name, layer in layers.items():
        if config.space == "head" and not np.ptp(layer.weight, 0).any():  # told before the images are read
            raise _collapsed(name)
    found: dict[str, list[Reading]] = {}
    total = len(models) * sum(len(part) for part in images.parts)
    with ProgressBar("explain penultimate", total, "images") as bar:
        for name, model in models.items():
            bar.note = name
            found[name] = [_read(config, name, model, layers[name], images, part, device, bar) for part in images.parts]
            model.cpu()
    return found, layers


def _read(
    config: PenultimateConfig,
    name: str,
    model: Classifier,
    layer: LastLayer,
    images: Images,
    data: Any,
    device: torch.device,
    bar: ProgressBar,
) -> Reading:
    size = (config.size, config.size) if config.size else model.card.input_size
    short, before = short_side(data, size), bar.done

    def compute() -> tuple[torch.Tensor, torch.Tensor]:
        options: dict[str, Any] = {"size": size, "device": device, "workers": config.workers}
        return extract(model, data, features="last", **options, progress=bar.advance)

    key = key_of(model.net, model.card, data, kind="last", size=size, short=short, seed=None, device=device.type)
    features, labels = cached(config.cache or default_folder(), key, compute)
    bar.advance(before + len(data) - bar.done)
    if not torch.isfinite(features).all():
        raise ExunoError(f"the features of {name} are not finite", "Its weights are damaged, or its training diverged.")
    pixels = Crops(data, size, short).fetch(np.arange(min(CHECKED, len(data))))[0]
    check_logits(model.to(device), layer, to_float(pixels), features[: len(pixels)])
    values, classes = features.numpy(), labels.numpy()
    right = layer.logits(values).argmax(1) == classes
    table = np.full(data.num_classes, -1, np.int64)
    table[images.kept] = np.arange(len(images.kept))
    new = table[classes]
    return Reading(values[new >= 0], new[new >= 0], float(right[new >= 0].mean()))


def within_heads(
    readings: dict[str, list[Reading]], layers: dict[str, LastLayer], space: Space
) -> dict[str, list[Reading]]:
    """The readings, of their features only what lies in the span of the class weights; ``all`` leaves them whole."""
    if space == "all":
        return readings
    bases = {name: layers[name].span for name in readings}
    return {
        name: [replace(reading, features=reading.features @ bases[name]) for reading in found]
        for name, found in readings.items()
    }


def distances_of(name: str, reading: Reading, images: Images) -> tuple[Floats, float]:
    """Relative centroid distances [C, C] of a model, and the length that is 1.

    Raises:
        ExunoError: all centroids are in one place, as far as the images can tell.
    """
    found, scale = relative(clusters(reading.features, reading.labels, len(images.names)))
    if not scale > 0:
        raise _collapsed(name)
    return found, scale


def _collapsed(name: str) -> ExunoError:
    return ExunoError(f"the classes of {name} lie in one place", "Leave it out: it does not tell them apart.")


def near_chance(readings: dict[str, list[Reading]]) -> list[str]:
    """The models that are hardly better, on one of the splits, than always the commonest class as the answer: by less
    than ten points, and right at most twice as often."""
    return [name for name, found in readings.items() if any(map(_guesses, found))]


def _guesses(reading: Reading) -> bool:
    chance = float(np.bincount(reading.labels).max()) / len(reading.labels)
    return reading.top1 <= min(2 * chance, chance + 0.1)


def read_similar(
    spec: str, model: Classifier, config: PenultimateConfig, images: Images, device: torch.device
) -> Floats:
    """Centroid distances [C, C] of the model that says which classes are similar, on the first split."""
    first = Images(images.parts[:1], images.splits[:1], images.kept, images.names, images.missing)
    readings, layers = read_models(config, {spec: model}, first, device)
    reading = within_heads(readings, layers, config.space)[spec][0]
    return distances_of(spec, reading, images)[0]
