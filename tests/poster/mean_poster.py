"""A poster of the digits that works without distilling anything: the mean image of every class, side by side."""

from typing import Any

import numpy as np
import torch

from exuno.data.images.digits import open_digits
from exuno.data.poster.format import Poster
from exuno.data.poster.layout import Layout
from exuno.data.poster.quantisation import quantise
from exuno.poster.options import Inner
from exuno.poster.protocol import Recipe

LAYOUT = Layout(size=(16, 40), image=(8, 8), patch=(8, 8), patches=(2, 5), grid=(2, 5), area=(8, 8))
RECIPE = Recipe("exuno:convnet_2_16", Inner(lr=1e-2, augment="none"), steps=20, tested=(10, 20, 30))


def digits(split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised images [N, 1, 8, 8] and labels [N]."""
    data = open_digits(split)
    return (data.images / 255 - data.mean[0]) / data.std[0], data.labels


def mean_poster(**changes: Any) -> Poster:
    data, (images, labels) = open_digits("train"), digits("train")
    means = torch.stack([images[labels == label].mean(0) for label in range(10)])  # [10, 1, 8, 8]
    picture = means.view(2, 5, 8, 8).permute(0, 2, 1, 3).reshape(1, 16, 40)
    pixels, low, high = quantise(picture)
    parts: dict[str, Any] = {
        "pixels": pixels,
        "low": low,
        "high": high,
        "layout": LAYOUT,
        "order": np.arange(10).reshape(2, 5),
        "class_names": data.classes,
        "data": "digits",
        "data_sha256": data.fingerprint(),
        "mean": data.mean,
        "std": data.std,
        "protocol": RECIPE.to_dict(),
        "lineage": {"seed": 3},
    }
    return Poster(**{**parts, **changes})
