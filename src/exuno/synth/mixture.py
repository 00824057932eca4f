"""Several photographs or samplers as one source."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.engine.errors import ExunoError
from exuno.synth.image import Sampler
from exuno.synth.options import ImageOptions, VideoOptions
from exuno.synth.program import ProgramSampler
from exuno.synth.video import ClipSampler

Photo = NDArray[np.uint8] | str
"""A photograph, uint8 [H, W, 3], or the spec of a program that draws patches."""


class Sampling(Protocol):
    """A sampler of one photograph or recording."""

    def __call__(self, indices: ArrayLike) -> NDArray[Any]:
        """The samples with these indices, [N, …]."""
        ...

    def prepare(self) -> None:
        """Make now what is otherwise made on first use, so that forked processes share it."""
        ...


class Interleaved:
    """Sample i comes from sampler i mod n, with the parameters of sample i. Called like a sampler.

    Args:
        samplers: their samples are of one shape and type.
    """

    def __init__(self, samplers: Sequence[Sampling]) -> None:
        if not samplers:
            raise ValueError("no photograph or recording given")
        self.samplers = samplers

    def __call__(self, indices: ArrayLike) -> NDArray[Any]:
        indices = np.asarray(indices, np.int64).reshape(-1)
        if len(self.samplers) == 1:
            return self.samplers[0](indices)
        none = self.samplers[0](indices[:0])
        samples = np.empty((len(indices), *none.shape[1:]), none.dtype)
        which = indices % len(self.samplers)
        for number, sampler in enumerate(self.samplers):
            if len(rows := np.flatnonzero(which == number)):
                samples[rows] = sampler(indices[rows])
        return samples

    def prepare(self) -> None:
        for sampler in self.samplers:
            sampler.prepare()


class Mixture(Interleaved):
    """Sample i comes from photograph i mod n: patches uint8 [N, size, size, 3], clips uint8 [N, T, size, size, 3].

    Args:
        photos: photographs or programs.
        options: what to do with them: of patches or of clips.
        seed: the seed of every draw.
    """

    def __init__(self, photos: Sequence[Photo], options: ImageOptions | VideoOptions, seed: int) -> None:
        super().__init__([sampler_of(photo, options, seed) for photo in photos])
        self.options = options


def sampler_of(photo: Photo, options: ImageOptions | VideoOptions, seed: int) -> Sampling:
    """What makes patches or clips of a photograph, or the patches of a program.

    Raises:
        ExunoError: clips of a program.
    """
    if isinstance(photo, str):
        if isinstance(options, VideoOptions):
            raise ExunoError(f"--source {photo} draws patches, and clips are wanted", "Give photographs.")
        return ProgramSampler(photo, options.size, seed)
    return ClipSampler(photo, options, seed) if isinstance(options, VideoOptions) else Sampler(photo, options, seed)
