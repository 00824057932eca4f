"""Patches and clips as torch data sets: made when asked for, nothing on disk."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from exuno.data.photo import load_photo
from exuno.synth.mixture import Mixture
from exuno.synth.options import ImageOptions, VideoOptions

Photo = NDArray[np.uint8] | str | Path
Photos = Photo | Sequence[Photo]


class Stream(Dataset[tuple[Tensor, int]]):
    """An endless, map-style data set of samples of one or several photographs.

    Item i is a pure function of (photographs, options, seed, i), whatever the worker or the batch; photograph i mod n
    is its source. ``length`` is only what an epoch is called: an index beyond it gives a fresh sample, so that
    ``epoch * len(stream) + position`` never shows one twice.

    Args:
        photos: uint8 [H, W, 3] or what names a photograph (a path, ``photo:NAME``, ``noise:SEED``); or several of them.
        length: number of samples of an epoch.
        options: how a sample is made.
        seed: seed of every draw.
    """

    channels = 3

    def __init__(self, photos: Photos, length: int, options: ImageOptions | VideoOptions, seed: int) -> None:
        several = [photos] if isinstance(photos, np.ndarray | str | Path) else photos
        pixels = [each if isinstance(each, np.ndarray) else load_photo(str(each)) for each in several]
        self.mixture = Mixture(pixels, options, seed)
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
        """Samples uint8 [N, 3, …, size, size] and labels int64 [N], all -1."""
        samples = torch.from_numpy(self.mixture(positions)).movedim(-1, 1).contiguous()
        return samples, torch.full((len(samples),), -1)

    def fetch_draws(self, draws: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """The same for draw numbers ``epoch * len + position``, which ``exuno.data.loader`` asks an endless set for."""
        return self.fetch(draws)


class PatchStream(Stream):
    """Patches: item i is (uint8 [3, size, size], -1). What ``Stream`` says holds."""

    def __init__(self, photos: Photos, length: int, options: ImageOptions | None = None, seed: int = 0) -> None:
        super().__init__(photos, length, options or ImageOptions(), seed)


class ClipStream(Stream):
    """Clips: item i is (uint8 [3, frames, size, size], -1). What ``Stream`` says holds."""

    def __init__(self, photos: Photos, length: int, options: VideoOptions | None = None, seed: int = 0) -> None:
        options = options or VideoOptions()
        super().__init__(photos, length, options, seed)
        self.frames = options.frames
