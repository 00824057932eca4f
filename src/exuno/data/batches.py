"""Where the batches of a training are made: here or on the device, where sets lie or patches are drawn."""

from collections.abc import Callable, Iterator
from copy import copy
from functools import cached_property
from math import prod
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from exuno.data.augmentation.clips import prepare_clips
from exuno.data.base import ArrayData, modality
from exuno.data.images.resize import prepare
from exuno.data.loader import Batch, InWorker, Key, Loader, Preparer, Source, raising
from exuno.engine.errors import ExunoError, tell
from exuno.engine.options import Augment
from exuno.engine.stop import in_worker

CHUNK = 1 << 24  # values that are fetched at once


class Resident(Loader):
    """The batches of :class:`~exuno.data.loader.Loader`, made on the device that the images lie on.

    The order of an epoch and the draw of a sample are those of Loader: so is the sample, bit by bit where whole pixels
    are moved, else up to rounding. The order of an epoch is copied to the device when it begins; a batch takes nothing
    from the host and nothing is read from the device. Images are fetched once, a chunk at a time, by the workers if
    there are any; without a random crop they lie there in the size of training. Each process holds all of them.

    Args:
        data: as for Loader, and so are ``batch_size``, ``augment``, ``seed``, ``size`` and ``options``; neither
            endless nor with ``fetch_runs`` in training.
        device: where the images lie and the batches are made.
        workers: processes that fetch the images, once.

    Raises:
        ExunoError: as Loader, and for images of several sizes with a random crop.
    """

    def __init__(
        self,
        data: Source,
        batch_size: int,
        augment: Augment | None = None,
        seed: int = 0,
        size: tuple[int, int] | None = None,
        *,
        device: torch.device,
        workers: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(data, batch_size, augment, seed, size, device=device, workers=workers, **options)
        self.augment = augment
        self.shape, self.dtype, self._label = stored(data, augment, self.preparer.size)
        self.there = settled(self.preparer, device)
        self.there.resize = None  # that is done before they lie there

    @property
    def path(self) -> str:
        """How training images reach the device, in words."""
        size = len(self.data) * prod(self.shape) * self.dtype.itemsize
        return f"{modality(self.data)}s lie on {self.device}: {size / 1e6:,.1f} MB"

    @cached_property
    def lying(self) -> tuple[Tensor, Tensor]:
        """Images and labels on the device, fetched when first asked for: a dry run asks for none."""
        images = torch.empty((len(self.data), *self.shape), dtype=self.dtype, device=self.device)
        label = self._label
        labels = torch.empty((len(self.data), *label.shape[1:]), dtype=label.dtype, device=self.device)
        short = self.preparer.resize if self.augment is None else None  # is for test images
        chunks = Chunks(self.data, prepares(self.data, self.augment), self.preparer.size, short)
        start = 0
        for some, theirs in chunks.all(max(1, CHUNK // prod(self.shape)), self.workers):
            images[start : start + len(some)] = some
            labels[start : start + len(some)] = theirs
            start += len(some)
        return images, labels

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """As :meth:`Loader.epoch`; all of a batch is on the device."""
        keys = self.keys(epoch, start_batch)
        images, labels = self.lying
        for positions, draws in zip(*(on_device(keys, which, self.device) for which in (0, 1)), strict=True):
            pixels = self.there.pixels(images.index_select(0, positions), draws)
            yield {"images": pixels, "labels": labels.index_select(0, positions), "index": positions}


def on_device(keys: list[Key], which: int, device: torch.device) -> tuple[Tensor, ...]:
    """The positions (``which`` = 0) or draws (1) of batches, copied to the device all at once."""
    if not keys:
        return ()
    return torch.from_numpy(np.concatenate([key[which] for key in keys])).to(device).split([len(k[0]) for k in keys])


def settled(preparer: Preparer, device: torch.device) -> Preparer:
    """The same with what it needs beside images and draws on a device."""
    there = copy(preparer)
    if there.fill is not None:
        there.fill = torch.as_tensor(there.fill, dtype=torch.float32).to(device)
    return there


def prepares(data: Source, augment: Augment | None) -> bool:
    """Whether images are brought to the size of training once and for all, because nothing random comes before."""
    random = augment is not None and (augment.resized_crop or augment.short_side)
    return modality(data) != "recording" and not random


def stored(data: Source, augment: Augment | None, size: tuple[int, int]) -> tuple[tuple[int, ...], torch.dtype, Tensor]:
    """The shape and type in which a sample of ``data`` would lie on a device, and a label, [1, …]."""
    images, label = data.fetch(np.zeros(1, np.int64))
    first = images[0]
    shape = tuple(first.shape)
    return (*shape[:-2], *size) if prepares(data, augment) else shape, first.dtype, label


class Chunks:
    """A data set by stretches of positions, as it is stored; what a worker process holds while it is fetched."""

    def __init__(self, data: Source, prepared: bool, size: tuple[int, int], resize: int | None) -> None:
        self.data, self.prepared, self.size, self.resize = data, prepared, size, resize

    def __getitem__(self, key: Key) -> Batch:
        images, labels = self.data.fetch(key[0])
        if self.prepared:
            images = (prepare_clips if modality(self.data) == "clip" else prepare)(images, self.size, self.resize)
        elif not isinstance(images, Tensor):
            if any(image.shape != images[0].shape for image in images):
                name = getattr(self.data, "name", "the data set")
                raise ExunoError(f"the samples of {name} are not of one size", "Prepare them by workers.")
            images = torch.stack(images)
        return {"images": images, "labels": labels}

    def all(self, count: int, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels, ``count`` at a time, in their order."""
        whole = np.arange(len(self.data), dtype=np.int64)
        keys: list[Key] = [(part, part) for k in range(0, len(whole), count) if len(part := whole[k : k + count])]
        chunks: Iterator[Batch] = map(self.__getitem__, keys)
        if workers:
            generator = torch.Generator()  # its own: the workers' seed must not be drawn from the training's
            options: dict[str, Any] = {"num_workers": workers, "generator": generator, "worker_init_fn": in_worker}
            chunks = raising(iter(DataLoader(InWorker(self), batch_size=None, sampler=keys, **options)))
        return ((chunk["images"], chunk["labels"]) for chunk in chunks)


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
    fits into a share of the free memory (:class:`~exuno.data.batches.Resident`), and patches that are fresh in every
    epoch are drawn there (:class:`~exuno.data.batches.Drawn`). The others are prepared on the CPU and copied ahead.

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
