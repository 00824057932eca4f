"""New classes from a few images of each, for images whose class nobody knows: ``exuno fewshot predict``."""

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from exuno.data.augmentation.augment import to_float
from exuno.data.images.folder import SUFFIXES, find_files
from exuno.engine.errors import ExunoError
from exuno.engine.ranges import check_fields
from exuno.features import Count, FeatureName
from exuno.features.extract import (
    check_images,
    check_short,
    check_size,
    crops,
    features_of,
    frame_of,
    kind_of,
    reader,
    short_side,
)
from exuno.fewshot.heads import Support, learn
from exuno.fewshot.predict_options import PredictConfig
from exuno.predict.answers import Answer, Model, all_read, answers, at_hand
from exuno.predict.options import BATCH, TOPK
from exuno.predict.pictures import Picture, opened
from exuno.predict.reading import Item, Read, batches, items_of, listed
from exuno.predict.rows import write


@dataclass(frozen=True)
class Recognition(Answer):
    """What a few-shot classifier says of one picture. Scores are those of the classifier: cosine similarities
    (prototype), shares of votes (knn), probabilities (logistic, linear, cosine)."""

    @property
    def score(self) -> float:
        """Of the class; nan without an answer."""
        return self.topk[0].score if self.topk else math.nan


@dataclass(frozen=True)
class Cut:
    """Opens pictures as ``exuno fewshot eval`` sees them: bicubic, cut to their middle, and wider than ``size`` where
    views look at corners, [C, H, W]."""

    size: tuple[int, int]
    resize: int | None = None
    views: Count = 1

    def __call__(self, picture: Picture) -> Tensor:
        pixels, seen = opened(picture)
        short = short_side(seen, self.size, self.resize, self.views)
        return crops([pixels], frame_of(self.size, short, self.views), short)[0]


class Predictor:
    """A few-shot classifier that has seen its support. ``predict`` may be called by several threads at once.

    Args:
        model: its spec or folder, what a verb handed back, or a ``Classifier``, which stays on its device.
        support: folder with a sub-folder for each class; or name of a class -> its images, as ``predict`` takes them.
        head: the classifier, a name or ``module:Name``.
        neighbours: knn: images that vote.
        seed: linear and cosine: of weights and batches.
        features: which; auto takes what the model has.
        blocks: of a transformer of exuno, the last blocks whose [CLS] tokens are joined.
        views: of each image, over which its features are averaged: 1, 2 (mirrored), 5 (corners) or 10.
        size: side of the images; default: the input size of the model.
        resize: short side before the centre crop; default: 8/7 of the size for photographs.
        batch_size: images in a batch.
        devices: auto (a GPU if there is one) or cpu.
        workers: processes that decode images.

    Raises:
        ExunoError: no such model, a support of fewer than two classes, an image of it that cannot be read.
    """

    classes: tuple[str, ...]
    """Names of the classes, in the order of their numbers."""

    def __init__(
        self,
        model: Model,
        support: str | Path | Mapping[str, Any],
        *,
        head: str = "prototype",
        neighbours: int = 1,
        seed: int = 0,
        features: FeatureName = "auto",
        blocks: int = 1,
        views: Count = 1,
        size: int | None = None,
        resize: int | None = None,
        batch_size: int = BATCH,
        devices: Literal["auto", "cpu"] = "auto",
        workers: int = 0,
    ) -> None:
        options: dict[str, Any] = {"head": head, "neighbours": neighbours, "features": features, "size": size}
        options |= {"blocks": blocks, "views": views, "resize": resize, "batch_size": batch_size, "workers": workers}
        check_fields(PredictConfig("", (), support=Path(), **options))
        net = at_hand(model, devices)
        self.model = copy.deepcopy(net).eval() if net.training else net
        check_images(self.model)
        cut = (size, size) if size else self.model.card.input_size
        check_size(self.model, cut)
        check_short(cut, resize, views)
        self._reader = reader(self.model, kind_of(self.model, features), blocks)
        self._cut = Cut(cut, resize, views)
        self._batch, self._workers = batch_size, workers
        self.classes, items, labels = shown(support)
        found = torch.cat([self._features(_whole(each)) for each in self._read(items)])
        if not torch.isfinite(found).all():
            raise ExunoError(
                f"the features of {self.model.card.arch} are not finite", "Its weights are damaged, or it diverged."
            )
        known = torch.from_numpy(labels).to(found.device)
        self._score = learn(head, Support(found, known, len(self.classes), neighbours, seed))

    def predict(
        self, images: Any, *, topk: int = TOPK, unreadable: Literal["raise", "keep"] = "raise"
    ) -> list[Recognition]:
        """The class of each image.

        Args:
            images: paths, folders, PIL images, uint8 arrays [H, W, 3], tensors [C, H, W], or one of these; a batch of
                tensors [B, C, H, W].
            topk: classes of each answer, at most.
            unreadable: whether an image that cannot be read is a mistake, or an answer with ``error``.

        Raises:
            ExunoError: see ``unreadable``; or what is no image at all.
        """
        found = list(self.answers(items_of(images), topk))
        return all_read(found) if unreadable == "raise" else found

    def answers(self, items: Iterable[Item], topk: int = TOPK) -> Iterator[Recognition]:
        """The same, one by one as batches are done."""

        @torch.inference_mode()
        def score(groups: Sequence[Tensor]) -> Tensor:
            return self._score(self._features(groups)).float().cpu()

        return answers(Recognition, self._read(items), score, self.classes, topk)

    def _read(self, items: Iterable[Item]) -> Iterator[Read]:
        return batches(items, self._batch, self._cut, self._workers)

    def _features(self, groups: Sequence[Tensor]) -> Tensor:
        pixels, cut = [to_float(each) for each in groups], self._cut
        return features_of(self.model, self._reader, pixels, cut.size, cut.views)


