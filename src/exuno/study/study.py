"""``exuno study`` from top to bottom."""

import contextlib
import io
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exuno.engine import session
from exuno.engine.check import check_run, need
from exuno.engine.errors import ExunoError
from exuno.engine.files import write_text
from exuno.engine.options import RunOptions
from exuno.engine.progress import ProgressBar
from exuno.engine.run import Run, open_run
from exuno.presets import Preset, resolve, to_dict
from exuno.report.page import write_report
from exuno.study.gather import Measured, gather, to_csv
from exuno.study.grid import Axis, Cell, Stage, find_axis, make_cells, read_axes, read_stages
from exuno.study.local import Local, room
from exuno.study.options import StudyConfig
from exuno.study.schedule import Launcher, run_all
from exuno.study.table import Layout, changes, chart, contents, layout_tables, markdown
from exuno.study.worker import Job, Outcome
from exuno.verbs import run_verb


@dataclass(frozen=True)
class Plan:
    """A study that has been understood."""

    stages: list[Stage]
    axes: list[Axis]
    fixed: list[Axis]
    layout: Layout

    def cells(self, folder: Path) -> list[Cell]:
        """All cells, their runs in ``folder``."""
        return make_cells(self.stages, self.axes, self.fixed, folder)


def plan(config: StudyConfig) -> Plan:
    """Reads stages, axes and layout.

    Raises:
        ExunoError: whatever in them is not understood.
    """
    check_run(config.run, any_loader=True)
    need(config.threads >= 1, "--threads", config.threads, "1 or more")
    need(config.processes >= 0, "--processes", config.processes, "a number, or 0 for as many as this machine has room")
    stages = read_stages(config.stages)
    axes, given = read_axes(config.axes, stages), read_axes(config.set, stages)
    for axis in given:
        if len(axis.values) > 1:
            raise ExunoError(f"--set {axis.name} has {len(axis.values)} values", "Give one, or make it one of --axes.")
    set_to = {axis.name: axis for axis in given}
    axes = [set_to.pop(axis.name, axis) for axis in axes]
    tables, columns = (find_axis(name, axes) if name else None for name in (config.tables, config.columns))
    rest = [axis for axis in axes if axis not in (tables, columns) and axis.flag != "seed"]
    rows = find_axis(config.rows, axes) if config.rows else next(iter(rest), None)
    if config.run.smoke:
        axes = [axis if axis == columns else replace(axis, values=axis.values[:1]) for axis in axes]
        tables, rows = (next((a for a in axes if one and a.name == one.name), None) for one in (tables, rows))
    return Plan(stages, axes, [*common(config, axes), *set_to.values()], Layout(tables, rows, columns, config.metrics))


def common(config: StudyConfig, axes: Sequence[Axis]) -> list[Axis]:
    """Options of the study that every cell gets, where they are not the default and no axis."""
    run, plain = config.run, RunOptions()
    given = {"data-root": config.data_root and shlex.quote(str(config.data_root))}
    shaping = ("seed", "precision", "loader")
    given |= {name: getattr(run, name) for name in shaping if getattr(run, name) != getattr(plain, name)}
    given["smoke"] = "true" if run.smoke else None
    taken = {axis.name for axis in axes}
    return [Axis(None, name, (str(value),)) for name, value in given.items() if value and name not in taken]


def study(config: StudyConfig, preset: Preset | None = None) -> Run:
    """Carries out all cells that have no result yet, and writes tables and page; returns at once if none is left.

    Raises:
        ExunoError: anything the user can put right.
    """
    made = plan(config)
    values = to_dict(config)
    about = session.about_of(preset, values, to_dict(resolve(StudyConfig, preset)) if preset else {})
    run = open_run("study", preset.name if preset else None, values, about, config.run)
    try:
        if run.result is None or run.result["failures"]:
            carry_out(config, made, run)
    finally:
        run.close()
    return run


def rehearse(cells: Sequence[Cell]) -> None:
    """Has the verb of each stage read its first command, so that a misspelt option is told before anything runs.

    Raises:
        SystemExit: it was not understood, which the parser has told.
        ExunoError: there is no such preset.
    """
    for cell in {cell.stage: cell for cell in reversed(cells)}.values():
        with contextlib.redirect_stdout(io.StringIO()):
            run_verb([*cell.verb.split(), *cell.args, "--dry-run"])


def carry_out(config: StudyConfig, made: Plan, run: Run) -> None:
    """Runs the cells in an open run directory."""
    folder, begun = run.dir / "cells", time.monotonic()
    cells = made.cells(folder)
    rehearse(cells)
    done = {cell.name: "" for cell in cells if (folder / cell.name / "result.json").is_file()}
    reasons: dict[str, str] = {}
    with ProgressBar("study", len(cells), "cells", len(done)) as bar:

        def tell(cell: Cell, outcome: Outcome) -> None:
            reasons[cell.name] = outcome.reason
            write(made, run, gather(cells, reasons, folder))
            bar.advance(1, f"{cell.name}: {'failed' if outcome.reason else f'{outcome.seconds:.0f} s'}")

        found = run_all(cells, done, lambda: launcher(config), lambda cell: job_of(cell, config, run.dir), tell)
    conclude(made, run, gather(cells, found, folder), time.monotonic() - begun)


def launcher(config: StudyConfig) -> Launcher:
    """What ``--ray`` and ``--processes`` ask for."""
    on_cpu = config.run.devices.startswith("cpu")
    if config.ray is None:
        return Local(config.processes or room(config.threads, on_cpu), config.threads, on_cpu)
    from exuno.study.on_ray import OnRay

    return OnRay(config.ray, config.processes, config.threads, on_cpu)


def job_of(cell: Cell, config: StudyConfig, folder: Path) -> Job:
    """The command of a cell with what does not shape its result."""
    run, plain, extra = config.run, RunOptions(), []
    for name in ("devices", "workers"):
        if getattr(run, name) != getattr(plain, name):
            extra += [f"--{name}", str(getattr(run, name))]
    if run.track:
        extra += ["--track", *run.track]
    args = (*cell.verb.split(), *cell.args, "--run-dir", str(folder / "cells" / cell.name), *extra)
    return Job(cell.name, args, str(folder / "logs" / f"{cell.name}.log"))


def write(made: Plan, run: Run, found: Sequence[Measured]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Writes table.md and cells.csv as far as they are known; returns tables and charts for the page."""
    tables = layout_tables(found, made.layout)
    shown = [contents(table, made.layout) for table in tables]
    shown += [change for table in tables if (change := changes(table, made.layout))]
    if failed := [[one.cell.name, one.reason] for one in found if one.reason]:
        shown.append({"title": "Cells without a result", "head": ["cell", "why"], "rows": failed, "note": ""})
    write_text(run.dir / "table.md", "\n".join(map(markdown, shown)))
    write_text(run.dir / "cells.csv", to_csv(found, made.axes, run.dir / "cells"))
    return shown, [chart(table, made.layout) for table in tables if made.layout.rows]


def conclude(made: Plan, run: Run, found: Sequence[Measured], seconds: float) -> None:
    """Writes result.json and the page."""
    shown, charts = write(made, run, found)
    failures = {one.cell.name: one.reason for one in found if one.reason}
    run.finish(
        metrics={},
        tables=shown,
        charts=charts,
        cells=len(found),
        failures=failures,
        cell_seconds=sum(one.seconds or 0.0 for one in found),
        wall_seconds=seconds,
    )
    write_report(run.dir)
