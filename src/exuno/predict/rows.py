"""Answers as a table, JSON lines or CSV, written as they come."""

import csv
import io
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TextIO

from exuno.engine.files import atomic
from exuno.engine.progress import ProgressBar
from exuno.predict.options import Answering, Format

if TYPE_CHECKING:
    from exuno.predict.answers import Answer

WIDEST = 60
"""Of the first column of a table."""


def write(
    answers: "Iterable[Answer]", options: Answering, sources: Sequence[str] | None, score: str = "probability"
) -> int:
    """Writes answers to ``--out`` or standard output, and names on standard error those that there are not.

    Args:
        answers: in their order, as they come.
        options: format, file, and how many answers a batch has.
        sources: what all of them are called, if that is known beforehand.
        score: what the numbers are: ``probability``.

    Returns:
        How many pictures have no answer.
    """
    line = liner(options.written, options.topk, score, max(map(len, sources or [""])))
    missing = 0
    bar = ProgressBar("predict", len(sources), "pictures") if options.out and sources else nullcontext()
    with opened(options) as file, bar as shown:
        file.write(line(None))
        for number, answer in enumerate(answers, 1):
            file.write(line(answer))
            if answer.error:
                missing += 1
                print(f"exuno: {answer.error}", file=sys.stderr)
            if number % options.batch_size == 0:
                file.flush()
            if shown:
                shown.advance(1)
    return missing


@contextmanager
def opened(options: Answering) -> Iterator[TextIO]:
    """Standard output, or a file that appears when it is complete."""
    if options.out is None:
        yield sys.stdout
        return
    with atomic(options.out) as temporary, temporary.open("w", encoding="utf-8", errors="surrogateescape") as file:
        yield file


def liner(form: Format, topk: int, score: str, width: int) -> "Callable[[Answer | None], str]":
    """What writes an answer as text; None stands for what comes before the first."""
    if form == "jsonl":
        return lambda answer: "" if answer is None else json.dumps(_object(answer, score), ensure_ascii=False) + "\n"
    if form == "csv":
        return lambda answer: _row(_head(topk, score) if answer is None else _cells(answer, topk))
    return lambda answer: "" if answer is None else _text(answer, score, min(width, WIDEST))


def _object(answer: "Answer", score: str) -> dict[str, Any]:
    if answer.error:
        return {"image": answer.source, "error": answer.error}
    ranked = [{"label": each.label, "name": each.name, score: round(each.score, 6)} for each in answer.topk]
    margin = None if math.isnan(answer.margin) else round(answer.margin, 6)
    return {"image": answer.source, **ranked[0], "margin": margin, "topk": ranked}


def _head(topk: int, score: str) -> list[str]:
    return [
        "image",
        "error",
        "margin",
        *(f"{name}{number}" for number in range(1, topk + 1) for name in ("label", "name", score)),
    ]


def _cells(answer: "Answer", topk: int) -> list[Any]:
    ranked = [cell for each in answer.topk for cell in (each.label, each.name, f"{each.score:.6f}")]
    margin = "" if math.isnan(answer.margin) else f"{answer.margin:.6f}"
    return [answer.source, answer.error, margin, *ranked, *[""] * (3 * topk - len(ranked))]


def _row(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _text(answer: "Answer", score: str, width: int) -> str:
    if answer.error:
        return f"{answer.source!s:{width}}  –  {answer.error}\n"
    form = "{:.1%}" if score == "probability" else "{:.3f}"
    ranked = [f"{each.name} {form.format(each.score)}" for each in answer.topk]
    margin = [] if score == "probability" else [f"(margin {answer.margin:.3f})"]
    return f"{answer.source!s:{width}}  " + "  ".join([*ranked[:1], *margin, *ranked[1:]]) + "\n"
