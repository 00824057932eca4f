"""Patches, clips and excerpts as torch data sets: made when asked for, nothing on disk."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from exuno.data.audio.recording import load_recording
from exuno.data.images.photo import is_program, load_photo
from exuno.synth.audio import ExcerptSampler
from exuno.synth.mixture import Interleaved, Mixture
from exuno.synth.options import AudioOptions, ImageOptions, VideoOptions

Photo = NDArray[np.uint8] | str | Path
Photos = Photo | Sequence[Photo]
"""uint8 [H, W, 3] or what names a photograph (a path, ``photo:NAME``, ``noise:SEED``), or a program
that draws patches (``program:module:name``); or several of them."""

Recording = NDArray[np.float32] | str | Path
Recordings = Recording | Sequence[Recording]
"""float32 [S] or what names a recording (a path, ``sound:NAME``); or several of them."""


class Stream(Dataset[tuple[Tensor, int]]):
    """An endless, map-style data set of samples of one or several photographs or recordings.

    Item i is a pure function of (sources, options, seed, i), whatever the worker or the batch; number i mod n is its
    source. ``length`` is only what an epoch is called: an index beyond it gives a fresh sample, so that
    ``epoch * len(stream) + position`` never shows one twice. The streams below take the sources, the length, how a
    sample is made, and the seed of every draw.

    Args:
        mixture: makes the samples.
        length: number of samples of an epoch.
        image_size: (H, W) of a sample; of excerpts (1, samples).
    """

    channels = 3

    def __init__(self, mixture: Interleaved, length: int, image_size: tuple[int, int]) -> None:
        self.mixture, self.length, self.image_size = mixture, length, image_size

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
        samples = torch.from_numpy(np.ascontiguousarray(np.moveaxis(self.mixture(positions), -1, 1)))
        return samples, torch.full((len(samples),), -1)

    def fetch_draws(self, draws: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """The same for draw numbers ``epoch * len + position``, which ``exuno.data.loader`` asks an endless set for."""
        return self.fetch(draws)


class PatchStream(Stream):
    """Patches: item i is (uint8 [3, size, size], -1). What ``Stream`` says holds."""

    def __init__(self, photos: Photos, length: int, options: ImageOptions | None = None, seed: int = 0) -> None:
        options = options or ImageOptions()
        super().__init__(_mixture(photos, options, seed), length, (options.size, options.size))


class ClipStream(Stream):
    """Clips: item i is (uint8 [3, frames, size, size], -1). What ``Stream`` says holds."""

    def __init__(self, photos: Photos, length: int, options: VideoOptions | None = None, seed: int = 0) -> None:
        options = options or VideoOptions()
        super().__init__(_mixture(photos, options, seed), length, (options.size, options.size))
        self.frames = options.frames


class SoundStream(Stream):
    """Excerpts: item i is (float32 [1, samples] in [-1, 1], -1). What ``Stream`` says holds."""

    channels = 1

    def __init__(self, recordings: Recordings, length: int, options: AudioOptions | None = None, seed: int = 0) -> None:
        options = options or AudioOptions()
        several = [recordings] if isinstance(recordings, np.ndarray | str | Path) else recordings
        sounds = [each if isinstance(each, np.ndarray) else load_recording(each, options.rate) for each in several]
        mixture = Interleaved([ExcerptSampler(sound, options, seed) for sound in sounds])
        super().__init__(mixture, length, (1, options.samples))
        self.rate = options.rate

    def fetch(self, positions: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Excerpts float32 [N, 1, samples] and labels int64 [N], all -1."""
        excerpts = torch.from_numpy(self.mixture(positions))[:, None]
        return excerpts, torch.full((len(excerpts),), -1)


def _mixture(photos: Photos, options: ImageOptions | VideoOptions, seed: int) -> Mixture:
    several = [photos] if isinstance(photos, np.ndarray | str | Path) else photos
    opened = [
        each if isinstance(each, np.ndarray) or is_program(str(each)) else load_photo(str(each)) for each in several
    ]
    return Mixture([each if isinstance(each, np.ndarray) else str(each) for each in opened], options, seed)
