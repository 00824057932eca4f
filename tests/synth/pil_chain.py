"""The plain way to make a patch: one PIL and torchvision call for each step, one patch at a time.

Written from the published description of the transforms; the truth that tests compare with and benchmarks race against.
Needs nothing of exuno but the numbers that were drawn.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

_FILTERS = (InterpolationMode.LANCZOS, InterpolationMode.BILINEAR, InterpolationMode.BICUBIC)


def pil_patch(photo: Image.Image, drawn: Any, row: int, size: int, jitter: bool = True) -> Image.Image:
    """Patch ``row`` of the parameters ``drawn`` (fields as ``exuno.synth.parameters.Parameters``), size x size."""
    target = int(math.sqrt(2) * size)
    x, y, w, h = (int(value) for value in drawn.box[row])
    patch: Any = photo.crop((x, y, x + w, y + h))
    patch = F.resize(patch, [target, target], _FILTERS[int(drawn.filter[row])])
    patch = F.affine(
        patch,
        angle=float(drawn.angle[row]),
        translate=[0, 0],
        scale=1.0,
        shear=[float(drawn.shear[row]), 0.0],
        interpolation=InterpolationMode.BILINEAR,
        fill=[0.0],
    )
    if drawn.vflip[row]:
        patch = F.vflip(patch)
    if drawn.hflip[row]:
        patch = F.hflip(patch)
    patch = F.center_crop(patch, [size, size])
    if jitter and drawn.jitter[row]:
        change = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        for step in drawn.order[row]:
            patch = change[int(step)](patch, float(drawn.factors[row, step]))
    return patch


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 images; 99 where they are equal."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return 99.0 if error == 0 else 10 * math.log10(255**2 / error)
