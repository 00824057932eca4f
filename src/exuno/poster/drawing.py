"""Pictures of a poster: enlarged, unwhitened, as an animation, on the page of its run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from exuno.data.poster.format import Poster
from exuno.data.poster.layout import boxes, offsets
from exuno.data.poster.patches import Canvas
from exuno.data.poster.picture import picture
from exuno.data.poster.whitening import RANGE
from exuno.engine.files import atomic, write_json
from exuno.report.images import gif, save_png

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
    picture = enlarged(poster.shown, max(longest, legible)).convert("RGB")
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
    total, count = torch.zeros(poster.channels, *layout.size), torch.zeros(layout.size)
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
    labels, pictures = poster.patches()[1], torch.tensor(poster.shown) / 255
    images = Canvas(poster.layout).patches(pictures)
    chosen = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(np.int64)
    columns = min(columns, len(chosen))
    step = (PATCH + TEXT + 24, PATCH + 16)
    size = (columns * step[0], -(-len(chosen) // columns) * step[1])
    sheet = Image.new("RGBA", size, CLEAR)
    draw = ImageDraw.Draw(sheet)
    for place, number in enumerate(chosen.tolist()):
        left, top = place % columns * step[0] + 8, place // columns * step[1] + 8
        patch = enlarged(shade(images[number]), PATCH)
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


FRAMES = 60  # at most
SMALLEST = 240  # pixels of the longer side, below which frames are left out instead
SECONDS = 6.0  # of one round, without the last frame, which stays for two more


def write_animation(path: Path, frames: Sequence[Path], longest: int = 480, limit: int = 4 << 20) -> bool:
    """Write a GIF file that repeats for ever.

    Args:
        path: of the GIF file.
        frames: PNG files of one size, gray or RGB, in order; at most 60 of them are taken, spread evenly.
        longest: longer side in pixels, which small pictures reach by whole factors.
        limit: bytes. A file that would be larger is enlarged less, then gets fewer frames.

    Returns:
        Whether there was anything that moves; if not, nothing is written.
    """
    chosen = np.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).round().astype(np.int64)
    pictures = [picture(frames[number]) for number in chosen.tolist()]
    if len({picture.tobytes() for picture in pictures}) < 2:
        return False
    content = encode(pictures, longest)
    while len(content) > limit and (longest > SMALLEST or len(pictures) > 2):
        if longest > SMALLEST:
            longest = longest * 3 // 4
        else:
            pictures = [*pictures[:-1:2], pictures[-1]]
        content = encode(pictures, longest)
    with atomic(path) as temporary:
        temporary.write_bytes(content)
    return True


def encode(pictures: Sequence[np.ndarray], longest: int) -> bytes:
    """Pictures uint8 [C, H, W], enlarged or shrunk to ``longest``, as the content of a GIF file."""
    frames = [enlarged(picture, longest) for picture in pictures]
    for frame in frames:
        frame.thumbnail((longest, longest))
    each = max(40, round(1000 * SECONDS / len(pictures)))
    return gif(frames, [each] * (len(frames) - 1) + [each + 2000])


LONGEST = 960  # pixels


def least_of(picture: Image.Image) -> int:
    """Width in pixels of the page at which the letters of a drawing, most of them 13 high or more, are read."""
    return round(0.75 * picture.width)


def write_figures(folder: Path, poster: Poster, frames: Sequence[Path] = ()) -> None:
    """Write ``poster.png``, ``classes.png``, ``patches.png``, where whitened ``unwhitened.png``, where there are frames
    ``progress.gif``, and ``figures.json`` for the report.

    Args:
        folder: where to.
        poster: the poster.
        frames: picture files of it on the way, in order.
    """
    layout, figures = poster.layout, []

    def add(file: str, title: str, caption: str, least: int = 0) -> None:
        figures.append({"file": file, "title": title, "caption": caption, "least": least})

    save_png(np.asarray(enlarged(poster.shown, LONGEST)), folder / "poster.png")
    caption = f"All that a network learns {poster.classes} classes from: {layout.size[1]} x {layout.size[0]} pixels"
    caption += f"{poster.coding.words}, {poster.ipc:.3g} images per class, here enlarged. "
    caption += "Each channel spans its own range of values."
    add("poster.png", "The poster", caption)
    if poster.whitening is not None:
        save_png(np.asarray(enlarged(unwhitened(poster), LONGEST)), folder / "unwhitened.png")
        caption = "Its whitening undone, patch by patch, and averaged where patches overlap: the colours of the data."
        add("unwhitened.png", "The poster, unwhitened", caption)
    classes, patches = overlay(poster, LONGEST), samples(poster)
    save_png(np.asarray(classes), folder / "classes.png")
    learned = "where the labels began to be learned" if poster.labels is not None else "from which the labels follow"
    add("classes.png", "Its classes", f"The areas of the classes, {learned}.", least_of(classes))
    save_png(np.asarray(patches), folder / "patches.png")
    caption = f"Some of its {layout.count} overlapping patches of {layout.patch[1]} x {layout.patch[0]} pixels, with "
    add("patches.png", "Its patches", caption + "the likeliest classes of their soft labels.", least_of(patches))
    if write_animation(folder / "progress.gif", frames):
        add("progress.gif", "How it grew", "The poster from its start to the end of the distillation.")
    write_json(folder / "figures.json", figures)
