"""The pictures of a distillation: the source, and what the student saw of it."""

from pathlib import Path
from typing import Any

import numpy as np

from exuno.data.base import pictures
from exuno.data.photo import load_photo
from exuno.distill.kinds import is_photo
from exuno.distill.options import DistillConfig
from exuno.engine.files import write_json
from exuno.report.grid import image_grid, save_png

SHOWN = 64
WIDEST = 900  # pixels; the page carries its pictures inside


def write_figures(folder: Path, config: DistillConfig, loader: Any) -> None:
    """Writes ``source*.png``, ``samples.png`` and ``figures.json`` for the report."""
    import cv2

    figures = []
    for i, spec in enumerate([spec for spec in config.source if is_photo(spec)][:4]):
        photo = load_photo(spec)
        scale = min(1.0, WIDEST / max(photo.shape[:2]))
        width, height = (max(1, round(side * scale)) for side in (photo.shape[1], photo.shape[0]))
        shrunk = np.asarray(cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        save_png(shrunk, folder / f"source{i}.png")
        caption = f"{spec}, {photo.shape[1]} x {photo.shape[0]} pixels: all that the student has seen comes from here."
        figures.append({"file": f"source{i}.png", "title": "The source", "caption": caption})
    batch = next(loader.epoch(0))["images"][:SHOWN]
    pixels = pictures(loader.data, batch)
    scale = max(1, 48 // pixels.shape[1])
    save_png(image_grid(pixels, columns=16, scale=scale), folder / "samples.png")
    caption = f"{len(batch)} of the images that the student learned from, as they entered training (before mixing)."
    figures.append({"file": "samples.png", "title": "What the student saw", "caption": caption})
    write_json(folder / "figures.json", figures)