def _whole(read: Read) -> list[Tensor]:
    """The pictures of a batch of the support in their order.

    Raises:
        ExunoError: one of them could not be read.
    """
    for fault in read.faults.values():
        raise ExunoError(fault, "Leave it out of the support.")
    pairs = [(place, each) for places, group in read.groups for place, each in zip(places, group, strict=True)]
    return [torch.from_numpy(each)[None] for _, each in sorted(pairs, key=lambda pair: pair[0])]


def shown(support: str | Path | Mapping[str, Any]) -> tuple[tuple[str, ...], list[Item], np.ndarray]:
    """The classes of a support, its images, and the class of each, int64 [S].

    Raises:
        ExunoError: no such folder, no images, or fewer than two classes.
    """
    if isinstance(support, Mapping):
        pairs = [(str(name), item) for name, images in support.items() for item in items_of(images)]
        names, items = [name for name, _ in pairs], [item for _, item in pairs]
        classes = tuple(dict.fromkeys(names))
        labels = np.array([classes.index(name) for name in names], np.int64)
        if empty := [str(name) for name in support if str(name) not in classes]:
            raise ExunoError(f"class '{empty[0]}' of the support has no images", "Give one at least, or leave it out.")
    else:
        found = find_files(Path(support), "train", SUFFIXES, "images", own_classes=True)
        if found.classes is None:
            raise ExunoError(
                f"the support {support} has no sub-folder for each class",
                "Put the images of a class into a folder that is called like the class.",
            )
        present, labels = np.unique(found.labels, return_inverse=True)
        classes, labels = tuple(found.classes[label] for label in present), labels.reshape(-1).astype(np.int64)
        items = list(items_of([found.folder / file for file in found.files]))
    if len(classes) < 2:
        one = f"a single class, '{classes[0]}'" if classes else "no images"
        raise ExunoError(f"the support has {one}", "Give images of two classes at least.")
    return classes, items, labels


def recognise(config: PredictConfig) -> int:
    """``exuno fewshot predict`` of a complete configuration: writes the answers, and names what could not be read.

    Returns:
        How many pictures have no answer.

    Raises:
        ExunoError: see :class:`Predictor`; no such picture.
    """
    sources = listed(config.pictures)
    predictor = Predictor(
        config.model,
        config.support,
        head=config.head,
        neighbours=config.neighbours,
        seed=config.seed,
        features=config.features,
        blocks=config.blocks,
        views=config.views,
        size=config.size,
        resize=config.resize,
        batch_size=config.batch_size,
        devices=config.devices,
        workers=config.workers,
    )
    if config.dry_run:
        return 0
    topk = min(config.topk, len(predictor.classes))
    found = predictor.answers(((each, each) for each in sources), topk)
    known = sources if isinstance(sources, list) else None
    return write(found, replace(config, topk=topk), known, "score")
