"""Where the batches of a training are made: here or on the device, where sets lie or patches are drawn."""

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.base import ArrayData, modality
from exuno.data.loader import Batch, Loader, Source
from exuno.data.resident import Resident, Shared, on_device, prepares, settled, stored
from exuno.engine.errors import tell
from exuno.engine.options import Augment

AT_ONCE = 1 << 24  # values

Maker = Callable[[NDArray[np.int64]], Tensor]
"""Draw numbers, int64 [N] -> uint8 [N, C, H, W] on a device."""


class Drawn(Loader):
    """The batches of :class:`~exuno.data.loader.Loader` of an endless set, drawn and augmented on the device.

    The parameters of the samples (boxes, angles, factors) are those of the CPU, drawn and copied for a few batches at
    once; pixels agree with the CPU's up to the rounding of the sampler.

    Args:
        data: an endless set; the others as for Loader.
        maker: makes its samples on ``device``.
        device: where they are made.
    """

    def __init__(
        self,
        data: Source,
        batch_size: int,
        augment: Augment | None = None,
        seed: int = 0,
        size: tuple[int, int] | None = None,
        *,
        maker: Maker,
        device: torch.device,
        **options: Any,
    ) -> None:
        super().__init__(data, batch_size, augment, seed, size, device=device, **options)
        self.maker = maker
        self.there = settled(self.preparer, device)

    @property
    def path(self) -> str:
        """How training images reach the device, in words."""
        return f"{modality(self.data)}s are drawn on {self.device} as training goes"

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """As :meth:`Loader.epoch`; all of a batch is on the device."""
        keys = self.keys(epoch, start_batch)
        draws = on_device(keys, 1, self.device)
        height, width = self.data.image_size  # pyright: ignore[reportAttributeAccessIssue]
        count = max(1, AT_ONCE // (3 * height * width * self.batch_size))
        for start in range(0, len(keys), count):
            some = keys[start : start + count]
            made = self.maker(np.concatenate([numbers for _, numbers in some]))
            for images, mine in zip(made.split([len(k[1]) for k in some]), draws[start : start + count], strict=True):
                pixels = self.there.pixels(images, mine)
                yield {"images": pixels, "labels": torch.full_like(mine, -1), "index": mine}


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
    fits into a share of the free memory (:class:`~exuno.data.resident.Resident`; several processes that train share it,
    :class:`~exuno.data.resident.Shared`, and have to call this all), and patches that are fresh in every epoch are
    drawn there (:class:`~exuno.data.batches.Drawn`). The others are prepared on the CPU and copied ahead.

    Args:
        data: as for Loader, and so are the other arguments and ``options``.
        device: where the training is.
        workers: processes that prepare batches, or fetch once what is to lie on the device.
        share: of the free memory, what the source may take.
    """
    values = (data, batch_size, augment, seed, size)
    loader: Loader | None = None
    parts = options.get("world", 1) if options.get("shuffle", True) and dist.is_initialized() else 1
    if device.type != "cpu" and not (augment and augment.augmix) and len(data):
        if hasattr(data, "fetch_draws"):
            if (drawn_on := getattr(data, "drawn_on", None)) and (maker := drawn_on(device)):
                loader = Drawn(*values, maker=maker, device=device, **options)
        elif fits(bytes_on_device(data, augment, size), share * free_memory(device), parts):
            kind = Shared if parts > 1 else Resident
            loader = kind(*values, device=device, workers=workers, **options)
    if loader is None:  # not by its truth: an empty one is false
        loader = Loader(*values, device=device, workers=workers, **options)
    if device.type != "cpu" and not options.get("rank"):
        name = getattr(data, "name", "the source")
        tell(f"{name}: {loader.path}", f"{name} on {device}")
    return loader


def fits(needed: int | None, room: float, parts: int) -> bool:
    """Whether a set lies on the devices of ``parts`` processes: it can, and its share fits into the room of each."""
    here = needed is not None and needed / parts <= room
    if parts == 1:
        return here
    every: list[Any] = [None] * parts
    dist.all_gather_object(every, here)
    return all(every)


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


LIMIT = 2 << 30
FETCHED = 1024

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
    for start in range(0, len(data), FETCHED):
        positions = np.arange(start, min(start + FETCHED, len(data)), dtype=np.int64)
        batch, labels[start : start + FETCHED] = data.fetch(positions)
        if not isinstance(batch, Tensor):
            if any(image.shape != shape for image in batch):
                return data
            batch = torch.stack(batch)
        images[start : start + FETCHED] = batch
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
