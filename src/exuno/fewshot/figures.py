"""The pictures of a few-shot run for its page: attention over test images."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exuno.data.base import pictures
from exuno.data.subset import labels_of, names_of
from exuno.features.attention import attention, overlay
from exuno.features.extract import Crops, is_transformer, short_side
from exuno.models.classifier import Classifier
from exuno.report.figures import add, slug
from exuno.report.images import image_grid, save_png

SHOWN = 8
"""Images, one of each class."""
HEADS = 6
"""Heads that get a column of their own, at most."""
CELL = 96
"""Pixels that small images are enlarged to."""


def write(
    run_dir: Path,
    model: Classifier,
    data: Any,
    device: torch.device,
    *,
    size: tuple[int, int] | None = None,
    resize: int | None = None,
    name: str = "",
) -> None:
    """Writes ``figures/attention.png`` and names it in ``figures/figures.json``; nothing for a network without tokens.

    Args:
        run_dir: of the run.
        model: the network.
        data: labelled images.
        device: where to compute.
        size: (H, W) at which the network sees them; default: that of its card.
        resize: short side before the centre crop.
        name: of the model, where a page shows several.
    """
    if not is_transformer(model):
        return
    shape = size or model.card.input_size
    chosen = one_of_each(data)
    images, labels = Crops(data, shape, short_side(data, shape, resize)).fetch(chosen)
    shown = torch.from_numpy(pictures(data, _unit(images))).permute(0, 3, 1, 2).float().div(255)
    was_training = model.training
    model.to(device).eval()
    shown = shown.to(device)
    drawn = overlay(shown, attention(model, shown))[:, : 2 + HEADS]
    if was_training:
        model.train()
    scale = max(1, CELL // max(shape))
    grid = image_grid(drawn.reshape(-1, *drawn.shape[2:]), columns=drawn.shape[1], scale=scale, gap=3)
    file = f"attention-{slug(name)}.png" if name else "attention.png"
    save_png(grid, run_dir / "figures" / file)
    heads = drawn.shape[1] - 2
    classes = ", ".join(names_of(data)[label] for label in labels.tolist())
    caption = (
        f"One image of each class ({classes}); the attention of [CLS] to the patches in the last block, first the "
    )
    caption += f"mean over the heads, then {heads} head{'s' if heads > 1 else ''}. Each map has its own scale."
    add(run_dir / "figures", file, f"Attention of {name}" if name else "Attention", caption)


def one_of_each(data: Any, most: int = SHOWN) -> NDArray[np.int64]:
    """Positions of the middle image of each class, of ``most`` classes spread over all."""
    labels = labels_of(data)
    classes = np.unique(labels)
    classes = classes[np.linspace(0, len(classes) - 1, min(most, len(classes))).round().astype(int)]
    rows = [np.flatnonzero(labels == label) for label in classes]
    return np.array([row[len(row) // 2] for row in rows], np.int64)


def _unit(images: torch.Tensor) -> torch.Tensor:
    return images.float().div(255) if images.dtype == torch.uint8 else images.float()
