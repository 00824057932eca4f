"""What a study would do, for ``--dry-run``: at a glance, in lines of at most ``WIDTH`` columns. No torch."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap

from exuno.engine.progress import clock
from exuno.study.grid import Axis, Cell
from exuno.study.options import StudyConfig
from exuno.study.plan import Plan, job_of

WIDTH = 98
"""Columns, after the sign of a comment and a blank."""


def outline(config: StudyConfig, made: Plan, folder: Path) -> list[str]:
    """Stages with their cells and what they vary, then a command of each.

    Args:
        config: of the study.
        made: that configuration, understood.
        folder: where the study would live.
    """
    cells = made.cells(folder / "cells")
    first: dict[str, Cell] = {}
    for cell in cells:
        first.setdefault(cell.stage, cell)
    counts = Counter(cell.stage for cell in cells)
    rows = [("stage", "cells", "one for each of"), *(_row(cell, first, counts, made.axes) for cell in first.values())]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    lead = sum(widths) + 4
    lines = [f"{len(cells)} cells: {', '.join(f'{count} of {stage}' for stage, count in counts.items())}"]
    lines = [*_wrapped(lines[0]), ""]
    for name, count, text in rows:
        one, *more = wrap(text, WIDTH - lead, break_long_words=False, break_on_hyphens=False)
        lines += [f"{name:{widths[0]}}  {count:>{widths[1]}}  {one}", *(" " * lead + each for each in more)]
    lines += ["", "the first command of each stage; the others differ in these values:"]
    for cell in first.values():
        lines += folded(("exuno", *job_of(cell, config, folder).args))
    return lines


def _row(
    cell: Cell, first: Mapping[str, Cell], counts: Mapping[str, int], axes: Sequence[Axis]
) -> tuple[str, str, str]:
    """Name and number of the cells of a stage, what they vary, and how many of each later stage share one of them."""
    varied = " x ".join(f"{len(axis.values)} {axis.flag}" for axis in axes if axis.name in cell.values)
    later = [stage for stage, other in first.items() if cell.name in other.needs]
    served = " and ".join(f"{counts[stage] // counts[cell.stage]} of {stage}" for stage in later)
    return cell.stage, str(counts[cell.stage]), (varied or "nothing") + (f"; each serves {served}" if served else "")


def folded(words: Sequence[str]) -> list[str]:
    """A command in lines that a shell reads as one. They break between words, and not behind an option."""
    parts: list[str] = []
    for word in words:
        behind = bool(parts) and re.fullmatch(r"--\w[\w.-]*", parts[-1]) and not word.startswith("--")
        parts[-1:] = [f"{parts[-1]} {shlex.quote(word)}"] if behind else [*parts[-1:], shlex.quote(word)]
    lines = parts[:1]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) + 3 > WIDTH:
            lines[-1] += " \\"
            lines.append(f"    {part}")
        else:
            lines[-1] += f" {part}"
    return lines


def timed(cells: Sequence[Cell], seconds: Mapping[str, float]) -> Iterator[str]:
    """How long the cells would take here, one at a time.

    Args:
        cells: those without a result.
        seconds: name of each stage -> those of a cell, where its steps were timed.
    """
    counts = Counter(cell.stage for cell in cells)
    for stage, each in seconds.items():
        yield f"{stage}: about {clock(each)} each, {clock(each * counts[stage])} one after another"
    if left := [stage for stage in counts if stage not in seconds]:
        yield from _wrapped(f"not timed: {', '.join(left)}")


def checked(gaps: Sequence[str]) -> Iterator[str]:
    """That every command of a cell without a result was looked at, and what could not be."""
    yield "checked: every command that is left to run" + (", but for this:" if gaps else "")
    for gap in gaps:
        yield from _wrapped(f"  {gap}")


def _wrapped(text: str) -> list[str]:
    return wrap(text, WIDTH, subsequent_indent="    ", break_on_hyphens=False)
