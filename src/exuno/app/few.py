"""The tab "Five images a class": a handful of pictures of each of several classes, then pictures of which one asks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from exuno.app.parts import Desk, Said, gallery, hint, tile, told, typed
from exuno.data.images.photo import load_photo
from exuno.engine.errors import ExunoError
from exuno.evaluate.eval import spec_of
from exuno.fewshot.options import heads

MOST, FIRST = 10, 2
"""Classes that the tab has room for, and those that it shows at first."""


def few_tab(desk: Desk) -> None:
    """Builds the tab."""
    gr.Markdown(
        "Show a network **a few pictures of each class**, one will do, and ask it about others. Nothing is trained."
    )
    with gr.Row():
        model = gr.Textbox(
            label="Network whose features are compared",
            placeholder="runs/phase2, or timm:vit_small_patch16_224.dino",
            info="The folder of a run, or any model spec; weights of a timm name are fetched if they are not here.",
            min_width=280,
            elem_id="few-model",
        )
        head = gr.Dropdown(
            list(heads.names), value="prototype", label="Classifier on them", min_width=280, elem_id="few-head"
        )
    rows, inputs = [], []
    with gr.Row(elem_classes="classes"):
        for number in range(MOST):
            with gr.Column(visible=number < FIRST, min_width=230) as row:
                name = gr.Textbox(label=f"Class {number + 1}", placeholder="its name", elem_id=f"few-name-{number}")
                files = gr.File(
                    label="Pictures of it", file_count="multiple", height=110, elem_id=f"few-files-{number}"
                )
            rows.append(row)
            inputs += [name, files]
    shown = gr.State(FIRST)
    another = gr.Button("Another class", size="sm", elem_id="few-another")
    queries = gr.File(label="Which class are these?", file_count="multiple", height=130, elem_id="few-queries")
    ask = gr.Button("Ask", variant="primary", elem_id="few-ask")
    answers = gr.HTML("", elem_id="few-answers", elem_classes="exuno")

    def widen(count: int) -> list[Any]:
        count = min(MOST, count + 1)
        return [count, gr.Button(interactive=count < MOST), *(gr.Column(visible=i < count) for i in range(MOST))]

    def answer(model: Any, head: str, queries: Sequence[str] | None, *given: Any) -> str:
        return recognised(desk, typed(model), head, queries, list(zip(given[::2], given[1::2], strict=True)))

    another.click(widen, shown, [shown, another, *rows], show_progress="hidden")
    ask.click(told(answer), [model, head, queries, *inputs], answers)


def recognised(
    desk: Desk,
    model: str,
    head: str,
    queries: Sequence[str] | None,
    given: Sequence[tuple[str, Sequence[str] | None]],
) -> str:
    """Tiles of the pictures that were asked about, with their classes and margins.

    Args:
        desk: of the page.
        model: spec, or folder of a run.
        head: the classifier.
        queries: paths.
        given: name and paths of each class; those without either are passed over.

    Raises:
        ExunoError: something is missing, or what ``Predictor`` raises.
    """
    support: dict[str, list[Path]] = {}
    for number, (name, files) in enumerate(given, 1):
        name = typed(name)
        if not name and not files:
            continue
        if not name:
            raise ExunoError(f"class {number} has pictures and no name", "Give it one.")
        if not files:
            raise ExunoError(f"class '{name}' has no pictures", "Give it one at least.")
        if name in support:
            raise ExunoError(f"two classes are called '{name}'", "Give them different names.")
        support[name] = [Path(file) for file in files]
    if len(support) < 2:
        raise ExunoError("there are not yet two classes", "Give two of them a name and pictures.")
    if not queries:
        raise ExunoError("no pictures were asked about", "Drop some into the field below the classes.")
    if not model:
        raise ExunoError("no network was named", "For example runs/phase2 or timm:vit_small_patch16_224.dino.")
    from exuno.fewshot.predictor import Predictor

    devices = "cpu" if desk.devices == "cpu" else "auto"
    found = Predictor(spec_of(model), support, head=head, devices=devices).predict(list(queries), topk=2)
    tiles = [
        tile(
            load_photo(query),
            Path(query).name,
            [
                Said("", answer.name, f"{answer.score:.2f}"),
                Said("next", answer.topk[1].name, f"{answer.topk[1].score:.2f}"),
                Said("margin", "", f"{answer.margin:.2f}"),
            ],
        )
        for query, answer in zip(queries, found, strict=True)
    ]
    lead = "A class that you have not shown is never the answer; a small margin is the only hint that it may be one."
    return gallery(tiles) + hint(lead)
