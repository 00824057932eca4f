"""Several photographs as one source of patches."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.synth.image import Sampler
from exuno.synth.options import ImageOptions


class Mixture:
    """Patch i comes from photograph i mod n, with the parameters of patch i. Called like a ``Sampler``.

    Args:
        photos: photographs, uint8 [H, W, 3] each.
        options: what to do with them.
        seed: the seed of every draw.
    """

    def __init__(self, photos: Sequence[NDArray[np.uint8]], options: ImageOptions, seed: int) -> None:
        if not photos:
            raise ValueError("no photograph given")
        self.samplers = [Sampler(photo, options, seed) for photo in photos]
        self.options = options

    def __call__(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """The patches with these indices, uint8 [N, size, size, 3]."""
        indices = np.asarray(indices, np.int64).reshape(-1)
        if len(self.samplers) == 1:
            return self.samplers[0](indices)
        patches = np.empty((len(indices), self.options.size, self.options.size, 3), np.uint8)
        which = indices % len(self.samplers)
        for number, sampler in enumerate(self.samplers):
            if len(rows := np.flatnonzero(which == number)):
                patches[rows] = sampler(indices[rows])
        return patches

    def prepare(self) -> None:
        """Make the pyramids now, so that forked processes share them."""
        for sampler in self.samplers:
            _ = sampler.levels
