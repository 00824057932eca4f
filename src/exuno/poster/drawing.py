"""Pictures of a poster, drawn with Pillow: enlarged, with its classes on it, unwhitened, and some of its patches."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from exuno.data.canvas import boxes, offsets
from exuno.data.gather import Canvas
from exuno.data.poster import Poster
from exuno.data.whitening import RANGE

Bytes = NDArray[np.uint8]
INK, PAPER, SOFT, BAR = (29, 28, 26), (255, 255, 255), (222, 219, 212), (70, 110, 190)
LABEL = (125, 122, 115)
"""Of words on a transparent ground: they are read on light and dark pages."""
CLEAR = (*LABEL, 0)
CELL = 56  # pixels that a class area needs for a name that can be read
PATCH, TEXT, ROW = 96, 150, 32  # pixels: side of a patch, width of its labels, height of one label


def enlarged(pixels: Bytes, longest: int) -> Image.Image:
    """uint8 [C, H, W], C = 1 or 3, as a picture with sharp pixels, by the largest whole factor that keeps the longer
    side within ``longest``, at least 1."""
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    scale = max(1, longest // max(picture.size))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def overlay(poster: Poster, longest: int) -> Image.Image:
    """The poster with the outlines of its class areas and their names, enlarged to ``longest`` and until names can be
    read."""
    layout = poster.layout
    legible = -(-CELL * layout.grid[1] // layout.size[1]) * max(layout.size)
    picture = enlarged(poster.pixels, max(longest, legible)).convert("RGB")
    scale, draw = picture.width / layout.size[1], ImageDraw.Draw(picture, "RGBA")
    rows, columns = (offsets(*axis).tolist() for axis in zip(layout.size, layout.area, layout.grid, strict=True))
    for (row, column), label in np.ndenumerate(poster.order):
        left, top = columns[column] * scale, rows[row] * scale
        width, height = layout.area[1] * scale, layout.area[0] * scale
        draw.rectangle((left, top, left + width - 1, top + height - 1), outline=(255, 255, 255, 150))
        name, font = fitted(poster.class_names[label], width - 6)
        middle = (left + width / 2, top + height / 2)
        box = draw.textbbox(middle, name, font, anchor="mm")
        draw.rectangle((box[0] - 3, box[1] - 2, box[2] + 3, box[3] + 2), fill=(0, 0, 0, 150))
        draw.text(middle, name, PAPER, font, anchor="mm")
    return picture


def fitted(text: str, width: float, largest: int = 18, smallest: int = 9) -> tuple[str, ImageFont.ImageFont]:
    """The text with the largest font in which it is at most ``width`` pixels wide; cut off where even the smallest is
    too large."""
    text = " ".join(text.replace("_", " ").split()) or "?"
    for size in range(largest, smallest, -1):
        font: ImageFont.ImageFont = ImageFont.load_default(size)  # pyright: ignore[reportAssignmentType]
        if font.getlength(text) <= width:
            return text, font
    font = ImageFont.load_default(smallest)  # pyright: ignore[reportAssignmentType]
    if font.getlength(text) <= width:
        return text, font
    while len(text) > 1 and font.getlength(text + "..") > width:
        text = text[:-1]
    return text + "..", font


def unwhitened(poster: Poster) -> Bytes:
    """The poster of a whitened data set, in colours again: each patch unwhitened, averaged where patches overlap.

    Returns:
        uint8 [C, H, W]: gray in the middle, four standard deviations to either side.
    """
    assert poster.whitening is not None
    layout = poster.layout
    plain = poster.whitening.inverse(Canvas(layout).patches(poster.values))
    if layout.patch != layout.image:
        plain = F.interpolate(plain, layout.patch, mode="bilinear", antialias=True, align_corners=False)
    total, count = torch.zeros(poster.pixels.shape), torch.zeros(layout.size)
    for patch, (top, left, bottom, right) in zip(plain, boxes(layout).tolist(), strict=True):
        total[:, top:bottom, left:right] += patch
        count[top:bottom, left:right] += 1
    seen = count > 0  # rounding, or few patches, may leave pixels that are in none
    mean = total / count.clamp(min=1)
    inside = mean[:, seen]
    centred = (mean - inside.mean()) * seen
    return shade(0.5 + centred / (2 * RANGE * inside.std(correction=0).clamp(min=1e-12)))


def shade(values: Tensor) -> Bytes:
    """Values in [0, 1] -> uint8; what is beyond is cut off."""
    return values.mul(255).round().clamp(0, 255).to(torch.uint8).numpy()


def samples(poster: Poster, count: int = 12, columns: int = 3, classes: int = 3) -> Image.Image:
    """Some patches, spread over the poster, as a network meets them, each with its most likely classes as bars, on a
    transparent ground."""
    low, high = (torch.tensor(bound).view(-1, 1, 1) for bound in (poster.low, poster.high))
    images, labels = poster.patches()
    chosen = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(np.int64)
    columns = min(columns, len(chosen))
    span = torch.where(high > low, high - low, 1)
    step = (PATCH + TEXT + 24, PATCH + 16)
    size = (columns * step[0], -(-len(chosen) // columns) * step[1])
    sheet = Image.new("RGBA", size, CLEAR)
    draw = ImageDraw.Draw(sheet)
    for place, number in enumerate(chosen.tolist()):
        left, top = place % columns * step[0] + 8, place // columns * step[1] + 8
        patch = enlarged(shade((images[number] - low) / span), PATCH)
        patch.thumbnail((PATCH, PATCH))
        sheet.paste(patch.convert("RGBA"), (left, top))
        shares, best = labels[number].topk(min(classes, poster.classes))
        told = [pair for pair in zip(shares.tolist(), best.tolist(), strict=True) if pair[0] >= 0.005]
        for line, (share, label) in enumerate(told):
            x, y = left + PATCH + 8, top + line * ROW
            name, font = fitted(poster.class_names[label], TEXT - 48, 13)
            draw.text((x, y), name, LABEL, font)
            draw.text((x + TEXT, y), f"{100 * share:.0f} %", LABEL, fitted("100 %", 48, 13)[1], anchor="ra")
            draw.rectangle((x, y + 19, x + TEXT, y + 24), fill=(*LABEL, 70))
            draw.rectangle((x, y + 19, x + share * TEXT, y + 24), fill=BAR)
    return sheet
