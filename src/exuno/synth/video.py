"""The video sampler: (photograph, options, seed, index) -> clip, a glide between two boxes of one photograph.

The distribution is that of the published ``make_fakevideo_dataset.py`` (Asano and Saeed, arXiv 2112.00725): one first
crop and one colour jitter for the clip; a random resized crop for its first and one for its last frame, and between
them boxes on a straight line. There boxes are rounded to whole pixels, which lets a slow glide jerk; here they are not.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exuno.data.rng import uniforms
from exuno.synth import color
from exuno.synth.geometry import read_boxes
from exuno.synth.image import PhotoSampler
from exuno.synth.options import VideoOptions
from exuno.synth.parameters import SLOTS, Colours, colours, first_crops, inner_boxes

STREAM, LAST = "clip", "clip, last box"

_BIAS = -0.5
"""Octaves finer than the exact reduction at which the bilinear reading is nearest to PIL's bicubic filter."""


@dataclass(frozen=True)
class ClipParameters(Colours):
    """The draw of N clips, in pixels of the photograph; a box is x, y, width and height."""

    crop: NDArray[np.int64]
    """[N, 4]: the first crop."""
    first: NDArray[np.int64]
    """[N, 4]: the box of the first frame."""
    last: NDArray[np.int64]
    """[N, 4]: the box of the last frame."""

    def __len__(self) -> int:
        return len(self.crop)

    def boxes(self, frames: int) -> NDArray[np.float64]:
        """The box of every frame, [N, frames, 4]."""
        return np.linspace(self.first, self.last, frames, axis=1)


def draw(options: VideoOptions, height: int, width: int, seed: int, indices: ArrayLike) -> ClipParameters:
    """Draw the parameters of the clips with these indices from a photograph of ``height`` x ``width`` pixels.

    Raises:
        ExunoError: no crop of the wanted area and aspect fits.
    """
    indices = np.asarray(indices, np.int64).reshape(-1)
    u = uniforms(seed, STREAM, indices, SLOTS)
    crop = first_crops(options, height, width, u)
    first = inner_boxes(options, crop, seed, STREAM, indices, u)
    last = inner_boxes(options, crop, seed, LAST, indices, uniforms(seed, LAST, indices, SLOTS))
    return ClipParameters(**colours(options, u), crop=crop, first=first, last=last)


class ClipSampler(PhotoSampler):
    """Makes clips of one photograph: ``sampler(indices)`` is uint8 [N, frames, size, size, 3], RGB.

    What ``PhotoSampler`` says holds.
    """

    options: VideoOptions

    def __init__(self, photo: NDArray[np.uint8], options: VideoOptions | None = None, seed: int = 0) -> None:
        options = options or VideoOptions()
        super().__init__(photo, options, seed, options.size)

    def draw(self, indices: ArrayLike) -> ClipParameters:
        """The parameters of the clips with these indices."""
        height, width = self.photo.shape[:2]
        return draw(self.options, height, width, self.seed, indices)

    def __call__(self, indices: ArrayLike) -> NDArray[np.uint8]:
        return self.render(self.draw(indices))

    def render(self, drawn: ClipParameters) -> NDArray[np.uint8]:
        """The clips with these parameters, uint8 [N, frames, size, size, 3]."""
        import cv2

        size, frames = self.options.size, self.options.frames
        clips = np.empty((len(drawn), frames, size, size, 3), np.uint8)
        level, roi, resize = read_boxes(drawn.boxes(frames).reshape(-1, 4), size, self.level_shapes, _BIAS)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = np.empty((size, size, 4), np.uint8)
        rows = zip(level.tolist(), roi.tolist(), resize, clips.reshape(-1, size, size, 3), strict=True)
        for number, (x0, y0, x1, y1), matrix, frame in rows:
            source = self.levels[number][y0:y1, x0:x1]
            cv2.warpAffine(source, matrix, (size, size), warped, flags, cv2.BORDER_REPLICATE)
            cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB, frame)
        color.jitter_clips(clips, [self._small(drawn, row) for row in range(len(drawn))], drawn)
        return clips

    def _small(self, drawn: ClipParameters, row: int) -> NDArray[np.uint8] | None:
        """The first crop on the smallest level, if its colours change."""
        if not drawn.jitter[row]:
            return None
        level = self.levels[-1]
        factor = np.tile(np.array(level.shape[1::-1]) / np.array(self.photo.shape[1::-1]), 2)
        x, y, w, h = drawn.crop[row]
        x0, y0, x1, y1 = np.rint(np.array([x, y, x + w, y + h]) * factor).astype(int).tolist()
        rows, columns = (
            slice(min(y0, len(level) - 1), max(y1, y0 + 1)),
            slice(min(x0, level.shape[1] - 1), max(x1, x0 + 1)),
        )
        return level[rows, columns, :3].copy()  # a copy always: it will be changed, and one pixel counts as contiguous
