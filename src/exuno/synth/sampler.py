"""What the samplers of photographs have in common."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.synth.options import CropOptions, check
from exuno.synth.parameters import first_crop_side
from exuno.synth.pyramid import pyramid


class PhotoSampler(ABC):
    """Makes samples of one photograph.

    A sample is a pure function of (photograph, options, seed, index). Calling it changes nothing; it can be pickled
    (only the photograph, the options and the seed travel) and used by many processes. Making one sets OpenCV to a
    single thread: the work is shared among processes, and a process forked beside OpenCV's threads can hang.

    Args:
        photo: the photograph, uint8 [H, W, 3], RGB.
        options: what to do with it.
        seed: the seed of every draw.
        side: side in pixels of the square that a crop is resized to.

    Raises:
        ExunoError: an option makes no sense, or the photograph is too small for the first crop.
    """

    def __init__(self, photo: NDArray[np.uint8], options: CropOptions, seed: int, side: int) -> None:
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
            raise ValueError(f"photo must be uint8 [H, W, 3], not {photo.dtype} {list(photo.shape)}")
        check(options)
        _use_one_thread()
        self.photo, self.options, self.seed = photo, options, seed
        height, width = photo.shape[:2]
        longest = max(height, width) if options.first_crop is None else first_crop_side(options, height, width)
        self.reduction = max(1.0, longest / side)
        self._levels: list[NDArray[np.uint8]] | None = None

    @property
    def levels(self) -> list[NDArray[np.uint8]]:
        """The pyramid of the photograph, made on first use."""
        if self._levels is None:
            self._levels = pyramid(self.photo, self.reduction)
        return self._levels

    @property
    def level_shapes(self) -> NDArray[np.int64]:
        """[levels, 2]: height and width of each level."""
        return np.array([level.shape[:2] for level in self.levels])

    def prepare(self) -> None:
        """Make the pyramid now, so that forked processes share it."""
        _ = self.levels

    @abstractmethod
    def __call__(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """The samples with these indices, uint8 [N, …, 3]."""

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_levels": None}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        _use_one_thread()


def _use_one_thread() -> None:
    import cv2

    if cv2.getNumThreads() != 1:  # in a fork, setting it would wait for threads that are not there
        cv2.setNumThreads(1)
