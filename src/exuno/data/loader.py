"""Batches of training or test images: the same ones whatever the number of workers and processes.

The next batch is prepared while one is used: by worker processes, or by a thread of this process. On its way to a GPU
it is copied on a stream of its own. What need not be read from files is prepared when it is asked for where the
networks, too, are on the CPU: they take all of its cores, and a second thread at work beside them only delays them.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from exuno.data import rng
from exuno.data.audio.mel import pad_or_trim
from exuno.data.augmentation.augment import Fill, augment, to_float
from exuno.data.augmentation.clips import augment_clips, prepare_clips
from exuno.data.base import Draws, Images, Positions, modality
from exuno.data.images.resize import prepare
from exuno.engine.errors import ExunoError, as_mistake
from exuno.engine.options import Augment
from exuno.engine.stop import in_worker

Batch = dict[str, Tensor]


def ahead(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches on ``device``, in their order. Where that is no CUDA device, they pass as they are.

    The copy of the next batch is asked for before this one is handed out. It is asynchronous: from pinned memory, into
    which a batch that is not there yet is brought first.
    """
    return _copied(batches, device) if device.type == "cuda" else batches


def _copied(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    side = torch.cuda.Stream(device)

    def start() -> tuple[Batch, Batch] | None:
        batch = next(batches, None)
        if batch is None:
            return None
        pinned = {name: x if x.is_cuda or x.is_pinned() else x.pin_memory() for name, x in batch.items()}
        with torch.cuda.stream(side):
            return {name: x.to(device, non_blocking=True) for name, x in pinned.items()}, pinned

    coming = start()
    while coming is not None:
        batch, _ = coming
        current = torch.cuda.current_stream(device)
        current.wait_stream(side)
        for x in batch.values():
            x.record_stream(current)  # its memory is not given away while the training's stream may read it
        following = start()
        yield batch
        coming = following


Key = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Positions and draw numbers of the samples of a batch."""


IN_ORDER: dict[str, Any] = {"shuffle": False, "drop_last": False}
"""What makes a :class:`Loader` give each sample once, in the order of the data."""


class Source(Protocol):
    """The least a data set must offer. One that also has ``fetch_draws`` is endless: it is asked for draw numbers, not
    positions. One that has ``fetch_runs`` cuts a part out of each sample: it is asked for a random one in training."""

    def __len__(self) -> int: ...

    def fetch(self, positions: Positions) -> tuple[Images, Tensor]: ...


class Loader:
    """Batches of ``data`` in a reproducible order.

    The order of an epoch is a permutation that depends on (seed, epoch) alone, and the draw number of a sample, of
    which its augmentation is a function, is ``epoch * len(data) + position``.

    Args:
        data: the images. If it has a method ``fetch_draws(draws)``, that is called with draw numbers in place of
            ``fetch(positions)``.
        batch_size: samples of a batch over all processes together.
        augment: what to do to training images; None for test images, which are resized and centre-cropped.
        seed: seed of order and augmentation.
        size: (H, W) of the images delivered; by default ``data.image_size``.
        resize: short side before the centre crop of test images; by default that of the data set, in proportion to
            ``size``.
        workers: processes that prepare batches; 0 prepares them in this one.
        shuffle: whether the order is random.
        rank: number of this process.
        world: number of processes. Each takes, of every batch of B samples, the slice [rank h, (rank + 1) h) and its
            mirror image B - 1 - that, with h = B / (2 world): so a sample and its partner in the reversed batch are
            always in the same process.
        drop_last: whether an incomplete last batch is dropped. A data set smaller than a batch then is one batch,
            rounded down to an even number (a multiple of 2 world).
        raw: whether images stay as they are stored, uint8 [0, 255], for a training that augments on its own device.
        device: where the batches are delivered: on a GPU, one is copied there while another is used.

    Raises:
        ExunoError: for an empty data set, or a batch size that does not fit the number of processes.
    """

    def __init__(
        self,
        data: Source,
        batch_size: int,
        augment: Augment | None = None,
        seed: int = 0,
        size: tuple[int, int] | None = None,
        *,
        resize: int | None = None,
        workers: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        world: int = 1,
        drop_last: bool = True,
        raw: bool = False,
        device: torch.device | None = None,
    ) -> None:
        name = getattr(data, "name", "the data set")
        if len(data) == 0:
            raise ExunoError(f"{name} is empty", "Give a data set with images in it.")
        if batch_size < 1:
            raise ExunoError(f"a batch size of {batch_size}", "Give a positive batch size.")
        if world > 1 and drop_last and batch_size % (2 * world):
            raise ExunoError(
                f"a batch of {batch_size} cannot be shared by {world} processes",
                f"Give a batch size that is a multiple of {2 * world}.",
            )
        if drop_last and batch_size > len(data):
            step = 2 * world
            batch_size = len(data) // step * step or len(data)
            if world > 1 and batch_size < step:
                raise ExunoError(f"{name} has {len(data)} images for {world} processes", "Start fewer processes.")
        shape = size or getattr(data, "image_size", None)
        if shape is None:
            raise ExunoError(f"the image size of {name} is unknown", "Give the size of the images.")
        own_resize = getattr(data, "resize", None)
        if resize is None and own_resize is not None:
            resize = round(own_resize * min(shape) / min(data.image_size))  # type: ignore[attr-defined]
        self.data, self.batch_size, self.shuffle, self.drop_last = data, batch_size, shuffle, drop_last
        self.seed, self.rank, self.world, self.workers = seed, rank, world, workers
        self.device = device or torch.device("cpu")
        self.beside = self.device.type != "cpu" or not getattr(data, "at_hand", False)
        """Whether a thread prepares batches while others are used, if there are no workers."""
        self.preparer = Preparer(data, augment, seed, shape, resize, raw)
        self.sampled: NDArray[np.int64] | None = None
        """Positions in the order of the epoch at hand, int64 [len(data)], in the place of a permutation; a sample may
        come several times, augmented differently each time."""
        self._keys = _Keys()
        self._pool: DataLoader[Batch | ExunoError] | None = None

    def __len__(self) -> int:
        """Number of batches of an epoch."""
        full, rest = divmod(len(self.data), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    @property
    def path(self) -> str:
        """How training images reach the device, in words."""
        who = "a thread of the process that trains" if self.beside else "the process that trains"
        how = f"by {self.workers} worker processes" if self.workers else f"by {who}"
        return f"prepared {how}" + (f", copied to {self.device} one batch ahead" if self.device.type == "cuda" else "")

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Positions in the order of the epoch, int64 [len(data)]."""
        if self.sampled is not None:
            return self.sampled
        if not self.shuffle:
            return np.arange(len(self.data), dtype=np.int64)
        return rng.generator(self.seed, "order", epoch).permutation(len(self.data)).astype(np.int64)

    def keys(self, epoch: int, start_batch: int = 0) -> list[Key]:
        """Positions and draw numbers of this process's share of each batch of an epoch, from ``start_batch`` on."""
        order, size = self.order(epoch), self.batch_size
        base = epoch * len(self.data)
        again = self.sampled is not None and not self.preparer.endless
        keys = []
        for batch in range(start_batch, len(self)):
            whole = order[batch * size : (batch + 1) * size]
            share = rank_slice(len(whole), self.rank, self.world)
            mine = whole[share]
            keys.append((mine, base + (batch * size + share if again else mine)))
        return keys

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from ``start_batch`` on; those before are not read.

        Yields:
            ``images`` float32 [B, C, H, W] in [0, 1], clips [B, C, T, H, W], recordings [B, 1, S]; ``labels`` int64
            [B], -1 where there is none; ``index`` int64 [B], the position of each sample in the data set (the draw
            number, for an endless one).
        """
        return ahead(self._batches(self.keys(epoch, start_batch)), self.device)

    def first(self) -> Batch:
        """The first batch of the first epoch, for a look; no other process has to take part."""
        return next(ahead(self._batches(self.keys(0)[:1]), self.device))

    def _batches(self, keys: list[Key]) -> Iterator[Batch]:
        if not self.workers:
            return by_thread(self.preparer, keys) if self.beside else (self.preparer[key] for key in keys)
        if self._pool is None:
            self._pool = DataLoader(
                InWorker(self.preparer),
                batch_size=None,
                sampler=self._keys,
                num_workers=self.workers,
                worker_init_fn=in_worker,
                persistent_workers=True,
                pin_memory=self.device.type == "cuda",
                generator=torch.Generator(),  # its own: the workers' seed must not be drawn from the training's
            )
        self._keys.current = keys
        return raising(iter(self._pool))


def rank_slice(count: int, rank: int, world: int) -> NDArray[np.int64]:
    """Which of the ``count`` samples of a batch go to process ``rank``, ascending: a symmetric set, so that i and count
    - 1 - i stay together."""
    half = (count + 1) // 2
    low = np.arange(rank * half // world, (rank + 1) * half // world, dtype=np.int64)
    return np.unique(np.concatenate([low, count - 1 - low]))


class _Keys:
    """The keys of the epoch at hand, read anew whenever the pool of workers starts over.

    It does not know the loader: a cycle of references would leave the end of the pool to the garbage collector, under
    which the workers miss their signal, and each is waited for 5 s.
    """

    current: Sequence[Key] = ()

    def __iter__(self) -> Iterator[Key]:
        return iter(self.current)

    def __len__(self) -> int:
        return len(self.current)


class Prepares(Protocol):
    """Makes a batch of a key."""

    def __getitem__(self, key: Key, /) -> Batch: ...


_preparing = Lock()  # of all loaders of this process: what reads a user's data need not be safe in two threads


def by_thread(prepares: Prepares, keys: Sequence[Key]) -> Iterator[Batch]:
    """The batches of ``keys``, each prepared by a thread while the one before it is used.

    What reads and changes images releases Python's lock, and a step of a small network leaves a core idle now and then.
    A mistake is raised in the place of its batch. Whoever stops early waits for the batch that is being prepared.
    """

    def prepare(key: Key) -> Batch:
        with _preparing:
            return prepares[key]

    with ThreadPoolExecutor(1, "exuno-batches") as thread:
        asked = (thread.submit(prepare, key) for key in keys)
        coming = next(asked, None)
        while coming is not None:
            batch = coming.result()
            coming = next(asked, None)
            yield batch


class InWorker(Dataset["Batch | ExunoError"]):
    """What a worker process answers: a batch, or the user's mistake, which torch would wrap in a traceback."""

    def __init__(self, preparer: Prepares) -> None:
        self.preparer = preparer

    def __getitem__(self, key: Key) -> Batch | ExunoError:
        try:
            batch = self.preparer[key]
            for tensor in batch.values():
                # Here, where it can fail: in torch's thread that sends them, a full /dev/shm loses the batch, for which
                # the training would wait for ever.
                tensor.share_memory_()
            return batch
        except Exception as error:
            mistake = as_mistake(error)
            if mistake is None:
                raise
            return mistake


def raising(batches: Iterator[Batch | ExunoError]) -> Iterator[Batch]:
    """Batches of workers; raises the mistake that one of them answered."""
    for batch in batches:
        if isinstance(batch, ExunoError):
            try:
                raise batch
            finally:
                del batch  # which holds this frame, and so the workers: the collector of garbage would wait for them
        yield batch


class Preparer(Dataset[Batch]):
    """(positions, draws) -> batch; what a worker process holds."""

    def __init__(
        self,
        data: Source,
        options: Augment | None,
        seed: int,
        size: tuple[int, int],
        resize: int | None,
        raw: bool,
    ) -> None:
        self.raw = raw
        self.data, self.options, self.seed, self.size, self.resize = data, options, seed, size, resize
        self.endless, self.kind = hasattr(data, "fetch_draws"), modality(data)
        self.fill: Fill = getattr(data, "mean", None) if options and options.cutout else None

    def __getitem__(self, key: Key) -> Batch:
        positions, draws = key
        if self.endless:
            positions = draws
            images, labels = self.data.fetch_draws(draws)  # type: ignore[attr-defined]
        elif self.options is not None and hasattr(self.data, "fetch_runs"):
            images, labels = self.data.fetch_runs(positions, draws, self.seed)  # type: ignore[attr-defined]
        else:
            images, labels = self.data.fetch(positions)
        return {"images": self.pixels(images, draws), "labels": labels, "index": torch.from_numpy(positions)}

    def pixels(self, images: Images, draws: Draws) -> Tensor:
        """What the network sees of images that were fetched; with draws in a tensor, made on its device."""
        if self.kind == "recording":
            return pad_or_trim(images, self.size[1], self.options, self.seed, draws)
        if self.options is None:
            pixels = (prepare_clips if self.kind == "clip" else prepare)(images, self.size, self.resize)
            return pixels if self.raw else to_float(pixels)
        change = augment_clips if self.kind == "clip" else augment
        return change(images, self.options, self.seed, draws, self.size, self.fill)
