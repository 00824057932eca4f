"""Several photographs as one source of patches or clips."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from exuno.synth.image import Sampler
from exuno.synth.interleave import Interleaved
from exuno.synth.options import ImageOptions, VideoOptions
from exuno.synth.sampler import PhotoSampler
from exuno.synth.video import ClipSampler


class Mixture(Interleaved):
    """Sample i comes from photograph i mod n: patches uint8 [N, size, size, 3], clips uint8 [N, T, size, size, 3].

    Args:
        photos: photographs, uint8 [H, W, 3] each.
        options: what to do with them: of patches or of clips.
        seed: the seed of every draw.
    """

    samplers: Sequence[PhotoSampler]

    def __init__(self, photos: Sequence[NDArray[np.uint8]], options: ImageOptions | VideoOptions, seed: int) -> None:
        super().__init__(
            [
                ClipSampler(photo, options, seed)
                if isinstance(options, VideoOptions)
                else Sampler(photo, options, seed)
                for photo in photos
            ]
        )
        self.options = options
