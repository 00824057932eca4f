"""Runs models over labelled data: during training (an evaluator of the loop) and at its end (logits to disk)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from exuno.data.augment import to_float
from exuno.data.resize import prepare
from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic
from exuno.metrics import Summary, summarise
from exuno.models.classifier import Classifier

BATCH = 500
GALLERY = 48  # test images kept for the page


def check_classes(model: Classifier, data: Any, what: str) -> None:
    """Raises ExunoError if a model cannot answer for a data set."""
    if data.num_classes is not None and model.card.classes != data.num_classes:
        raise ExunoError(
            f"{what} ({model.card.arch}) has {model.card.classes} classes but {data.name} has {data.num_classes}",
            "Give a model trained for these classes, or the data it was trained for.",
        )


def resize_for(data: Any, size: tuple[int, int]) -> int | None:
    """The short side before the centre crop of a test photograph, in proportion to ``size``."""
    own = getattr(data, "resize", None)
    return round(own * min(size) / min(data.image_size)) if own else None


def batches(data: Any, size: tuple[int, int], positions: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
    """(pixels [B, C, H, W] in [0, 1], labels [B]) of the given positions, in their order."""
    for start in range(0, len(positions), BATCH):
        images, labels = data.fetch(positions[start : start + BATCH])
        yield to_float(prepare(images, size, resize_for(data, size))), labels


@torch.inference_mode()
def logits(model: nn.Module, data: Any, size: tuple[int, int], device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """Logits [N, C] float32 and labels [N] int64 of a whole data set; ``model`` takes pixels in [0, 1]."""
    model.to(device).eval()
    found = [(model(x.to(device)).float().cpu(), y) for x, y in batches(data, size, np.arange(len(data)))]
    return torch.cat([x for x, _ in found]).numpy(), torch.cat([y for _, y in found]).numpy()


def top1(name: str, model: Classifier, data: Any, size: tuple[int, int]) -> Callable[..., Iterator[tuple[str, float]]]:
    """An evaluator of the loop that yields ``NAME/top1``; processes share the test set."""

    @torch.inference_mode()
    def run(method: nn.Module, accelerator: Accelerator) -> Iterator[tuple[str, float]]:
        model.eval()
        right = torch.zeros((), device=accelerator.device)
        share = np.arange(accelerator.process_index, len(data), accelerator.num_processes)
        for x, y in batches(data, size, share):
            right += (model(x.to(accelerator.device)).argmax(1).cpu() == y).sum().to(right)
        total = accelerator.reduce(right) if accelerator.num_processes > 1 else right
        assert isinstance(total, Tensor)
        yield f"{name}/top1", total.item() / len(data)

    return run


def record(
    folder: Path, name: str, model: Classifier, data: Any, size: tuple[int, int], device: torch.device
) -> tuple[Summary, np.ndarray]:
    """Measures a model and writes ``folder/NAME.npz`` (logits, labels, class names, some images) for the report.

    Returns:
        The summary and the logits [N, C].
    """
    found, labels = logits(model, data, size, device)
    names = np.array(data.classes or model.card.class_names or [str(i) for i in range(found.shape[1])])
    index = np.linspace(0, len(data) - 1, min(GALLERY, len(data))).astype(np.int64)  # test sets are often sorted
    chosen, _ = data.fetch(index)
    shown = prepare(chosen, size, resize_for(data, size)).permute(0, 2, 3, 1).numpy()
    with atomic(folder / f"{name}.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file, logits=found.astype(np.float32), labels=labels, class_names=names, images=shown, index=index
        )
    return summarise(found, labels, names), found
