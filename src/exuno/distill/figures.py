"""The pictures of a distillation: the source, and what the student saw of it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from exuno.data.base import modality, pictures
from exuno.data.photo import load_photo
from exuno.data.recording import is_recording, load_recording
from exuno.data.stills import shown, spectrograms
from exuno.distill.kinds import is_photo
from exuno.distill.options import DistillConfig
from exuno.engine.files import atomic, write_json
from exuno.report.grid import image_grid, save_png
from exuno.report.loop import loop

SHOWN, FEW = 64, 24
RATE, SECONDS = 16000, 12  # of the spectrogram of a source
WIDEST = 900  # pixels; the page carries its pictures inside


def write_figures(folder: Path, config: DistillConfig, loader: Any) -> None:
    """Writes pictures of the source and of the samples, and ``figures.json`` for the report."""
    figures = [figure for i, spec in enumerate(config.source[:4]) if (figure := source(folder, i, spec))]
    write_json(folder / "figures.json", [*figures, samples(folder, loader)])


def source(folder: Path, number: int, spec: str) -> dict[str, str] | None:
    """A photograph, shrunk where it is large, or a stretch of a recording as a spectrogram; nothing of a data set."""
    path = folder / f"source{number}.png"
    if is_photo(spec):
        import cv2

        photo = load_photo(spec)
        scale = min(1.0, WIDEST / max(photo.shape[:2]))
        width, height = (max(1, round(side * scale)) for side in (photo.shape[1], photo.shape[0]))
        save_png(np.asarray(cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA), np.uint8), path)
        what = f"{spec}, {photo.shape[1]} x {photo.shape[0]} pixels"
    elif is_recording(spec):
        sound = load_recording(spec, RATE)
        shown = torch.from_numpy(sound[: RATE * SECONDS]).reshape(1, 1, -1)
        save_png(spectrograms(shown, RATE)[0, :, :, 0], path)
        what = f"{spec}, {len(sound) / RATE:.0f} seconds, of which these are the first {shown.shape[-1] / RATE:.0f}"
    else:
        return None
    caption = f"{what}: all that the student has seen or heard comes from here."
    return {"file": path.name, "title": "The source", "caption": caption}


def samples(folder: Path, loader: Any) -> dict[str, str]:
    """What the student learned from, as it entered training: images, clips that move, or spectrograms."""
    kind = modality(loader.data)
    batch = next(loader.epoch(0))["images"][: SHOWN if kind == "image" else FEW].cpu()
    if kind == "clip":
        pixels = pictures(loader.data, batch)
        with atomic(folder / "samples.gif") as temporary:
            temporary.write_bytes(loop(pixels, scale=max(1, 64 // pixels.shape[2])))
    else:
        pixels, columns = shown(loader.data, batch), 16 if kind == "image" else 8
        save_png(image_grid(pixels, columns, max(1, 48 // pixels.shape[1])), folder / "samples.png")
    caption = f"{len(batch)} of the {kind}s that the student learned from, as they entered training (before mixing)."
    name = "samples.gif" if kind == "clip" else "samples.png"
    title = "What the student heard" if kind == "recording" else "What the student saw"
    return {"file": name, "title": title, "caption": caption}
