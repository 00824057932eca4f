"""The tab "One photograph": patches at once, a student that learns from them, teacher and student side by side."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from exuno.app.jobs import Job
from exuno.app.parts import Desk, Said, further, gallery, hint, image, tile, told, typed
from exuno.app.progress import Panel, at_hand
from exuno.app.uploads import kept
from exuno.commandline.presets import parse
from exuno.data.images.photo import load_photo
from exuno.distill.options import DistillConfig
from exuno.engine.errors import ExunoError
from exuno.evaluate.eval import spec_of
from exuno.models.names import WEIGHTS
from exuno.report.html import percent
from exuno.specs import length_of

DIGITS, TIMM, OTHER = "8x8 digits", "timm", "A run, or any model spec"
SHOWN, SIDE, TESTS = 48, 48, 12
"""Patches that are shown, their side in pixels; test images that are asked for at a time."""


def photo_tab(desk: Desk, page: gr.Blocks) -> None:
    """Builds the tab."""
    gr.Markdown(
        "A student that has seen nothing but pieces of **your photograph** learns to answer as its teacher does."
    )
    with gr.Row():
        with gr.Column(min_width=300):
            photo = gr.File(label="A photograph", height=130, elem_id="photo-file")
            teacher = gr.Radio(
                [DIGITS, TIMM, OTHER], value=DIGITS, label="Teacher", info=ABOUT[DIGITS], elem_id="photo-teacher"
            )
            name = gr.Textbox(label="Its name", visible=False, elem_id="photo-name")
            student = gr.Textbox(
                "exuno:resnet20", label="Student: any model spec", visible=False, elem_id="photo-student"
            )
            data = gr.Textbox(
                label="Labelled data that both are tested on (optional)",
                placeholder="folder:my-images",
                visible=False,
                elem_id="photo-data",
            )
            budget = gr.Slider(1, 100, 100, step=1, label="Percent of the whole training", elem_id="photo-budget")
            more = gr.Textbox(
                label="Further options, as in a shell", placeholder="--loss.temperature 4", elem_id="photo-more"
            )
        with gr.Column(min_width=300):
            patches = gr.HTML(hint(EMPTY), elem_id="photo-patches", elem_classes="exuno")

    def chosen(kind: str) -> list[Any]:
        own = kind != DIGITS
        place = "resnet18.a1_in1k" if kind == TIMM else "runs/mine, or torchvision:resnet18"
        return [
            gr.Radio(info=ABOUT[kind]),
            gr.Textbox(visible=own, placeholder=place),
            gr.Textbox(visible=own),
            gr.Textbox(visible=own),
        ]

    def words(file: str | None, kind: str, name: Any, student: Any, data: Any, budget: float, more: Any) -> list[str]:
        args = command(desk, file, kind, typed(name), typed(student), typed(data), budget, typed(more))
        check(args)
        return args

    teacher.change(chosen, teacher, [teacher, name, student, data], show_progress="hidden")
    photo.change(told(pieces), photo, patches)
    panel = Panel(desk, "photo", "Start", ("Download the student", "Download the page of the run"), made, cost)
    panel.connect(page, words, [photo, teacher, name, student, data, budget, more])

    gr.Markdown("### Try it\nTest images, seen by teacher and student.")
    with gr.Row():
        tests = gr.File(label="Your test images", file_count="multiple", height=130, elem_id="photo-tests")
        with gr.Column():
            run = gr.Textbox(label="Run directory", placeholder="the one above", elem_id="photo-run")
            ask = gr.Button("Ask both about my images", elem_id="photo-ask")
            draw = gr.Button(f"Ask both about {TESTS} images of the test", elem_id="photo-draw")
    answers = gr.HTML("", elem_id="photo-answers", elem_classes="exuno")

    def folder_of(run: Any) -> Path:
        if named := typed(run):
            return Path(named).expanduser()
        if panel.job is None:
            raise ExunoError("there is no student yet", "Start a run above, or name the directory of one.")
        return panel.job.folder

    ask.click(told(lambda files, run: asked(desk, folder_of(run), files)), [tests, run], answers)
    draw.click(told(lambda run: drawn(desk, folder_of(run))), run, answers)


EMPTY = "Drop a photograph, and pieces of it appear here: that is all that the student will see."
ABOUT = {
    DIGITS: "The digits that come with scikit-learn; their teacher is trained first, in a minute.",
    TIMM: "A published network by its name; its weights are fetched from the Hugging Face hub if they are not here.",
    OTHER: "The folder of a run, or whatever --teacher of exuno distill takes.",
}


def pieces(file: str | None) -> str:
    """Patches of a photograph, as a student sees them but larger."""
    if file is None:
        return hint(EMPTY)
    from exuno.synth.image import Sampler
    from exuno.synth.options import ImageOptions

    photo = load_photo(file)
    patches = Sampler(photo, ImageOptions(size=SIDE), seed=0)(np.arange(SHOWN))
    text = f"{SHOWN} of as many pieces as you like. The student sees them at its own size, and nothing else."
    whole = image(photo, "the photograph", "whole")
    grid = "".join(f"<span>{image(each, 'a piece of it')}</span>" for each in patches)
    return f'<div class="pieces">{whole}<div class="patches">{grid}</div></div>{hint(text)}'


def command(
    desk: Desk, file: str | None, kind: str, name: str, student: str, data: str, budget: float, more: str
) -> list[str]:
    """The words of ``exuno distill`` for what was chosen.

    Raises:
        ExunoError: no photograph, no teacher, or further options that cannot be.
    """
    if file is None:
        raise ExunoError("no photograph was given", "Drop one into the field above.")
    load_photo(file)
    photo = str(kept(Path(file), desk.out / "photos"))
    if kind == DIGITS:
        args = ["distill", "digits", "--source", photo]
    else:
        if not name:
            raise ExunoError("no teacher was named", f"For example {'resnet18' if kind == TIMM else 'runs/mine'}.")
        if not student:
            raise ExunoError("no student was named", "For example exuno:resnet20.")
        spec = f"timm:{name.removeprefix('timm:')}" if kind == TIMM else spec_of(name)
        args = ["distill", "--teacher", spec, "--student", student, "--source", photo]
        args += ["--data", data] if data else []
    if budget < 100:
        args += ["--budget", f"{budget / 100:g}"]
    args += further(more)
    return [*args, "--devices", "cpu"] if desk.devices == "cpu" else args


def check(args: Sequence[str]) -> DistillConfig:
    """What a command line asks for, checked as the command itself does.

    Raises:
        ExunoError: what is wrong with it.
    """
    return parse("distill", DistillConfig, args[1:])[0]


def cost(job: Job) -> str:
    """How much is to be done, while it is done."""
    return length(job.args[: job.args.index("--run-dir")]) if job.active else ""


@cache
def length(args: tuple[str, ...]) -> str:
    """How long the training is that a command line asks for; nothing where its files have gone meanwhile."""
    with suppress(ExunoError):
        return "".join(hint(line) for line in length_of(check(args)))
    return ""


def made(job: Job) -> list[Path]:
    """The student, a file that exuno eval and exuno predict take, and the page."""
    return [job.folder / WEIGHTS, job.folder / "report.html"]


def teacher_of(folder: Path) -> str:
    """The spec of the teacher of a run; ExunoError where the folder is no run of exuno distill."""
    record = at_hand(folder)
    config = record.config.get("config") if record else None
    if record is None or record.verb != "distill" or not isinstance(config, dict):
        raise ExunoError(f"{folder} is no run of exuno distill", "Name the directory of one.")
    spec = str(config.get("teacher", ""))
    return f"run:{folder / 'teacher'}" if spec.startswith("teach:") else spec


def asked(desk: Desk, folder: Path, files: Sequence[str] | None) -> str:
    """What teacher and student of a run say of pictures."""
    if not files:
        raise ExunoError("no test images were given", "Drop some into the field beside.")
    return both(desk, folder, [load_photo(file) for file in files], list(files), [Path(file).name for file in files])


def drawn(desk: Desk, folder: Path) -> str:
    """The same of images of its test, drawn at random."""
    teacher_of(folder)
    record = at_hand(folder)
    shown = next((each for each in record.evaluations if each.images is not None), None) if record else None
    if shown is None or shown.images is None or shown.images.ndim > 4:
        raise ExunoError(f"{folder} has kept no images of a test", "Drop images of your own.")
    rows = np.random.default_rng().permutation(len(shown.images))[:TESTS]
    pixels = [shown.images[row] for row in rows]
    names = [shown.class_names[shown.labels[shown.index[row]]] for row in rows]
    return both(desk, folder, pixels, tensors(pixels), names, known=True)


def tensors(pixels: Sequence[Any]) -> Any:
    """Images uint8 [H, W] or [H, W, C] of one size as a batch uint8 [B, C, H, W]."""
    import torch

    stacked = np.stack([each if each.ndim == 3 else each[..., None] for each in pixels])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous()


def both(
    desk: Desk, folder: Path, pixels: Sequence[Any], images: Any, names: Sequence[str], known: bool = False
) -> str:
    """Tiles of pictures with what teacher and student say; ``known``: ``names`` are the true classes."""
    from exuno.predict.answers import all_read, at_hand, predictions, side_of

    said = []
    for who, spec in (("teacher", teacher_of(folder)), ("student", f"run:{folder}")):
        found = all_read(predictions(at_hand(spec, desk.devices), images, topk=1, size=side_of(spec)))
        said.append([Said(who, each.name, percent(each.probability, 0)) for each in found])
    tiles = []
    for picture, name, *pair in zip(pixels, names, *said, strict=True):
        if known:
            pair = [Said(each.who, each.what, each.how, each.what == name) for each in pair]
        tiles.append(tile(picture, name, pair))
    alike = sum(one.what == other.what for one, other in zip(*said, strict=True))
    return f"{hint(f'Teacher and student agree on {alike} of {len(tiles)}.')}{gallery(tiles)}"
