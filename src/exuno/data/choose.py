"""Where the batches of a training are made: on the device, where the source lies there or is drawn there; else here."""

from math import prod
from typing import Any

import torch
from torch import Tensor

from exuno.data.drawn import Drawn
from exuno.data.loader import Loader, Source
from exuno.data.resident import Resident, prepares, stored
from exuno.engine.options import Augment
from exuno.engine.tell import tell

SHARE, TEST_SHARE = 0.6, 0.1
"""Of the free memory of a device, what a training set and a test set may take; networks, optimizer and activations need
the rest."""


def batches(
    data: Source,
    batch_size: int,
    augment: Augment | None = None,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    *,
    device: torch.device,
    workers: int = 0,
    share: float = SHARE,
    **options: Any,
) -> Loader:
    """The loader that suits a device: its batches are the same samples, whichever it is.

    On the CPU and with AugMix, it is :class:`~exuno.data.loader.Loader`. On another device, a source lies there if it
    fits into a share of the free memory (:class:`~exuno.data.resident.Resident`), and patches that are fresh in every
    epoch are drawn there (:class:`~exuno.data.drawn.Drawn`). The others are prepared on the CPU and copied ahead.

    Args:
        data: as for Loader, and so are the other arguments and ``options``.
        device: where the training is.
        workers: processes that prepare batches, or fetch once what is to lie on the device.
        share: of the free memory, what the source may take.
    """
    values = (data, batch_size, augment, seed, size)
    loader: Loader | None = None
    if device.type != "cpu" and not (augment and augment.augmix) and len(data):
        if hasattr(data, "fetch_draws"):
            if (drawn_on := getattr(data, "drawn_on", None)) and (maker := drawn_on(device)):
                loader = Drawn(*values, maker=maker, device=device, **options)
        elif (needed := bytes_on_device(data, augment, size)) is not None and needed <= share * free_memory(device):
            loader = Resident(*values, device=device, workers=workers, **options)
    if loader is None:  # not by its truth: an empty one is false
        loader = Loader(*values, device=device, workers=workers, **options)
    if device.type != "cpu" and not options.get("rank"):
        name = getattr(data, "name", "the source")
        tell(f"{name}: {loader.path}", f"{name} on {device}")
    return loader


def bytes_on_device(data: Source, augment: Augment | None, size: tuple[int, int] | None) -> int | None:
    """What a training set would take; None if it cannot lie on a device, for its samples are of several sizes or
    another part of each is fetched in every epoch."""
    if augment is not None and hasattr(data, "fetch_runs"):
        return None
    size = size or getattr(data, "image_size", None)
    if size is None:
        return None
    if not prepares(data, augment):
        images, _ = data.fetch(torch.zeros(1, dtype=torch.int64).numpy())
        if not isinstance(images, Tensor):
            return None
    shape, dtype, _ = stored(data, augment, size)
    return len(data) * prod(shape) * dtype.itemsize


def free_memory(device: torch.device) -> int:
    """Bytes of a device that nothing takes yet."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return 0
