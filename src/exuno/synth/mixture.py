"""Several photographs as one source of patches or clips."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.synth.image import Sampler
from exuno.synth.options import ImageOptions, VideoOptions
from exuno.synth.sampler import PhotoSampler
from exuno.synth.video import ClipSampler


class Mixture:
    """Sample i comes from photograph i mod n, with the parameters of sample i. Called like a sampler.

    Args:
        photos: photographs, uint8 [H, W, 3] each.
        options: what to do with them: of patches or of clips.
        seed: the seed of every draw.
    """

    def __init__(self, photos: Sequence[NDArray[np.uint8]], options: ImageOptions | VideoOptions, seed: int) -> None:
        if not photos:
            raise ValueError("no photograph given")
        self.samplers: list[PhotoSampler] = [
            ClipSampler(photo, options, seed) if isinstance(options, VideoOptions) else Sampler(photo, options, seed)
            for photo in photos
        ]
        self.options = options

    def __call__(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """The samples with these indices: patches uint8 [N, size, size, 3], clips uint8 [N, T, size, size, 3]."""
        indices = np.asarray(indices, np.int64).reshape(-1)
        if len(self.samplers) == 1:
            return self.samplers[0](indices)
        shape = self.samplers[0](indices[:0]).shape[1:]
        samples = np.empty((len(indices), *shape), np.uint8)
        which = indices % len(self.samplers)
        for number, sampler in enumerate(self.samplers):
            if len(rows := np.flatnonzero(which == number)):
                samples[rows] = sampler(indices[rows])
        return samples

    def prepare(self) -> None:
        """Make the pyramids now, so that forked processes share them."""
        for sampler in self.samplers:
            _ = sampler.levels
