"""Runs models over labelled data: during training (an evaluator of the loop) and at its end (logits to disk)."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from exuno.data.base import classes_of, modality
from exuno.data.batches import TEST_SHARE, batches
from exuno.data.loader import IN_ORDER, Loader
from exuno.data.matching import Side
from exuno.data.preview import shown
from exuno.data.relabelled import relabelled
from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic
from exuno.engine.options import ClassOrder
from exuno.engine.training import Evaluator
from exuno.metrics import Summary, averaged, in_turn, predict, summarise
from exuno.models.classifier import NAMES, Classifier

BATCH = 500
GALLERY = 48
"""Test images kept for the page, at most."""


def match_labels(model: Classifier, data: Any, what: str, order: ClassOrder = "auto") -> Any:
    """``data`` with labels that are the numbers of the model's classes, matched by name or number (``match``): itself
    where they are already.

    Raises:
        ExunoError: the model cannot answer for the data, or the data have other classes.
    """
    check_classes(model, data, what)
    card = model.card
    return relabelled(data, Side(f"{what} ({card.arch})", card.classes, card.class_names), order)


def check_classes(model: Classifier, data: Any, what: str) -> None:
    """Raises ExunoError if a model cannot answer for data of this kind; which classes they have is for ``matched``."""
    if model.card.classes == 0:
        raise ExunoError(
            f"{what} ({model.card.arch}) extracts features and names no classes",
            "Measure it with exuno fewshot eval, imitate it as --teacher features:MODEL of exuno distill, or give it a "
            "last layer: exuno teach --model run:DIR.",
        )
    wanted, hearing = {"recording": 3, "image": 4, "clip": 5}[modality(data)], model.card.hearing
    if model.ndim != wanted:
        raise ExunoError(
            f"{what} ({model.card.arch}) takes {NAMES[model.ndim]}, and {data.name} has {NAMES[wanted]}",
            "Give a model that fits the data.",
        )
    if hearing and hearing.rate != data.rate:
        raise ExunoError(
            f"{what} hears {hearing.rate} samples a second, and {data.name} has {data.rate}",
            f"Give them as recordings:PATH@{hearing.rate}, which resamples them, or train a model for these.",
        )


def choose_shown(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Places of the test samples whose images are kept, rising: mistakes first, the classes in turn, up to half of the
    room; then right answers, spread over the test set, which is often sorted.

    Args:
        predictions: int64 [N], of the whole test set.
        labels: int64 [N]
    """
    wrong, right = np.flatnonzero(predictions != labels), np.flatnonzero(predictions == labels)
    wrong = wrong[in_turn(labels[wrong])]
    kept = wrong[: max(GALLERY // 2, GALLERY - len(right))]
    spread = np.linspace(0, len(right) - 1, min(GALLERY - len(kept), len(right))).astype(np.int64)
    return np.sort(np.concatenate([kept, right[spread]]))


def ordered_batches(
    data: Any,
    size: tuple[int, int],
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    device: torch.device | None = None,
) -> Loader:
    """All of a test set in its order, resized and centre-cropped; each process gets its share. On a ``device`` that is
    no CPU, it stays there for the next measurement, if it fits."""
    if device is not None and device.type != "cpu":
        return _staying(data, size, workers, rank, world, device)
    return Loader(data, batch_of(data), None, 0, size, workers=workers, rank=rank, world=world, **IN_ORDER)


@lru_cache(2)  # a process's share, and the whole, which the first process measures
def _staying(data: Any, size: tuple[int, int], workers: int, rank: int, world: int, device: torch.device) -> Loader:
    where: dict[str, Any] = {"device": device, "workers": workers, "share": TEST_SHARE, "rank": rank, "world": world}
    return batches(data, batch_of(data), None, 0, size, **where, **IN_ORDER)


def batch_of(data: Any) -> int:
    """Test samples of a batch: fewer of clips, whose frames each are an image."""
    return max(8, BATCH // (data.frames or 1))


@torch.inference_mode()
def logits(model: nn.Module, tests: Loader, device: torch.device, flip: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Logits [N, C] float32 and labels [N] int64 of one pass; ``model`` takes pixels in [0, 1].

    With ``flip``, the mean of the logits of each image and of its mirror image: the simplest test-time augmentation of
    Jordan (arXiv 2404.00498). No label has a part in it.
    """
    model.to(device).eval()

    def answer(images: Tensor) -> Tensor:
        told = model(images).float()
        return (told + model(images.flip(-1)).float()) / 2 if flip else told

    found = [(answer(batch["images"].to(device)).cpu(), batch["labels"].cpu()) for batch in tests.epoch(0)]
    return torch.cat([x for x, _ in found]).numpy(), classes_of(torch.cat([y for _, y in found])).numpy()


def top1(name: str, model: Classifier, data: Any, size: tuple[int, int], workers: int) -> Evaluator:
    """An evaluator of the loop that yields ``NAME/top1``; processes share the test set. Where a video is several clips,
    each counts by itself: ``NAME/clip_top1``."""
    key = "top1" if data.groups is None else "clip_top1"
    loaders: list[Loader] = []

    @torch.inference_mode()
    def run(method: nn.Module, accelerator: Accelerator) -> Iterator[tuple[str, float]]:
        if not loaders:
            share = (accelerator.process_index, accelerator.num_processes)
            loaders.append(ordered_batches(data, size, workers, *share, accelerator.device))
        right = torch.zeros((), device=accelerator.device)
        for batch in loaders[0].epoch(0):
            if len(batch["labels"]):
                answers = model(batch["images"].to(accelerator.device)).argmax(1)
                right += (answers == classes_of(batch["labels"]).to(accelerator.device)).sum()
        total = accelerator.reduce(right) if accelerator.num_processes > 1 else right
        assert isinstance(total, Tensor)
        yield f"{name}/{key}", total.item() / len(data)

    return run


def record(
    folder: Path | None,
    name: str,
    model: Classifier,
    data: Any,
    size: tuple[int, int],
    device: torch.device,
    workers: int = 0,
    images: bool = True,
    flip: bool = False,
) -> tuple[Summary, np.ndarray]:
    """Measures a model; with a folder, writes ``NAME.npz`` (logits, labels, class names, and unless ``images`` is False
    some images) for the report. ``flip``: see :func:`logits`.

    Returns:
        The summary and the logits [N, C]: one row a sample, or a group of samples where the data have groups.
    """
    tests = ordered_batches(data, size, workers, device=device)
    found, labels = logits(model, tests, device, flip)
    alone, first = None, np.arange(len(data))
    if data.groups is not None:
        alone = float((predict(found) == labels).mean())
        _, first = np.unique(data.groups, return_index=True)
        found, labels = averaged(found, data.groups), labels[first]
    names = np.array(data.classes or model.card.class_names or [str(i) for i in range(found.shape[1])])
    if folder:
        content = {"logits": found, "labels": labels, "class_names": names}
        if images:
            index = choose_shown(predict(found), labels)
            pictures = shown(data, tests.preparer[first[index], first[index]]["images"])
            content |= {"index": index, "images": pictures}
        with atomic(folder / f"{name}.npz") as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **content)
    summary = summarise(found, labels, names)
    return (summary if alone is None else {**summary, "clip_top1": alone}), found


def scores(name: str, summary: Summary) -> dict[str, float | None]:
    """What ``result.json`` keeps of a summary: NAME/top1, top5, ece, and of clips clip_top1."""
    return {f"{name}/{key}": summary.get(key) for key in ("top1", "top5", "ece", "clip_top1") if key in summary}
