"""Patches that are drawn on the device as training goes: nothing of them comes from the CPU but a few numbers each."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exuno.data.base import modality
from exuno.data.loader import Batch, Loader, Source
from exuno.data.resident import on_device, settled
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
