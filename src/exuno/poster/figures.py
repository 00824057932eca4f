"""The pictures of a poster for the page of its run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from exuno.data.poster import Poster
from exuno.engine.files import write_json
from exuno.poster.animation import write_animation
from exuno.poster.drawing import enlarged, overlay, samples, unwhitened
from exuno.report.grid import save_png

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

    save_png(np.asarray(enlarged(poster.pixels, LONGEST)), folder / "poster.png")
    caption = f"All that a network learns {poster.classes} classes from: {layout.size[1]} x {layout.size[0]} pixels, "
    caption += f"{poster.ipc:.3g} images per class, here enlarged. Each channel spans its own range of values."
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
