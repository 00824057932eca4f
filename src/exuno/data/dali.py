"""Batches of image files by NVIDIA DALI: decoded, cropped and resized by its threads, on a GPU where there is one.

What a sample is stays as it is: order, boxes and every other draw come from the functions that the default loader
uses, and all that follows the resize is the same code. Only interpolation differs, by less than half a gray level on
average. Needs the extra ``exuno[dali]``.
"""

import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.augmentation.augment import boxes, finish
from exuno.data.images.folder import FileData
from exuno.data.images.picture import plain_size
from exuno.data.images.resize import cover
from exuno.data.loader import Batch, Key, Loader, Source
from exuno.data.relabelled import Relabelled
from exuno.engine.errors import ExunoError
from exuno.engine.options import Augment

AHEAD = 2  # batches that DALI has in hand while another is used


def check_dali() -> None:
    """Raises ExunoError where DALI is not installed."""
    try:
        import nvidia.dali  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ExunoError(
            "--loader dali needs NVIDIA DALI, which is not installed", "pip install 'exuno[dali]'"
        ) from None


class DaliLoader(Loader):
    """The training batches of :class:`~exuno.data.loader.Loader`, up to interpolation, on ``device``.

    A file that is no plain JPEG file (another format, a damaged, turned or CMYK image) is decoded by the default way
    and resized by DALI; so it gives the same pixels, or the same error.

    Args:
        data: images in files, RGB.
        batch_size: as for Loader, and so are ``augment``, ``seed``, ``size``, ``rank`` and ``world``.
        device: where DALI works and images are delivered. Labels and index stay on the CPU.
        threads: threads of DALI, and as many that read files.

    Raises:
        ExunoError: as Loader, for data whose images are not in files, and where DALI is not installed.
    """

    def __init__(
        self,
        data: Source,
        batch_size: int,
        augment: Augment,
        seed: int = 0,
        size: tuple[int, int] | None = None,
        *,
        device: torch.device | None = None,
        threads: int = 1,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        check_dali()
        files = data.data if isinstance(data, Relabelled) else data  # labels are taken from the data, images from files
        if not isinstance(files, FileData) or files.channels != 3:
            name = getattr(data, "name", "the data set")
            raise ExunoError(
                f"--loader dali reads image files in colour, and {name} holds no such files", "Leave out --loader dali."
            )
        if augment.augmix:
            raise ExunoError("--loader dali knows no AugMix", "Leave out --augment.augmix or --loader dali.")
        super().__init__(data, batch_size, augment, seed, size, rank=rank, world=world, device=device)
        self.labels: Tensor = data.labels  # pyright: ignore[reportAttributeAccessIssue]
        self.threads = threads
        self.inputs = _Inputs(files, augment, seed, self.preparer.size, threads)
        self._idle: Any = None

    @property
    def path(self) -> str:
        """How training images reach the device, in words."""
        return f"read, decoded and cropped by DALI on {self.device}"

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """As :meth:`Loader.epoch`; the images are on the device."""
        keys = self.keys(epoch, start_batch)
        pipeline, self._idle = self._idle, None
        self.inputs.start(keys)
        for number, (positions, draws) in enumerate(keys):
            pipeline = pipeline or self._build()
            try:
                found = self._tensor(*pipeline.run())
            except RuntimeError as error:  # a critical one, after which a pipeline is of no use any more
                yield self._without(keys[number], error)
                pipeline = None
                self.inputs.start(keys[number + 1 :])
                continue
            images = finish(found, self.inputs.options, self.seed, draws, self.preparer.fill)
            labels = self.labels[torch.from_numpy(positions)]
            yield {"images": images, "labels": labels, "index": torch.from_numpy(positions)}
        # An epoch that is left early takes its pipeline with it, and what that had prepared.
        if pipeline is not None:
            try:
                pipeline.run()
            except StopIteration:
                pipeline.reset()
                self._idle = pipeline

    def _build(self) -> Any:
        from nvidia import dali  # pyright: ignore[reportMissingImports]

        fn: Any = dali.fn  # its types are those of eager calls, too
        types: Any = dali.types

        gpu = self.device.type == "cuda"
        index = (self.device.index or 0) if gpu else None
        most = -(-self.batch_size // self.world)
        cubic = self.inputs.options.resized_crop is not None or self.inputs.options.short_side is not None
        pipeline = dali.Pipeline(most, self.threads, index, prefetch_queue_depth=AHEAD)
        with pipeline:
            files, start, shape, low, high = fn.external_source(source=self.inputs, num_outputs=5, batch=True)
            images = fn.decoders.image_slice(
                files,
                start=start,
                shape=shape,
                axis_names="HW",
                device="mixed" if gpu else "cpu",
                output_type=types.RGB,
                adjust_orientation=False,
                jpeg_fancy_upsampling=True,  # as on the CPU
                hw_decoder_load=1.0,  # all that the chip's decoder takes, so that pixels depend on no share of a batch
            )
            images = fn.resize(
                images,
                size=self.preparer.size,
                roi_start=low,
                roi_end=high,
                interp_type=types.INTERP_CUBIC if cubic else types.INTERP_LINEAR,
                antialias=True,
            )
            pipeline.set_outputs(fn.transpose(images, perm=[2, 0, 1]))
        try:
            pipeline.build()
        except RuntimeError as error:
            raise ExunoError(f"DALI cannot start on {self.device} ({error})", "Leave out --loader dali.") from error
        return pipeline

    def _tensor(self, images: Any) -> Tensor:
        """DALI's uint8 [B, 3, H, W] as a tensor of ours. On the CPU it is valid until the next batch is asked for."""
        if self.device.type == "cpu":
            return torch.from_numpy(images.as_array())
        from nvidia.dali.plugin import pytorch  # pyright: ignore[reportMissingImports]

        dense = images.as_tensor()
        out = torch.empty(tuple(dense.shape()), dtype=torch.uint8, device=self.device)
        copy: Any = pytorch.feed_ndarray  # pyright: ignore[reportPrivateImportUsage]
        copy(dense, out, cuda_stream=torch.cuda.current_stream(self.device))
        return out

    def _without(self, key: Key, error: RuntimeError) -> Batch:
        """A batch that DALI refused, by the default way, which also tells which file is damaged, if one is."""
        batch = self.preparer[key]
        warnings.warn(f"DALI refused a batch, which was prepared without it: {error}", stacklevel=2)
        return {**batch, "images": batch["images"].to(self.device)}


class _File(NamedTuple):
    content: NDArray[np.uint8]
    """What DALI's decoder reads, [bytes]."""
    size: tuple[int, int]
    """(height, width)."""


class _Inputs:
    """What DALI is fed: for each image the bytes of its file, the box to decode, and the part of it to resize."""

    def __init__(self, data: FileData, options: Augment, seed: int, size: tuple[int, int], threads: int) -> None:
        self.data, self.options, self.seed, self.size = data, options, seed, size
        self.readers = ThreadPoolExecutor(threads)
        self.start([])

    def start(self, keys: Sequence[Key]) -> None:
        """Begins anew with these batches."""
        self.keys: deque[Key] = deque(keys)
        self.reading: deque[tuple[NDArray[np.int64], list[Future[_File]]]] = deque()
        self._read_on()

    def _read_on(self) -> None:
        if self.keys:
            positions, draws = self.keys.popleft()
            self.reading.append((draws, [self.readers.submit(self._file, int(position)) for position in positions]))

    def __call__(self) -> tuple[list[NDArray[Any]], ...]:
        if not self.reading:
            raise StopIteration
        draws, waiting = self.reading.popleft()
        self._read_on()
        files = [each.result() for each in waiting]
        box, low, high = self._regions(np.array([file.size for file in files], np.int64), draws)
        box = box.astype(np.int32)
        return [file.content for file in files], list(box[:, :2]), list(box[:, 2:]), list(low), list(high)

    def _regions(
        self, sizes: NDArray[np.int64], draws: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """The boxes (top, left, height, width), [B, 4], and in them the corners of what fills the result, [B, 2]."""
        if self.options.resized_crop is not None or self.options.short_side is not None:
            box = boxes(sizes, self.options, self.seed, draws, self.size)
            return box, np.zeros((len(box), 2), np.float32), box[:, 2:].astype(np.float32)
        box = np.concatenate([np.zeros_like(sizes), sizes], 1)
        covers = [cover(height, width, self.size, None) for height, width in sizes.tolist()]
        scaled, corner = (np.array([each[k] for each in covers], np.float64).reshape(-1, 2) for k in (0, 1))
        low, high = (sizes * place / scaled for place in (corner, corner + self.size))
        return box, low.astype(np.float32), high.astype(np.float32)

    def _file(self, position: int) -> _File:
        content = self.data.read(position)
        size = plain_size(content)
        if size is None:
            pixels = self.data.decode(position, content)
            size = (pixels.shape[0], pixels.shape[1])
            content = b"P6 %d %d 255\n" % (size[1], size[0]) + pixels.tobytes()  # PPM: a header, then the pixels
        return _File(np.frombuffer(content, np.uint8), size)
