"""The image sampler: (photograph, options, seed, index) -> patch, and nothing else has a say in it."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.synth import color
from exuno.synth.geometry import Plan, plan, target_side
from exuno.synth.options import ImageOptions
from exuno.synth.parameters import Parameters, draw
from exuno.synth.sampler import PhotoSampler


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
