"""Sets that lie on the device of a training, whole or shared among its processes."""

from collections.abc import Iterator
from copy import copy
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from exuno.data.augmentation.clips import prepare_clips
from exuno.data.base import modality
from exuno.data.images.resize import prepare
from exuno.data.loader import Batch, InWorker, Key, Loader, Preparer, Source, raising, rank_slice
from exuno.engine.errors import ExunoError
from exuno.engine.options import Augment
from exuno.engine.stop import in_worker

CHUNK = 1 << 24  # values that are fetched at once


class Resident(Loader):
    """The batches of :class:`~exuno.data.loader.Loader`, made on the device that the images lie on.

    The order of an epoch and the draw of a sample are those of Loader: so is the sample, bit by bit where whole pixels
    are moved, else up to rounding. The order of an epoch is copied to the device when it begins; a batch takes nothing
    from the host and nothing is read from the device. Images are fetched once, a chunk at a time, by the workers if
    there are any; without a random crop they lie there in the size of training. A process that is not alone holds all
    of them here; see :class:`Shared`.

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
        return f"{modality(self.data)}s lie on {self.device}: {self.megabytes:,.1f} MB"

    @property
    def megabytes(self) -> float:
        """What all images take."""
        return len(self.data) * prod(self.shape) * self.dtype.itemsize / 1e6

    @cached_property
    def lying(self) -> tuple[Tensor, Tensor]:
        """Images and labels on the device, fetched when first asked for: a dry run asks for none."""
        return self._fetched(np.arange(len(self.data), dtype=np.int64))

    def _fetched(self, positions: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Images and labels of some positions, in their order."""
        images = torch.empty((len(positions), *self.shape), dtype=self.dtype, device=self.device)
        label = self._label
        labels = torch.empty((len(positions), *label.shape[1:]), dtype=label.dtype, device=self.device)
        short = self.preparer.resize if self.augment is None else None  # is for test images
        chunks = Chunks(self.data, prepares(self.data, self.augment), self.preparer.size, short)
        start = 0
        for some, theirs in chunks.all(positions, max(1, CHUNK // prod(self.shape)), self.workers):
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
    return (
        torch.from_numpy(np.concatenate([key[which] for key in keys]))
        .to(device)
        .split([len(key[which]) for key in keys])
    )


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

    def all(self, whole: NDArray[np.int64], count: int, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels of the positions ``whole``, ``count`` at a time, in their order."""
        keys: list[Key] = [(part, part) for k in range(0, len(whole), count) if len(part := whole[k : k + count])]
        chunks: Iterator[Batch] = map(self.__getitem__, keys)
        if workers:
            generator = torch.Generator()  # its own: the workers' seed must not be drawn from the training's
            options: dict[str, Any] = {"num_workers": workers, "generator": generator, "worker_init_fn": in_worker}
            chunks = raising(iter(DataLoader(InWorker(self), batch_size=None, sampler=keys, **options)))
        return ((chunk["images"], chunk["labels"]) for chunk in chunks)


PLANNED = 64  # batches whose exchange is planned and sent to the device at once


class Exchange(NamedTuple):
    """What a process gives to the others, and gets, for one batch."""

    given: NDArray[np.int64]
    """Places of its own samples, those for the first process first, int64 [S]."""
    gives: list[int]
    """How many for each process."""
    gets: list[int]
    """How many come from each."""
    order: NDArray[np.int64]
    """Where each sample of its own part of the batch is among those that come, int64 [B]."""


def exchange(batch: NDArray[np.int64], rank: int, world: int) -> Exchange:
    """Who sends what, where the sample at position p lies at place p // world of process p % world.

    Args:
        batch: positions of the samples of a batch, of all processes together.
        rank: number of this process.
        world: number of processes.
    """
    parts = [batch[rank_slice(len(batch), each, world)] for each in range(world)]
    given = [part[part % world == rank] // world for part in parts]
    owner = parts[rank] % world
    coming = np.argsort(owner, kind="stable")
    return Exchange(
        np.concatenate(given),
        [len(each) for each in given],
        np.bincount(owner, minlength=world).tolist(),
        np.argsort(coming, kind="stable"),
    )


class Shared(Resident):
    """The batches of :class:`Resident`, of which each process holds every ``world``-th image.

    The samples are those of one process: all know the order of an epoch, so each knows without asking what the others
    need, and a batch is one exchange of uint8 images among the devices, before they are augmented. All processes have
    to ask for the same batches. Labels are on every device.
    """

    @property
    def path(self) -> str:
        """How training images reach the device, in words."""
        kind, each = modality(self.data), self.megabytes / self.world
        return f"{kind}s lie on {self.device}, shared by {self.world} processes: {each:,.1f} MB each"

    @cached_property
    def lying(self) -> tuple[Tensor, Tensor]:
        """This process's images and the labels of all, on the device."""
        images, mine = self._fetched(np.arange(self.rank, len(self.data), self.world, dtype=np.int64))
        short = -(-len(self.data) // self.world) - len(mine)
        padded = torch.cat([mine, mine[:1].expand(short, *mine.shape[1:])]) if short else mine
        every = [torch.empty_like(padded) for _ in range(self.world)]
        dist.all_gather(every, padded)
        return images, torch.stack(every, 1).flatten(0, 1)[: len(self.data)]

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """As :meth:`Resident.epoch`."""
        keys, order, size = self.keys(epoch, start_batch), self.order(epoch), self.batch_size
        images, labels = self.lying
        for first in range(0, len(keys), PLANNED):
            some = keys[first : first + PLANNED]
            starts = [(start_batch + first + number) * size for number in range(len(some))]
            plans = [exchange(order[start : start + size], self.rank, self.world) for start in starts]
            moves: list[Key] = [(plan.given, plan.order) for plan in plans]
            parts = [on_device(each, which, self.device) for each in (some, moves) for which in (0, 1)]
            for plan, positions, draws, given, back in zip(plans, *parts, strict=True):
                coming = images.new_empty((len(back), *self.shape))
                dist.all_to_all_single(coming, images.index_select(0, given), plan.gets, plan.gives)
                pixels = self.there.pixels(coming.index_select(0, back), draws)
                yield {"images": pixels, "labels": labels.index_select(0, positions), "index": positions}

    def first(self) -> Batch:
        """As :meth:`Loader.first`, from where the images come from."""
        return self.preparer[self.keys(0)[0]]
