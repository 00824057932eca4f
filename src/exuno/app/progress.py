"""A command that runs, in a tab: start, cancel, how far it is, its curves, what it made."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr

from exuno.app.jobs import Job
from exuno.app.parts import Desk, bar, hint, mistake
from exuno.engine.errors import ExunoError
from exuno.report.curves import curves
from exuno.report.headline import cards, strip
from exuno.report.html import esc
from exuno.report.record import Record, read_record

EVERY = 1.0
"""Seconds between looks at a command that runs."""
LAST = 4000
"""Characters of what a command printed that are shown."""
STAGES = {"teach": "The teacher learns", "distill": "The student learns", "poster": "The poster grows"}


class Panel:
    """The part of a tab that follows one command.

    Args:
        desk: of the page.
        kind: of command, for ``desk.jobs``.
        start: words on the button.
        downloads: words on the buttons for the files that a finished command made.
        files: the finished command -> those files.
        picture: the command, also while it runs -> HTML above the curves.
    """

    def __init__(
        self,
        desk: Desk,
        kind: str,
        start: str,
        downloads: Sequence[str],
        files: Callable[[Job], Sequence[Path]],
        picture: Callable[[Job], str] = lambda job: "",
    ) -> None:
        self.desk, self.kind, self.files, self.picture = desk, kind, files, picture
        with gr.Row():
            self.start = gr.Button(start, variant="primary", scale=3, elem_id=f"{kind}-start")
            self.cancel = gr.Button("Cancel", interactive=False, min_width=140, elem_id=f"{kind}-cancel")
        self.status = gr.HTML(hint(IDLE), elem_id=f"{kind}-status", elem_classes="exuno")
        self.body = gr.HTML(visible=False, elem_id=f"{kind}-body", elem_classes="exuno")
        with gr.Row():
            self.downloads = [
                gr.DownloadButton(text, visible=False, size="md", elem_id=f"{kind}-download-{i}")
                for i, text in enumerate(downloads)
            ]
        with gr.Accordion("What the command prints", open=False):
            self.log = gr.HTML("", elem_id=f"{kind}-log", elem_classes="exuno")
        self.timer = gr.Timer(EVERY, active=False)
        self.outputs: list[Any] = [
            *(self.start, self.cancel, self.status, self.body),
            *(*self.downloads, self.log, self.timer),
        ]

    def connect(self, page: gr.Blocks, words: Callable[..., Sequence[str]], inputs: Sequence[Any]) -> None:
        """Says what the buttons do.

        Args:
            page: shows, when it is opened, what is going on.
            words: the values of ``inputs`` -> the command, as ``Jobs.start`` takes it.
            inputs: components.
        """

        def begin(*values: Any) -> list[Any]:
            try:
                self.desk.jobs.start(self.kind, words(*values))
            except Exception as error:
                shown = self.view()
                shown[2] = mistake(error)
                return shown
            return self.view()

        def end() -> list[Any]:
            if job := self.job:
                job.cancel()
            return self.view()

        self.start.click(begin, list(inputs), self.outputs, show_progress="hidden")
        self.cancel.click(end, None, self.outputs, show_progress="hidden")
        self.timer.tick(self.view, None, self.outputs, show_progress="hidden")
        page.load(self.view, None, self.outputs, show_progress="hidden")

    @property
    def job(self) -> Job | None:
        return self.desk.jobs.begun.get(self.kind)

    def view(self) -> list[Any]:
        """Values of the outputs as things stand."""
        job = self.job
        if job is None:
            nothing = [gr.DownloadButton(visible=False) for _ in self.downloads]
            hidden = gr.HTML(visible=False)
            return [gr.Button(), gr.Button(interactive=False), hint(IDLE), hidden, *nothing, "", gr.Timer(active=False)]
        state = job.state  # once: it may end meanwhile
        active = state in ("running", "stopping")
        body = self.picture(job) + measured(job, state)
        made = self.files(job) if state == "done" else [None] * len(self.downloads)
        return [
            gr.Button(interactive=not active),
            gr.Button("Cancel" if state != "stopping" else "Stop at once", interactive=active),
            f'{status(job, state)}<pre class="command">{esc(job.command)}</pre>',
            gr.HTML(body, visible=bool(body)),
            *(
                gr.DownloadButton(value=str(file.resolve()) if file else None, visible=file is not None)
                for file in made
            ),
            f"<pre>{esc(job.said()[-LAST:]) or '…'}</pre>",
            gr.Timer(active=active),
        ]


IDLE = "Nothing has been started here yet."


def status(job: Job, state: str) -> str:
    """What a command is doing, or how it ended."""
    if state == "failed":
        return f'<p class="mistake" role="alert">{esc(job.reason())}</p>'
    if state == "stopped":
        return hint("Stopped, with a checkpoint. Start the same again and it goes on where it was.")
    if state == "done":
        return hint(f"Done. The run is in {job.folder}.")
    progress = job.progress()
    if state == "stopping":
        return bar("It finishes its step and writes a checkpoint", progress)
    if progress is None:
        return bar("It looks at what was given", None)
    measuring = progress.percent == 100
    return bar("It is measured" if measuring else STAGES.get(progress.title, progress.title), progress)


def measured(job: Job, state: str) -> str:
    """Results where there are any, and curves; of the teacher's training as long as there are none of the student's."""
    record = at_hand(job.folder)
    if (record is None or not record.curves) and state != "done":
        record = at_hand(job.folder / "teacher") or record
    if record is None:
        return ""
    found = cards(record)
    results = f'<div class="cards">{found}</div>{strip(record)}' if found and record.result else ""
    return results + curves(record)


def at_hand(folder: Path) -> Record | None:
    """A run as far as it has been written; None before it is there."""
    with suppress(ExunoError):
        return read_record(folder)
    return None
