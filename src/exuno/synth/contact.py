"""A contact sheet: many patches in one picture, to see what the options do."""

import math

import numpy as np
from numpy.typing import NDArray


def contact_sheet(patches: NDArray[np.uint8], gap: int = 2) -> NDArray[np.uint8]:
    """Patches uint8 [N, h, w, 3] in a nearly square grid, row by row, on white with ``gap`` pixels between them."""
    count, height, width, _ = patches.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for number, patch in enumerate(patches):
        top, left = gap + number // columns * (height + gap), gap + number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = patch
    return sheet
