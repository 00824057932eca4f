"""The pages of papers: a row for each preset, published | here | command | cost, and what was measured here.

No number is written twice. Published ones, commands and costs are those of the presets; measured ones are cells of the
tables of docs/reproductions.md, named by section, row and column. A page of docs/papers begins with

    paper: arXiv 2112.00725                     # what the `paper` of its presets holds; one or several
    also: [distill digits]                      # presets that hold none of these
    published: {poster cifar10: 59.1 % at …}    # where the preset has no number: the paper's table has several
    here: {distill digits: {section: One photograph reads digits, row: astronaut, column: "student, mean of 3"}}
    measured: [The teacher chooses]             # further sections to show

and holds the lines ``<!-- presets -->`` and ``<!-- measured -->`` where table and sections go.
"""

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TRAINING = ("teach", "distill", "selfsup", "poster", "fewshot pretrain", "fewshot distill", "study")


def filled(markdown: str, meta: dict[str, Any], record: str) -> str:
    """The page with table and sections in the place of its two marks.

    Args:
        markdown: of the page.
        meta: its head.
        record: docs/reproductions.md.

    Raises:
        KeyError: a preset, section, row or column that there is not.
    """
    here = meta.get("here") or {}
    titles: list[str] = [*(each["section"] for each in here.values()), *(meta.get("measured") or [])]
    shown = "\n".join(section(record, title) for title in dict.fromkeys(titles))
    return markdown.replace("<!-- presets -->", table(meta, record)).replace("<!-- measured -->", moved(shown))


def table(meta: dict[str, Any], record: str) -> str:
    """A row for each preset of the paper: those with a number first, then in the order of the verbs."""
    found = presets_of(meta["paper"], meta.get("also") or [])
    published, here = meta.get("published") or {}, meta.get("here") or {}
    if unknown := {*published, *here} - found.keys():
        raise KeyError(f"no preset of this paper: {', '.join(unknown)}")
    head = ["| preset | published | here | command | cost |", "|---|---|---|---|---|"]
    rows: dict[bool, list[str]] = {True: [], False: []}
    for name, about in found.items():
        measured = "–"
        if place := here.get(name):
            measured = f"[{cell(record, **place)}](#{anchor(place['section'])})"
        told = published.get(name) or numbers(about.get("published") or {}) or "–"
        command = f"`{about['command']}`" if "command" in about else "–"
        row = f"| {about['summary']} | {told} | {measured} | {command} | {about.get('cost', '–')} |"
        rows[(told, measured) != ("–", "–")].append(row.replace("\n", " "))
    return "\n".join(['<div class="presets" markdown>\n', *head, *rows[True], *rows[False], "\n</div>"])


def presets_of(paper: str | list[str], also: list[str]) -> dict[str, dict[str, Any]]:
    """``verb name`` -> what the preset says about itself, of all presets of a paper."""
    marks = [paper] if isinstance(paper, str) else paper
    every = presets()
    if unknown := set(also) - every.keys():
        raise KeyError(f"no presets: {', '.join(unknown)}")
    chosen = [
        name for name, about in every.items() if name in also or any(mark in str(about.get("paper")) for mark in marks)
    ]
    return {name: every[name] for name in sorted(chosen, key=lambda name: (rank(name), chosen.index(name)))}


@cache
def presets() -> dict[str, dict[str, Any]]:
    """``verb name`` -> what the preset says about itself, of all. The site's environment has no exuno installed."""
    sys.path.insert(0, str(ROOT / "src"))
    try:
        from exuno.presets import files, read
    finally:
        sys.path.remove(str(ROOT / "src"))
    return {f"{verb} {name}": read(verb, name).about for verb, name in files()}


def rank(name: str) -> int:
    """Where the verb of a preset stands in ``TRAINING``."""
    return next(number for number, verb in enumerate(TRAINING) if name.startswith(verb + " "))


def numbers(published: dict[str, float]) -> str:
    """``{"teacher/top1": 0.76, "student/top1": 0.71, "student/top5": 0.9}`` -> "teacher 76.00, student 71.00"; of
    several accuracies of one model the first."""
    seen: dict[str, float] = {}
    for metric, value in published.items():
        model, _, what = metric.partition("/")
        shots = re.search(r"\d+-shot", what)
        seen.setdefault(shots[0] if shots else model, value)
    if len(seen) == 1:
        return f"{100 * next(iter(seen.values())):.2f} %"
    return ", ".join(f"{name} {100 * value:.2f} %" for name, value in seen.items())


def section(record: str, title: str) -> str:
    """A section of the record with its heading."""
    parts = re.split(r"^(?=## )", record, flags=re.MULTILINE)
    found = [part for part in parts if part.startswith(f"## {title}\n")]
    if not found:
        raise KeyError(f"docs/reproductions.md has no section '{title}'")
    return found[0]


def cell(record: str, section: str, row: str, column: str) -> str:
    """The cell of the first table of a section that has such a column; row and column by what they begin with."""
    titles: list[str] = []
    for line in globals()["section"](record, section).splitlines():
        cells = [each.strip() for each in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            titles = []
        elif not titles:
            titles = cells
        elif cells[0].startswith(row):
            for title, value in zip(titles, cells, strict=True):
                if title.startswith(column):
                    return value.strip("*")
    raise KeyError(f"docs/reproductions.md, '{section}': no table with row '{row}' and column '{column}'")


def anchor(title: str) -> str:
    """The anchor of a heading, as GitHub and the site make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def moved(text: str) -> str:
    """Sections of docs/reproductions.md for a page one folder deeper."""
    text = re.sub(r"\]\(#", "](reproductions.md#", text)
    return re.sub(r"\]\((?![a-z]+:)", "](../", text)
