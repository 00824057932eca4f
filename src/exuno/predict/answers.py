"""What a model says of pictures, and ``exuno predict`` from top to bottom."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from exuno.data.augmentation.augment import to_float
from exuno.engine.devices import make_accelerator, measuring
from exuno.engine.errors import ExunoError
from exuno.engine.options import RunOptions
from exuno.evaluate.eval import spec_of
from exuno.fewshot.eval_options import run_config
from exuno.models.card import ModelCard
from exuno.models.classifier import Classifier
from exuno.models.load import load_model
from exuno.predict.options import BATCH, PredictConfig
from exuno.predict.pictures import Listen, Look, Opener, Watch
from exuno.predict.reading import CLIPS, PICTURES, RECORDINGS, Kind, Read, batches, items_of, listed
from exuno.predict.rows import write


class Choice(NamedTuple):
    """A class that a picture may show."""

    label: int
    """Its number among the model's logits."""
    name: str
    """Its number, where the model knows no names."""
    score: float
    """How much speaks for it."""


@dataclass(frozen=True)
class Answer:
    """What is said of one picture; printed, it is the name of the class."""

    source: str | int
    """Its path, or, of a picture in memory, its number in the call."""
    topk: tuple[Choice, ...]
    """The best classes, the best first; of equal ones, in the order of their numbers."""
    margin: float
    """By how much the score of the best class exceeds that of the second; nan without two classes."""
    error: str = ""
    """Why there is no answer."""

    @property
    def label(self) -> int:
        """Number of the class; -1 without an answer."""
        return self.topk[0].label if self.topk else -1

    @property
    def name(self) -> str:
        """Name of the class, or its number; empty without an answer."""
        return self.topk[0].name if self.topk else ""

    def __str__(self) -> str:
        return self.name or self.error


@dataclass(frozen=True)
class Prediction(Answer):
    """What a classifier says of one picture; scores are probabilities."""

    @property
    def probability(self) -> float:
        """Of the class, by softmax of the logits; nan without an answer."""
        return self.topk[0].score if self.topk else math.nan


Kinds = TypeVar("Kinds", bound=Answer)
Scorer = Callable[[Sequence[Tensor]], Tensor]
"""Pictures by their shape, uint8 or float [b, C, H, W] -> scores [N, K] in the same order, float, on the CPU."""


def answers(
    kind: type[Kinds], read: Iterable[Read], score: Scorer, names: tuple[str, ...], topk: int
) -> Iterator[Kinds]:
    """An answer for each picture, in order, as soon as its batch is done; one that could not be read has ``error``.

    Args:
        kind: of answer.
        read: batches of pictures.
        score: what is said of them.
        names: of the K classes.
        topk: classes of each answer, at most.
    """
    for batch in read:
        found: dict[int, tuple[tuple[Choice, ...], float]] = {}
        if batch.groups:
            scores = score([torch.from_numpy(pixels) for _, pixels in batch.groups])
            best, labels = (x[:, : max(2, topk)].tolist() for x in scores.sort(dim=1, descending=True, stable=True))
            places = [place for places, _ in batch.groups for place in places]
            for place, good, row, ranked in zip(places, scores.isfinite().all(1).tolist(), best, labels, strict=True):
                if good:
                    ordered = tuple(Choice(i, names[i], x) for i, x in zip(ranked[:topk], row, strict=False))
                    found[place] = ordered, row[0] - row[1] if len(row) > 1 else math.nan
                else:
                    batch.faults[place] = f"the model's answer for {batch.sources[place]} is not finite."
        for place, source in enumerate(batch.sources):
            yield kind(source, *found.get(place, ((), math.nan)), batch.faults.get(place, ""))


def classifier(model: Classifier) -> Scorer:
    """The probabilities that a model gives, on its device; it is in test mode."""

    @torch.inference_mode()
    def score(groups: Sequence[Tensor]) -> Tensor:
        device = model.mean.device
        return (
            model.net(torch.cat([model.prepare(to_float(group.to(device))) for group in groups]))
            .float()
            .softmax(1)
            .cpu()
        )

    return score


