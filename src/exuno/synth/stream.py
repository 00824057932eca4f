"""Patches as a torch data set: made when asked for, nothing on disk."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from exuno.synth.mixture import Mixture
from exuno.synth.options import ImageOptions


class PatchStream(Dataset[tuple[Tensor, int]]):
    """An endless, map-style data set of patches of one or several photographs.

    Item i is (uint8 [3, size, size], -1), a pure function of (photographs, options, seed, i), whatever the worker or
    the batch; photograph i mod n is its source. ``length`` is only what an epoch is called: an index beyond it gives a
    fresh patch, so that ``epoch * len(stream) + position`` never shows a patch twice.

    Args:
        photos: uint8 [H, W, 3], or several of them.
        length: number of patches of an epoch.
        options: how a patch is made.
        seed: seed of every draw.
    """

    channels = 3

    def __init__(
        self,
        photos: NDArray[np.uint8] | Sequence[NDArray[np.uint8]],
        length: int,
        options: ImageOptions | None = None,
        seed: int = 0,
    ) -> None:
        options = options or ImageOptions()
        self.mixture = Mixture([photos] if isinstance(photos, np.ndarray) else list(photos), options, seed)
        self.length, self.image_size = length, (options.size, options.size)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        return (self[index] for index in range(self.length))

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Several items at once; torch's DataLoader calls this for a batch."""
        images, _ = self.fetch(np.asarray(indices, np.int64))
        return [(image, -1) for image in images]

    def fetch(self, positions: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Patches uint8 [N, 3, size, size] and labels int64 [N], all -1."""
        patches = torch.from_numpy(self.mixture(positions)).permute(0, 3, 1, 2).contiguous()
        return patches, torch.full((len(patches),), -1)

    def fetch_draws(self, draws: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """The same for draw numbers ``epoch * len + position``, which ``exuno.data.loader`` asks an endless set for."""
        return self.fetch(draws)
