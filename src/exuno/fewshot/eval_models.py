"""What ``exuno fewshot eval`` measures: models, raw pixels and random networks; and what they may have seen before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exuno.data.base import Data
from exuno.data.matching import plain
from exuno.data.named.omniglot import BACKGROUND, RUNS
from exuno.data.subset import labels_of
from exuno.engine.documents import read_bytes
from exuno.engine.errors import ExunoError
from exuno.engine.untrusted import SMALL
from exuno.features.cache import FeatureData
from exuno.fewshot.eval_options import PIXELS
from exuno.fewshot.options import EvalConfig
from exuno.models.build import build_net
from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier
from exuno.models.load import load_model
from exuno.models.names import FEATURES, embedded, is_table

RANDOM = "random:"
ARCHITECTURES = ("exuno:", "timm:", "torchvision:")
"""Prefixes of the models that can have random weights."""
NOTHING = "nothing was learned"
CORPORA = {
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
    "in12k": "ImageNet-12k",
    "in1k": "ImageNet-1k",
    "lvd142m": "LVD-142M",
    "laion": "LAION",
    "datacomp": "DataComp",
    "openai": "OpenAI's image-text pairs",
    "webli": "WebLI",
    "dino": "ImageNet-1k",
    "mae": "ImageNet-1k",
}
"""Parts of the names of published weights -> what they were trained on."""


@dataclass(frozen=True)
class Subject:
    """A row of the table."""

    name: str
    """In keys of result.json and in the table; without a slash."""
    spec: str
    model: Classifier | None
    """None: raw pixels, or the features of a file."""
    baseline: bool = False
    """Added for comparison, not asked for."""
    seed: int | None = None
    """Of random weights."""
    table: FeatureData | None = None
    """Features of a file, with labels of their own."""


def open_subjects(config: EvalConfig, specs: Sequence[str], data: Data) -> list[Subject]:
    """The models of a measurement, in the order of the table: raw pixels, the random network, then those given.

    Args:
        config: the options.
        specs: the models, ``pixels`` or ``random:SPEC`` among them.
        data: the images, whose statistics random networks normalise by.

    Raises:
        ExunoError: for a model that cannot be loaded.
    """
    given = [_subject(spec, name, config, data) for spec, name in zip(specs, names_of_specs(specs), strict=True)]
    if not config.baselines:
        return given
    trained = next((each.model for each in given if each.model is not None and each.seed is None), None)
    before = [] if PIXELS in specs else [Subject("raw pixels", PIXELS, None, True)]
    if trained is not None:
        network = random_network(trained.card, data, config.seed)
        before.append(Subject("random network", RANDOM + trained.card.arch, network, True, config.seed))
    return [*before, *given]


def _subject(spec: str, name: str, config: EvalConfig, data: Data) -> Subject:
    size = (config.size, config.size) if config.size else None
    if spec == PIXELS:
        return Subject("raw pixels", spec, None)
    if is_table(spec):
        path = Path(spec.removeprefix(FEATURES))
        opened = data if isinstance(data, FeatureData) and data.path == path else None
        return Subject(name, spec, None, table=opened or fitting(FeatureData(path), data))
    if not spec.startswith(RANDOM):
        return Subject(name, spec, load_model(spec, input_size=size, pretrained=True))
    network = spec.removeprefix(RANDOM)
    if not network.startswith(ARCHITECTURES):
        raise ExunoError(
            f"'{spec}' names no architecture, which random weights need",
            f"Give random:exuno:NAME, random:timm:NAME or random:torchvision:NAME; for trained weights, {network}.",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = load_model(
            network,
            classes=data.num_classes,
            in_chans=data.channels,
            input_size=size or (data.image_size if network.startswith("exuno:") else None),
            mean=data.mean,
            std=data.std,
            pretrained=False,
        )
    model.card.lineage["seed"] = config.seed
    return Subject(name, spec, model, seed=config.seed)


def fitting(table: FeatureData, data: Data) -> FeatureData:
    """A file of features, if it can be of these images, or of those of another such file; both may have their classes
    and images in another order.

    Raises:
        ExunoError: it is of other images, or the data bring their episodes, which name images by their positions.
    """
    if data.episodes is not None:
        raise ExunoError(
            f"{data.name} brings its own episodes, and {table.path} does not say which image is which",
            "Leave out --data, to draw episodes from the file.",
        )
    ours, theirs = (sorted(np.bincount(labels_of(each)).tolist()) for each in (data, table))
    if ours != theirs:
        raise ExunoError(
            f"{table.path} has {len(table):,} images of {table.num_classes} classes, {data.name} has {len(data):,} of "
            f"{data.num_classes}" + ("" if len(table) != len(data) else ", with other numbers in a class"),
            "Measure one at a time."
            if isinstance(data, FeatureData)
            else "Give the --data, --part and --split that it was made from, or leave out --data.",
        )
    return table


def random_network(card: ModelCard, data: Data, seed: int) -> Classifier:
    """The architecture of a card with random weights; normalised by the statistics of the data."""
    channels = card.in_chans
    if data.channels in (1, channels):
        repeat = channels // data.channels
        card = replace(card, mean=tuple(data.mean) * repeat, std=tuple(data.std) * repeat)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Classifier(build_net(card), replace(card, class_names=None, lineage={"seed": seed}))


def names_of_specs(specs: Sequence[str]) -> list[str]:
    """Short names: of a run its folder, with the folder above where two have the same, or a number."""

    def short(spec: str, parts: int) -> str:
        prefix, _, rest = (embedded(spec) or spec).partition(":")
        if prefix not in ("run", "file", FEATURES[:-1]):
            return spec.partition("?")[0].replace("/", "-")  # without the classes of a zero-shot classifier
        return "-".join(Path(rest.partition("@")[0]).resolve().parts[-parts:])

    names = [short(spec, 1) for spec in specs]
    names = [short(spec, 2) if names.count(name) > 1 else name for spec, name in zip(specs, names, strict=True)]
    return [f"{name} {names[:i].count(name) + 1}" if name in names[:i] else name for i, name in enumerate(names)]


def seen(subject: Subject, tested: Sequence[str], spec: str) -> str:
    """Whether the training data of a model may contain the classes that are tested, in a few words.

    Args:
        subject: the model.
        tested: names of the classes.
        spec: data spec that they come from.
    """
    if subject.table is not None:
        return "may: its training is unknown"
    if subject.model is None or subject.seed is not None:
        return NOTHING
    cards, foreign = ancestry(subject.model.card)
    trained = [(str(each.lineage.get("data", "")), _names(each)) for each in cards]
    same = set[str]().union(*(names for data, names in trained if data == spec))
    if common := _common(same, tested):
        return f"yes: {common} of {len(tested)}"
    if foreign:
        return f"may: {foreign}"
    if not all(data and names for data, names in trained):
        return "may: its training classes are unknown"
    known = {spec}
    if spec == RUNS:
        known.add("omniglot")
        names = set[str]().union(*(names for data, names in trained if data == "omniglot"))
        if outside := sum(name.partition("/")[0] not in BACKGROUND for name in names):
            return f"may: {outside} classes of no background alphabet"
    others = [data for data, _ in trained if data not in known]
    if others:
        common = _common(set[str]().union(*(names for _, names in trained)), tested)
        told = f", {common} classes of the same name" if common else ""
        return f"may: trained on {' and '.join(dict.fromkeys(others))}{told}"
    return "no: of the evaluation alphabets" if spec == RUNS else "no"


def _common(known: set[str], tested: Sequence[str]) -> int:
    """How many classes of a test are among the known ones, by name."""
    plain_names = set(map(plain, known))
    return sum(plain(name) in plain_names for name in tested)


def _names(card: ModelCard) -> set[str]:
    """Of the classes that a model was trained on, as far as its card tells."""
    return {*card.lineage.get("classes", ()), *(card.class_names or ())}


def ancestry(card: ModelCard) -> tuple[list[ModelCard], str]:
    """The cards of all phases of a model, the last phase first; and where weights come from that exuno did not train
    from the start, empty if it did."""
    cards = [card]
    for _ in range(9):
        lineage: Mapping[str, Any] = cards[-1].lineage
        if "hub" in lineage or "weights" in lineage:
            return cards, f"pre-trained on {corpus(str(lineage.get('weights') or lineage.get('hub')))}"
        start = str(lineage.get("start", ""))
        if not start and "data" not in lineage:
            return cards, "imported weights"
        if not start or start.startswith("exuno:"):
            return cards, ""
        file = Path(start.removeprefix("run:")) / "model.json"
        if not start.startswith("run:"):
            return cards, f"started from {start}"
        if not file.is_file():
            return cards, f"started from {start}, which is not there"
        try:
            cards.append(ModelCard.from_json(read_bytes(file, SMALL), str(file)))
        except ExunoError:
            return cards, f"started from {start}, which is damaged"
    return cards, "a long line of runs"


def corpus(weights: str) -> str:
    """What published weights were trained on, told from their name; else the name."""
    if weights.startswith("timm:") and "." not in weights.removeprefix("timm:"):
        import timm

        config = timm.get_pretrained_cfg(weights.removeprefix("timm:"))
        weights = f"{weights}.{config.tag}" if config is not None else weights
    if "download.pytorch.org/models" in weights:  # torchvision's classification networks
        return "ImageNet-1k"
    name = weights.lower().partition(".")[2] or weights.lower()
    found = [said for part, said in CORPORA.items() if part in name]
    return " and ".join(dict.fromkeys(found)) if found else weights


def lineages(subjects: Sequence[Subject]) -> dict[str, Any]:
    """Where every measured model comes from, for result.json."""
    return {each.name: {"spec": each.spec, **(each.model.card.lineage if each.model else {})} for each in subjects}