def opening(model: Classifier, size: int | None) -> tuple[Opener, Kind]:
    """How what a model answers for is opened, and what that is.

    Raises:
        ExunoError: a size of images for a model of recordings.
    """
    if size is not None and model.ndim != 4:
        raise ExunoError(f"--size {size} is a side of images, and {model.card.arch} takes none", "Leave it out.")
    if model.card.hearing:
        return Listen(model.card.hearing), RECORDINGS
    return (Watch(), CLIPS) if model.card.frames else (Look(size, is_plain(model.card)), PICTURES)


def is_plain(card: ModelCard) -> bool:
    """Whether a model does not normalise, as those of whitened images and of normalised ones."""
    return not any(card.mean) and all(each == 1 for each in card.std)


def names_of(model: Classifier) -> tuple[str, ...]:
    """The names of a model's classes; their numbers, where it knows none.

    Raises:
        ExunoError: it has no classes.
    """
    if model.card.classes == 0:
        raise ExunoError(
            f"{model.card.arch} extracts features and names no classes",
            "Show it a few images of each class: exuno fewshot predict MODEL --support FOLDER.",
        )
    return model.card.class_names or tuple(map(str, range(model.card.classes)))


def predict(config: PredictConfig) -> int:
    """``exuno predict`` of a complete configuration: writes the answers, and names what could not be read.

    Returns:
        How many pictures have no answer.

    Raises:
        ExunoError: no classifier, no such picture, a model of clips.
    """
    model = load_model(config.model, pretrained=True).eval()
    names, (opener, kind) = names_of(model), opening(model, config.size)
    if kind is CLIPS:
        raise ExunoError(
            f"{model.card.arch} takes clips, and a video does not say which of it to take",
            "Measure it: exuno eval MODEL --data videos:FOLDER.",
        )
    sources = listed(config.pictures, kind)
    if config.dry_run:
        return 0
    model.to(make_accelerator(measuring(RunOptions(devices=config.devices))).device)
    read = batches(((each, each) for each in sources), config.batch_size, opener, config.workers)
    topk = min(config.topk, len(names))
    found = answers(Prediction, read, classifier(model), names, topk)
    return write(found, replace(config, topk=topk), sources if isinstance(sources, list) else None)


class Finished(Protocol):
    """What a verb handed back that trained a model."""

    @property
    def spec(self) -> str: ...


Model = str | Path | Classifier | Finished


def at_hand(model: Model, devices: str) -> Classifier:
    """The model that a call in Python names, ready to answer: one that is a module already stays where it lies.

    Raises:
        ExunoError: there is none.
    """
    if isinstance(model, Classifier):
        return model
    device = make_accelerator(measuring(RunOptions(devices=devices))).device
    return load_model(spec_at(model), pretrained=True).to(device).eval()


def spec_at(model: str | Path | Finished) -> str:
    """The spec of a model that is no module yet."""
    if isinstance(model, str | Path):
        return spec_of(str(model))
    if not hasattr(model, "spec"):
        raise ExunoError(
            f"a {type(model).__name__} is no model", "Give a spec or folder, what a verb handed back, or a Classifier."
        )
    return model.spec


def side_of(model: Model) -> int | None:
    """The side of images that the run of a model was given, if it is a run and was given one."""
    if isinstance(model, Classifier):
        return None
    return run_config(spec_at(model)).get("size")


def predictions(
    model: Classifier, images: Any, *, topk: int, size: int | None, batch_size: int = BATCH, workers: int = 0
) -> list[Prediction]:
    """The same in Python, for a model that is at hand, where it lies.

    Raises:
        ExunoError: no classifier, or nothing that it takes.
    """
    names, (opener, kind) = names_of(model), opening(model, size)
    training = model.training
    if training:
        model.eval()
    try:
        read = batches(items_of(images, kind), batch_size, opener, workers)
        return list(answers(Prediction, read, classifier(model), names, topk))
    finally:
        if training:
            model.train()


def all_read(found: list[Kinds]) -> list[Kinds]:
    """Raises ExunoError for the first answer that there is not."""
    if wrong := [each for each in found if each.error]:
        others = f" (and {len(wrong) - 1:,} more)" if len(wrong) > 1 else ""
        raise ExunoError(f"{wrong[0].error.rstrip('.')}{others}", "Leave it out, or give unreadable='keep'.")
    return found
