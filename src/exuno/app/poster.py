"""The tab "A poster of a small folder": labelled pictures become one, which grows while one looks."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from exuno.app.jobs import Job
from exuno.app.parts import Desk, further, image, typed
from exuno.app.progress import Panel
from exuno.app.uploads import unpacked
from exuno.commandline.presets import parse
from exuno.data.constants import PICTURES
from exuno.data.images.folder import find_files, split_folders
from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic
from exuno.poster.options import PosterConfig

HELD = 0.2
"""Share of a folder without test images that is held out for the test."""
STEPS = 8
"""Stages of a poster that are shown beside it."""


def poster_tab(desk: Desk, page: gr.Blocks) -> None:
    """Builds the tab."""
    gr.Markdown(
        "A folder of labelled pictures becomes **one small picture**, and networks that learn from it know the rest."
    )
    with gr.Row():
        with gr.Column(min_width=300):
            archive = gr.File(label="A zip file with a folder for each class", height=130, elem_id="poster-file")
        with gr.Column(min_width=300):
            folder = gr.Textbox(
                label="or a folder on this machine",
                placeholder="my-images",
                info="In it a folder for each class, called like the class; or such folders in train and in test.",
                elem_id="poster-folder",
            )
    with gr.Row():
        side = gr.Slider(8, 64, 16, step=8, label="Side of the pictures in pixels", elem_id="poster-side")
        ipc = gr.Slider(0.1, 5, 0.5, step=0.1, label="Size of the poster, in pictures a class", elem_id="poster-ipc")
        budget = gr.Slider(1, 100, 100, step=1, label="Percent of the whole training", elem_id="poster-budget")
    more = gr.Textbox(label="Further options, as in a shell", placeholder="--seed 1", elem_id="poster-more")

    def words(file: str | None, folder: Any, side: float, ipc: float, budget: float, more: Any) -> list[str]:
        args = command(desk, file, typed(folder), side, ipc, budget, typed(more))
        parse("poster", PosterConfig, args[1:])
        return args

    downloads = ("Download the poster", "Download the page of the run")
    panel = Panel(desk, "poster", "Start", downloads, made, growth)
    panel.connect(page, words, [archive, folder, side, ipc, budget, more])


def command(desk: Desk, file: str | None, folder: str, side: float, ipc: float, budget: float, more: str) -> list[str]:
    """The words of ``exuno poster`` for what was chosen.

    Raises:
        ExunoError: no folder, none with classes, no pictures in it, or further options that cannot be.
    """
    if file is None and not folder:
        raise ExunoError("neither a zip file nor a folder was given", "Drop the one, or name the other.")
    if file is not None and folder:
        raise ExunoError("a zip file and a folder were given", "Give one of them.")
    place = unpacked(Path(file), desk.out / "data") if file else Path(folder).expanduser()
    if not place.is_dir():
        raise ExunoError(f"there is no folder {place}", "Check the path; it is looked for where exuno app was started.")
    found = find_files(place, "train", PICTURES, "images")
    classes = found.classes or ()
    if len(classes) < 2:
        one = f"has one class, {classes[0]}" if classes else "has no folder for each class"
        raise ExunoError(f"{place} {one}", "Put the pictures of a class into a folder that is called like the class.")
    args = ["poster", "digits", "--data", f"folder:{place}", "--size", f"{side:.0f}", "--ipc", f"{ipc:g}"]
    args += [] if "test" in split_folders(place) else ["--holdout", f"{HELD:g}"]
    args += ["--budget", f"{budget / 100:g}"] if budget < 100 else []
    args += further(more)
    return [*args, "--devices", "cpu"] if desk.devices == "cpu" else args


def growth(job: Job) -> str:
    """The poster as it is now, and how it came to be."""
    from PIL import Image

    frames = sorted((job.folder / "frames").glob("*.png"))
    pictures = []
    for path in chosen(frames):
        with Image.open(path) as picture:
            pictures.append(np.asarray(picture.convert("RGB")))
    if not pictures:
        return ""
    stages = "".join(f"<span>{image(each, 'an earlier stage')}</span>" for each in pictures)
    return f'<div class="growth">{image(pictures[-1], "the poster", "whole")}<div class="stages">{stages}</div></div>'


def chosen(frames: Sequence[Path]) -> list[Path]:
    """At most ``STEPS`` of the stages, evenly spread, the last among them."""
    rows = np.linspace(0, len(frames) - 1, min(STEPS, len(frames))).round().astype(int)
    return [frames[row] for row in rows]


def made(job: Job) -> list[Path]:
    """The poster, packed: picture, labels and what they mean, as ``poster:FOLDER`` takes it; and the page."""
    packed = job.folder / "distilled.poster.zip"
    if not packed.is_file():
        with atomic(packed) as temporary:
            made = shutil.make_archive(str(temporary), "zip", job.folder, "distilled.poster")
            Path(made).replace(temporary)
    return [packed, job.folder / "report.html"]
