"""Colour jitter as torchvision applies it to PIL images: 8 bits after each step, in the drawn order."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exuno.data.constants import LUMA
from exuno.synth.parameters import BRIGHTNESS, CONTRAST, HUE, SATURATION, Colours

FLOOR = -0.4999
"""Added before rounding, because PIL cuts the fraction off."""


def jitter(patches: NDArray[np.uint8], drawn: Colours) -> None:
    """Change the colours of those of the patches, uint8 [N, size, size, 3], that were drawn for it; in place.

    The numbers of all patches are prepared at once; the pixels are changed one patch after the other, so that a patch
    stays in the cache through its four steps, each of which is one or two calls of OpenCV.
    """
    rows = np.flatnonzero(drawn.jitter)
    buffer = np.empty(patches.shape[1:], np.uint8)
    for row, change in zip(rows.tolist(), changes(drawn, rows, patches.shape[2]), strict=True):
        apply(patches[row], change, buffer)


def jitter_clips(clips: NDArray[np.uint8], crops: Sequence[NDArray[np.uint8] | None], drawn: Colours) -> None:
    """The same for clips, uint8 [N, T, size, size, 3]: all frames change as the crop they come from would.

    Only the contrast looks beyond a pixel: it needs the mean brightness of the crop after the steps before it, which is
    taken from a smaller picture of the crop.

    Args:
        clips: changed in place.
        crops: the crop of each clip, uint8 [h, w, 3], made smaller; None where the colours do not change.
        drawn: how they change.
    """
    rows = np.flatnonzero(drawn.jitter)
    buffer = np.empty(clips.shape[2:], np.uint8)
    for row, change in zip(rows.tolist(), changes(drawn, rows, clips.shape[3]), strict=True):
        small = crops[row]
        assert small is not None
        shift = np.tile(change.shift[:3], small.shape[1])
        mean = apply(small, change._replace(shift=shift), np.empty_like(small))
        for frame in clips[row]:
            apply(frame, change, buffer, mean)


class Change(NamedTuple):
    """The colour change of one patch."""

    factors: list[float]
    order: list[int]
    matrix: NDArray[np.float32]
    """That of saturation, [3, 4]."""
    shift: NDArray[np.uint8]
    """What is added to a row of pixels in hue, saturation and value, [3 width]."""


def changes(drawn: Colours, rows: NDArray[np.int64], width: int) -> Iterator[Change]:
    """The colour changes of these rows, for pictures of this width."""
    factors, matrices = drawn.factors[rows], saturation_matrices(drawn.factors[rows, SATURATION])
    shifts = np.zeros((len(rows), 3 * width), np.uint8)
    shifts[:, ::3] = hue_shifts(factors[:, HUE])[:, None]
    return map(Change, factors.tolist(), drawn.order[rows].tolist(), matrices, shifts)


def apply(patch: NDArray[np.uint8], change: Change, buffer: NDArray[np.uint8], mean: int | None = None) -> int | None:
    """Change the colours of one picture, uint8 [h, w, 3], in place.

    Args:
        patch: the picture.
        change: how.
        buffer: room of the size of the picture.
        mean: brightness that the contrast leaves as it is; by default the mean of the picture.

    Returns:
        That brightness.
    """
    import cv2

    factor = change.factors
    for step in change.order:
        if step == BRIGHTNESS:
            cv2.addWeighted(patch, factor[BRIGHTNESS], patch, 0.0, FLOOR, patch)
        elif step == CONTRAST:
            if mean is None:
                red, green, blue, _ = cv2.mean(patch)
                mean = int(LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue + 0.5)
            cv2.addWeighted(patch, factor[CONTRAST], patch, 0.0, (1 - factor[CONTRAST]) * mean + FLOOR, patch)
        elif step == SATURATION:
            cv2.transform(patch, change.matrix, patch)
        else:
            cv2.cvtColor(patch, cv2.COLOR_RGB2HSV_FULL, buffer)
            rows = buffer.reshape(len(buffer), -1)
            np.add(rows, change.shift, rows)  # uint8 wraps around, as the circle of hues does
            cv2.cvtColor(buffer, cv2.COLOR_HSV2RGB_FULL, patch)
    return mean


def saturation_matrices(factors: NDArray[np.float64]) -> NDArray[np.float32]:
    """[N, 3, 4]: the map (red, green, blue, 1) -> RGB that mixes a pixel with its gray value."""
    matrices = np.empty((len(factors), 3, 4))
    matrices[:, :, :3] = factors[:, None, None] * np.eye(3) + (1 - factors)[:, None, None] * np.array(LUMA)
    matrices[:, :, 3] = FLOOR
    # In steps of 1/1024, as OpenCV would round them itself, so that the torch path multiplies by the same numbers.
    return (np.rint(matrices * 1024) / 1024).astype(np.float32)


def hue_shifts(factors: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Steps of OpenCV's circle of hues for fractions of it.

    PIL's circle has 255 steps both ways and it rounds down, OpenCV's 256 on the way there, to nearest, and 255 on the
    way back; one step less makes up for the difference on average.
    """
    return (np.trunc(factors * 255) - 1).astype(np.int64).astype(np.uint8)
