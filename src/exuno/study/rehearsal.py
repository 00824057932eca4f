"""All commands of a study are looked at before the first one runs, so that a mistake in any of them is told in seconds
and not after hours.
"""

from collections.abc import Container, Iterator, Sequence
from contextlib import ExitStack, redirect_stdout
from io import StringIO
from pathlib import Path

from exuno.data.names import kept_open
from exuno.engine.errors import ExunoError
from exuno.engine.progress import estimates
from exuno.presets import Preset
from exuno.specs import GAP, followed, not_opened, to_come
from exuno.study.gather import measured
from exuno.study.grid import Cell
from exuno.study.options import StudyConfig
from exuno.study.plan import Plan, folder_of, job_of
from exuno.study.table import is_seed
from exuno.verbs import run_verb

TOLD = 3
"""Mistakes that are told at once, at most."""


def rehearse(config: StudyConfig, made: Plan, preset: Preset | None) -> tuple[dict[str, float], list[str]]:
    """Dry runs of all commands of cells without a result that differ in more than the seed and the runs that they build
    on. What they say is checked; data and models are opened for the first one of each stage and for each new value of
    an axis, data once. What is not there is a mistake, unless the study itself is only a dry run, or its cells are for
    other machines, which may have it.

    Returns:
        Name of each stage -> seconds that one of its trainings would take here, on average, as far as the steps of some
        were timed; and what was not checked, ``STAGE: whether …``.

    Raises:
        ExunoError: what commands of the study would raise, with the values that make them do so.
    """
    folder = folder_of(config, preset)
    cells = left(made, folder)
    seeds = {axis.name for axis in made.axes if is_seed(axis)}
    mistakes: dict[str, ExunoError] = {}
    seconds: dict[str, list[float]] = {}
    gaps: dict[str, None] = {}
    local = {config.slurm, config.ray} <= {None, "local"}
    with to_come(folder), kept_open():
        for cell, opened in chosen(cells, seeds):
            with ExitStack() as within:
                said = within.enter_context(redirect_stdout(StringIO()))
                found = within.enter_context(estimates())
                if local and not config.run.dry_run:
                    within.enter_context(followed())
                if not opened:
                    within.enter_context(not_opened())
                try:
                    run_verb([*job_of(cell, config, folder / "rehearsal").args, "--dry-run"])
                except ExunoError as error:
                    mistakes.setdefault(error.what, ExunoError(f"{described(cell, seeds)}: {error.what}", error.todo))
            seconds.setdefault(cell.stage, []).extend(found)
            lines = said.getvalue().splitlines()
            gaps |= {f"{cell.stage}: {line.removeprefix(GAP)}": None for line in lines if line.startswith(GAP)}
    if mistakes:
        first, *others = mistakes.values()
        more = "".join(f"\n       Also {each.what.rstrip('.')}." for each in others[: TOLD - 1])
        raise ExunoError(first.what, (first.todo or "") + more)
    return {stage: sum(found) / len(found) for stage, found in seconds.items() if found}, list(gaps)


def left(made: Plan, folder: Path) -> list[Cell]:
    """The cells that have no result yet in the folder of a study."""
    cells = folder / "cells"
    return [cell for cell in made.cells(cells) if measured(cell, None, cells).reason != ""]


def chosen(cells: Sequence[Cell], seeds: Container[str]) -> Iterator[tuple[Cell, bool]]:
    """The cells to look at, and whether to open what they name.

    Args:
        cells: of the study.
        seeds: names of axes whose values are repetitions.
    """
    known: set[object] = set()
    for cell in cells:
        own = [(name, cell.values[name]) for name in cell.own]
        values = {(cell.stage, name, value) for name, value in own if name not in seeds}
        repetitions = {(cell.stage, name, value) for name, value in own if name in seeds}
        new = {cell.stage, (cell.stage, frozenset(values)), *values}  # a stage without axes is one configuration
        if not new | repetitions <= known:
            yield cell, not {cell.stage, *values} <= known
        known |= new | repetitions


def described(cell: Cell, seeds: Container[str]) -> str:
    """``distill with loss.temperature = -3``: a stage and the values in its command, but for the seed."""
    own = [name for name in cell.own if name not in seeds]
    values = ", ".join(f"{name.removeprefix(f'{cell.stage}.')} = {cell.values[name]}" for name in own)
    return f"{cell.stage} with {values}" if values else cell.stage
