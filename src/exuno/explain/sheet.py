"""A sheet of pictures: a column for each unit, a row for each model and picture."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exuno.poster.drawing import CLEAR, LABEL, fitted

Bytes = NDArray[np.uint8]
CELL, COLUMNS = 128, 10
"""Least side of a picture on a sheet, in pixels; units beside each other."""
LEFT, HEAD, GAP, BLOCK = 150, 30, 4, 18


def least_of(drawn: Bytes) -> int:
    """Width in pixels of the page below which the names on a sheet are too small to be read."""
    return round(0.65 * drawn.shape[1])


def sheet(images: Bytes, rows: Sequence[str], columns: Sequence[str]) -> Bytes:
    """Pictures with the names of their rows and columns, on a transparent ground; more than COLUMNS columns go on
    below.

    Args:
        images: uint8 [R, N, S, S, C], C = 1 or 3; small ones are enlarged with sharp pixels.
        rows: names, [R].
        columns: names, [N].

    Returns:
        uint8 [H, W, 4]
    """
    scale = max(1, -(-CELL // images.shape[2]))
    side = images.shape[2] * scale
    blocks = [range(first, min(first + COLUMNS, len(columns))) for first in range(0, len(columns), COLUMNS)]
    tall = HEAD + len(rows) * (side + GAP) + BLOCK
    size = (LEFT + min(COLUMNS, len(columns)) * (side + GAP), len(blocks) * tall - BLOCK)
    picture = Image.new("RGBA", size, CLEAR)
    draw = ImageDraw.Draw(picture)
    for number, block in enumerate(blocks):
        top = number * tall
        for place, column in enumerate(block):
            left = LEFT + place * (side + GAP)
            text, font = fitted(columns[column], side - 4)
            draw.text((left + side / 2, top + HEAD / 2), text, LABEL, font, anchor="mm")
            for row in range(len(rows)):
                cell = images[row, column].repeat(scale, 0).repeat(scale, 1)
                tile = Image.fromarray(np.broadcast_to(cell, (side, side, 3)).copy())
                picture.paste(tile, (left, top + HEAD + row * (side + GAP)))
        for row, name in enumerate(rows):
            text, font = fitted(name, LEFT - 12)
            draw.text((LEFT - 8, top + HEAD + row * (side + GAP) + side / 2), text, LABEL, font, anchor="rm")
    return np.asarray(picture)
