"""A contact sheet: many patches in one picture, to see what the options do."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exuno.engine.files import atomic
from exuno.synth.encode import encode


def contact_sheet(patches: NDArray[np.uint8], columns: int = 0, gap: int = 2) -> NDArray[np.uint8]:
    """Patches uint8 [N, h, w, 3] row by row, on white with ``gap`` pixels between them; by default nearly a square."""
    count, height, width, _ = patches.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for number, patch in enumerate(patches):
        top, left = gap + number // columns * (height + gap), gap + number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = patch
    return sheet


def write_contact_sheet(patches: NDArray[np.uint8], out: Path, columns: int = 0) -> None:
    """Write ``contact_sheet`` to ``contact-sheet.png`` in a folder."""
    with atomic(out / "contact-sheet.png") as temporary:
        temporary.write_bytes(encode(contact_sheet(patches, columns)[..., ::-1].copy(), ".png"))
