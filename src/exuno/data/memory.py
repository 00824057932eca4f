"""Holding a data set in memory, so that its images are decoded or drawn once."""

from math import prod
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from exuno.data.base import ArrayData
from exuno.data.loader import Source

LIMIT = 2 << 30
CHUNK = 1024

S = TypeVar("S", bound=Source)


def in_memory(data: S, limit: int = LIMIT) -> S | ArrayData:
    """``data`` as an ArrayData with the same samples, if its images are uint8 (or recordings), of equal size and take
    at most ``limit`` bytes; else itself.

    Args:
        data: a data set; what it knows of its classes and statistics is kept.
        limit: bytes.
    """
    if isinstance(data, ArrayData) or hasattr(data, "fetch_draws") or not len(data):
        return data
    first, label = data.fetch(np.zeros(1, np.int64))
    shape, rate = tuple(first[0].shape), getattr(data, "rate", None)
    stored = torch.float32 if rate else torch.uint8
    # A poster is in memory already, and neither its float images nor its soft labels may be rounded.
    if len(data) * prod(shape) * stored.itemsize > limit or first[0].dtype != stored or label.ndim != 1:
        return data
    images = torch.empty((len(data), *shape), dtype=stored)
    labels = torch.empty(len(data), dtype=torch.int64)
    for start in range(0, len(data), CHUNK):
        positions = np.arange(start, min(start + CHUNK, len(data)), dtype=np.int64)
        batch, labels[start : start + CHUNK] = data.fetch(positions)
        if not isinstance(batch, Tensor):
            if any(image.shape != shape for image in batch):
                return data
            batch = torch.stack(batch)
        images[start : start + CHUNK] = batch
    mean, std = getattr(data, "mean", None), getattr(data, "std", None)
    return ArrayData(
        getattr(data, "name", "data"),
        images.numpy(),
        labels.numpy(),
        getattr(data, "classes", None),
        getattr(data, "num_classes", 0),
        (mean, std) if mean and std else None,
        rate,
    )
