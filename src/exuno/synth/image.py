"""The samplers of photographs: what they share, and (photograph, options, seed, index) -> patch."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.synth import color
from exuno.synth.geometry import Plan, plan, pyramid, target_side
from exuno.synth.options import CropOptions, ImageOptions, check
from exuno.synth.parameters import Parameters, draw, first_crop_side


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


class Sampler(PhotoSampler):
    """Makes patches of one photograph: ``sampler(indices)`` is uint8 [N, size, size, 3], RGB.

    What ``PhotoSampler`` says holds.
    """

    options: ImageOptions

    def __init__(self, photo: NDArray[np.uint8], options: ImageOptions | None = None, seed: int = 0) -> None:
        options = options or ImageOptions()
        super().__init__(photo, options, seed, target_side(options.size))

    def draw(self, indices: ArrayLike) -> Parameters:
        """The parameters of the patches with these indices."""
        height, width = self.photo.shape[:2]
        return draw(self.options, height, width, self.seed, indices)

    def plan(self, drawn: Parameters) -> Plan:
        """The geometry of the patches with these parameters."""
        return plan(drawn, self.options.size, self.level_shapes)

    def __call__(self, indices: ArrayLike) -> NDArray[np.uint8]:
        return self.render(self.draw(indices))

    def render(self, drawn: Parameters) -> NDArray[np.uint8]:
        """The patches with these parameters, uint8 [N, size, size, 3]."""
        size = self.options.size
        patches = np.empty((len(drawn), size, size, 3), np.uint8)
        _warp(self.levels, self.plan(drawn), patches)
        color.jitter(patches, drawn)
        return patches


def _warp(levels: list[NDArray[np.uint8]], how: Plan, patches: NDArray[np.uint8]) -> None:
    import cv2

    size = patches.shape[1]
    target = target_side(size)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    square = np.empty((target, target, 4), np.uint8)
    warped = np.empty((size, size, 4), np.uint8)
    white = np.full((target, target, 3), 255, np.uint8)
    shown = np.empty((size, size, 3), np.uint8)
    rows = zip(how.level.tolist(), how.roi.tolist(), how.resize, how.warp, how.whole.tolist(), patches, strict=True)
    for level, (x0, y0, x1, y1), resize, warp, whole, patch in rows:
        source = levels[level][y0:y1, x0:x1]
        cv2.warpAffine(source, resize, (target, target), square, flags, cv2.BORDER_REPLICATE)
        cv2.warpAffine(square, warp, (size, size), warped, flags, cv2.BORDER_REPLICATE)
        cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB, patch)
        if not whole:
            # PIL's border is sharp: a pixel is black when its centre is outside, and as bright as ever when inside.
            nearest = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
            cv2.warpAffine(white, warp, (size, size), shown, nearest, cv2.BORDER_CONSTANT)
            cv2.bitwise_and(patch, shown, patch)
