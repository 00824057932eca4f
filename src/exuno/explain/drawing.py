"""Pictures of features and distances, drawn with Pillow at twice the size at which a page shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from exuno.explain.geometry import Floats, Ints, Mask, Plane, answers
from exuno.poster.drawing import INK, PAPER, SOFT, fitted
from exuno.report.plot import short, ticks

Bytes = NDArray[np.uint8]
COLOURS = ((46, 94, 170), (196, 82, 30), (20, 128, 120))
"""Of the three classes: told apart by readers who cannot see all colours, who also have the shapes."""
NEARER, FARTHER, FAINT = (46, 94, 170), (196, 82, 30), (102, 99, 93)
SIDE, LEFT, TOP, BOTTOM, GAP = 620, 76, 104, 50, 30  # pixels of a panel and around it
DOT, CENTROID, TINT = 5, 13, 0.13
MATRIX, LABELLED, NUMBERED = 1000, 40, 12  # largest side of a matrix in pixels; classes with names; with numbers


def least_of(picture: Bytes) -> int:
    """Width in pixels of the page below which the letters of a drawing, 24 high or more, are too small to be read."""
    return round(0.45 * picture.shape[1])


@dataclass(frozen=True)
class Panel:
    """The images of three classes in their plane."""

    title: str
    points: Floats
    """[N, 2]"""
    labels: Ints
    """0, 1 or 2, [N]."""
    centroids: Floats
    """[3, 2]"""


@dataclass(frozen=True)
class Box:
    """The part of the plane that is shown, the same in all pictures of a page; equally long units on both axes."""

    low: tuple[float, float]
    high: tuple[float, float]

    @property
    def height(self) -> int:
        """Of a panel in pixels."""
        wide, tall = (high - low for low, high in zip(self.low, self.high, strict=True))
        return max(1, round(SIDE * tall / wide))

    def pixels(self, points: Floats) -> Floats:
        """Coordinates [N, 2] -> pixels from the upper left corner of a panel, [N, 2]."""
        low, high = np.array(self.low), np.array(self.high)
        share = (np.asarray(points) - low) / (high - low)
        return np.stack([share[:, 0] * SIDE, (1 - share[:, 1]) * self.height], 1)


def box_of(panels: Sequence[Panel]) -> Box:
    """The smallest box that holds all points of several panels, with a margin; no flatter than 2:5 or 5:2."""
    points = np.concatenate([part for panel in panels for part in (panel.points, panel.centroids)])
    low, high = points.min(0), points.max(0)
    span = np.maximum(high - low, 1e-3)
    span = np.maximum(span, 0.4 * span.max()) * 1.08
    middle = (low + high) / 2
    low, high = middle - span / 2, middle + span / 2
    return Box((float(low[0]), float(low[1])), (float(high[0]), float(high[1])))


def projection(
    panels: Sequence[Panel], names: Sequence[str], box: Box, head: tuple[Plane, Floats, Floats] | None = None
) -> Bytes:
    """The panels of one model side by side: uint8 [H, W, 3].

    Args:
        panels: one for each split.
        names: of the three classes.
        box: what part of the plane to show.
        head: plane, weights [3, F] and biases [3] of the classes; the ground then has the colour of the answer.
    """
    height, width = box.height, len(panels) * (LEFT + SIDE) + (len(panels) - 1) * GAP + 12
    picture = Image.new("RGB", (width, TOP + height + BOTTOM), PAPER)
    draw = ImageDraw.Draw(picture, "RGBA")
    _legend(draw, names, width)
    for number, panel in enumerate(panels):
        left = LEFT + number * (LEFT + SIDE + GAP)
        if head:
            picture.paste(_ground(box, head), (left, TOP))
        _axes(draw, box, left, panel.title)
        for (x, y), label in zip(box.pixels(panel.points), panel.labels, strict=True):
            _mark(draw, left + x, TOP + y, DOT, label, (*COLOURS[label], 130))
        middles = box.pixels(panel.centroids) + np.array([left, TOP])
        draw.line([tuple(each) for each in (*middles, middles[0])], fill=(*INK, 120), width=2)
        for label, (x, y) in enumerate(middles):
            _mark(draw, x, y, CENTROID + 4, label, PAPER)
            _mark(draw, x, y, CENTROID, label, COLOURS[label])
    return np.asarray(picture)


def _ground(box: Box, head: tuple[Plane, Floats, Floats]) -> Image.Image:
    """The classes that the network answers, as a tinted ground."""
    columns, rows = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(box.height) + 0.5)
    low, high = np.array(box.low), np.array(box.high)
    share = np.stack([columns.ravel() / SIDE, 1 - rows.ravel() / box.height], 1)
    found = answers(head[0], head[1], head[2], low + share * (high - low))
    shades = 255 - TINT * (255 - np.array(COLOURS, float))
    return Image.fromarray(shades[found].reshape(box.height, SIDE, 3).round().astype(np.uint8))


def _axes(draw: ImageDraw.ImageDraw, box: Box, left: int, title: str) -> None:
    bottom, font = TOP + box.height, _font(26)
    for axis in (0, 1):
        for value in ticks(box.low[axis], box.high[axis], 5):
            x, y = box.pixels(np.array([[value, value]]))[0]
            if axis == 0:
                draw.line((left + x, TOP, left + x, bottom), fill=(*INK, 22))
                draw.text((left + x, bottom + 8), short(value), FAINT, font, anchor="mt")
            else:
                draw.line((left, TOP + y, left + SIDE, TOP + y), fill=(*INK, 22))
                draw.text((left - 8, TOP + y), short(value), FAINT, font, anchor="rm")
    draw.rectangle((left, TOP, left + SIDE, bottom), outline=SOFT)
    if title:
        draw.text((left, TOP - 10), title, INK, _font(28), anchor="ls")


def _legend(draw: ImageDraw.ImageDraw, names: Sequence[str], width: int) -> None:
    room = (width - LEFT) / 3
    for label, name in enumerate(names):
        x = LEFT + label * room
        _mark(draw, x + 14, 30, 13, label, COLOURS[label])
        text, font = fitted(name, room - 48, 34, 18)
        draw.text((x + 38, 30), text, INK, font, "lm")


def _mark(draw: ImageDraw.ImageDraw, x: float, y: float, size: float, label: int, fill: Any) -> None:
    """A circle, a square or a triangle."""
    if label == 0:
        draw.ellipse((x - size, y - size, x + size, y + size), fill=fill)
    elif label == 1:
        draw.rectangle((x - 0.88 * size, y - 0.88 * size, x + 0.88 * size, y + 0.88 * size), fill=fill)
    else:
        draw.polygon([(x, y - 1.25 * size), (x - 1.1 * size, y + 0.8 * size), (x + 1.1 * size, y + 0.8 * size)], fill)


def matrix(values: Floats, names: Sequence[str], similar: Mask, diverging: bool) -> Bytes:
    """A heat map of a matrix [C, C], similar classes outlined: uint8 [H, W, 3].

    Args:
        values: distances, the nearer the bluer; or their changes, blue where nearer (negative).
        names: of the classes; shown up to 40 of them.
        similar: which pairs to outline, [C, C].
        diverging: whether values are changes.
    """
    count = len(names)
    cell = max(1, min(84, MATRIX // count))
    shown = count <= LABELLED
    font = _font(min(24, max(11, int(cell * 0.42))))
    room = min(260, round(max(font.getlength(name) for name in names)) + 18) if shown else 4
    side = cell * count
    picture = Image.new("RGB", (room + side + 6, room + side + 6), PAPER)
    colours = _colours(values, diverging)
    squares = Image.fromarray(colours).resize((side, side), Image.Resampling.NEAREST)
    picture.paste(squares, (room, room))
    draw = ImageDraw.Draw(picture)
    for i in range(count) if shown else ():
        text, small = fitted(names[i], room - 14, int(font.size), 9)
        middle = room + (i + 0.5) * cell
        draw.text((room - 8, middle), text, INK, small, anchor="rm")
        picture.paste(_upright(text, small, room - 10, cell), (room + i * cell, 2))
        for j in range(count):
            x, y = room + j * cell, room + i * cell
            if similar[i, j]:
                draw.rectangle((x + 1, y + 1, x + cell - 2, y + cell - 2), outline=INK, width=2 if cell > 16 else 1)
            if i != j and count <= NUMBERED:
                told = (
                    f"{values[i, j]:.2f}" if not diverging else f"{100 * values[i, j]:+.0f}"
                )  # Pillow's font has no −
                told = "0" if told in ("+0", "-0") else told
                dark = int(colours[i, j].sum()) < 380
                draw.text((x + cell / 2, y + cell / 2), told, PAPER if dark else INK, font, anchor="mm")
    return np.asarray(picture)


def _colours(values: Floats, diverging: bool) -> Bytes:
    off = ~np.eye(len(values), dtype=bool)
    if diverging:
        share = np.abs(values) / max(1e-9, float(np.abs(values[off]).max()))
        hue = np.where(values[..., None] < 0, np.array(NEARER), np.array(FARTHER))
    else:
        low, high = float(values[off].min()), float(values[off].max())
        share = (high - values) / max(1e-9, high - low)
        hue = np.broadcast_to(np.array(NEARER), (*values.shape, 3))
    found = 255 - share.clip(0, 1)[..., None] * (255 - hue)
    found[~off] = SOFT
    return found.round().astype(np.uint8)


def _upright(text: str, font: Any, long: int, wide: int) -> Image.Image:
    """A name turned by a quarter, for the head of a column."""
    strip = Image.new("RGB", (max(1, long), wide), PAPER)
    ImageDraw.Draw(strip).text((0, wide / 2), text, INK, font, anchor="lm")
    return strip.transpose(Image.Transpose.ROTATE_90)


def _font(size: int) -> Any:
    return ImageFont.load_default(size)
