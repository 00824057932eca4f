"""The plain way to make a clip: crop, colour jitter once, and a bicubic resize for each frame, all by PIL.

Written from the published description; the truth that tests compare with and benchmarks race against. Needs nothing of
exuno but the numbers that were drawn.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import functional as F


def pil_clip(
    photo: Image.Image, drawn: Any, row: int, size: int, frames: int, whole: bool = False
) -> NDArray[np.uint8]:
    """Clip ``row`` of the parameters ``drawn``, uint8 [frames, size, size, 3].

    Args:
        photo: the photograph.
        drawn: fields as ``exuno.synth.video.ClipParameters``.
        row: which of them.
        size: side of a frame.
        frames: number of frames.
        whole: round boxes to whole pixels, as the published code does.
    """
    left, top, side, height = (int(value) for value in drawn.crop[row])
    crop: Any = photo.crop((left, top, left + side, top + height))
    if drawn.jitter[row]:
        change = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        for step in drawn.order[row]:
            crop = change[int(step)](crop, float(drawn.factors[row, step]))
    made = []
    for x, y, w, h in np.linspace(drawn.first[row], drawn.last[row], frames) - [left, top, 0, 0]:
        if whole:
            made.append(crop.crop((x, y, x + w, y + h)).resize((size, size), Image.Resampling.BICUBIC))
        else:
            made.append(crop.resize((size, size), Image.Resampling.BICUBIC, box=(x, y, x + w, y + h)))
    return np.stack([np.asarray(frame) for frame in made])
