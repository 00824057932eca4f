"""``exuno study`` from top to bottom."""

import contextlib
import io
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from exuno.commandline.presets import resolve
from exuno.engine import session
from exuno.engine.errors import ExunoError, tell
from exuno.engine.files import write_text
from exuno.engine.launch import wanted
from exuno.engine.options import RunOptions
from exuno.engine.progress import ProgressBar
from exuno.engine.ranges import check_fields
from exuno.engine.run import Run, open_run
from exuno.engine.stop import REQUEUE
from exuno.presets import Preset, to_dict
from exuno.report.page import write_report
from exuno.specs import to_come
from exuno.study.content import content
from exuno.study.gather import Measured, measured, to_csv
from exuno.study.grid import Axis, Cell, Stage, find_axis, has_option, make_cells, read_axes, read_stages
from exuno.study.local import Local, Need, room
from exuno.study.options import LAYOUT, StudyConfig
from exuno.study.same_data import mixed
from exuno.study.schedule import Launcher, run_all
from exuno.study.table import Layout, changes, chart, contents, is_seed, layout_tables, markdown
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
        return make_cells(self.stages, self.axes, self.fixed, folder, content)


def plan(config: StudyConfig) -> Plan:
    """Reads stages, axes and layout.

    Raises:
        ExunoError: whatever in them is not understood.
    """
    check_fields(config)
    if config.ray is not None and config.slurm is not None:
        raise ExunoError("--ray and --slurm are two places for the cells", "Give one of them.")
    if config.processes and config.ray not in (None, "local"):
        raise ExunoError(f"--processes says nothing about the cluster at {config.ray}", "Leave it out.")
    stages = read_stages(config.stages)
    axes, given = read_axes(config.axes, stages), read_axes(config.set, stages)
    for axis in given:
        if len(axis.values) > 1:
            raise ExunoError(f"--set {axis.name} has {len(axis.values)} values", "Give one, or make it one of --axes.")
    set_to = {axis.name: axis for axis in given}
    axes = [set_to.pop(axis.name, axis) for axis in axes]
    fixed = [*common(config, axes), *set_to.values()]
    if config.run.smoke:
        kept = find_axis(config.columns, axes) if config.columns else None
        axes = [axis if axis == kept else replace(axis, values=axis.values[:1]) for axis in axes]
    return Plan(stages, axes, fixed, lay_out(config, axes))


def lay_out(config: StudyConfig, axes: Sequence[Axis]) -> Layout:
    """Which axis goes where.

    Raises:
        ExunoError: an axis that there is not, or one in two places.
    """
    named = [find_axis(name, axes) if name else None for name in (config.tables, config.rows, config.columns)]
    asked = [axis for axis in named if axis]
    if len({axis.name for axis in asked}) < len(asked):
        raise ExunoError("an axis is asked for in two places", "Give --tables, --rows and --columns different axes.")
    rest = [axis for axis in axes if axis not in asked and not is_seed(axis)]
    rows = named[1] or (rest.pop(0) if rest else None)
    return Layout((*([named[0]] if named[0] else []), *rest), rows, named[2], config.metrics)


def common(config: StudyConfig, axes: Sequence[Axis]) -> list[Axis]:
    """Options of the study that every cell gets.

    Raises:
        ExunoError: one of them is an axis, too.
    """
    run = config.run
    given = {"data-root": run.data_root and shlex.quote(str(run.data_root)), "seed": run.seed}
    given |= {"precision": run.precision, "loader": run.loader, "smoke": "true" if run.smoke else None}
    fixed = [Axis(None, name, (str(value),)) for name, value in given.items() if value is not None]
    taken = {axis.name for axis in axes}
    for axis in fixed:
        if axis.name in taken:
            raise ExunoError(f"{axis.name} is an axis of this study", f"Give it as --set {axis.name}={axis.values[0]}.")
    return fixed


def need_of(config: StudyConfig) -> Need:
    """What one cell takes."""
    devices = config.run.devices or "auto"
    return Need(wanted(RunOptions(devices=devices)), config.threads, devices.startswith("cpu"))


def study(config: StudyConfig, preset: Preset | None = None) -> Run:
    """Carries out all cells that have no result yet, and writes tables and page.

    Raises:
        ExunoError: anything the user can put right.
    """
    made, need, values = plan(config), need_of(config), to_dict(config)
    name = preset.name if preset else None
    rehearse(made, config)
    about = session.about_of(preset, values, to_dict(resolve(StudyConfig, preset)) if preset else {})
    about = {"summary": session.summary_of("study", values), **about}
    run = open_run("study", name, values, about, config.run.options, ignored_fields=LAYOUT)
    try:
        run_cells(config, made, need, run)
    finally:
        run.close()
    return run


def rehearse(made: Plan, config: StudyConfig) -> None:
    """Has the verb of each stage look at its first command, as far as that does not build on earlier ones, so that a
    mistake is told before anything runs.

    Raises:
        ExunoError: what the command would raise.
    """
    folder = config.run.run_dir or Path("study")
    cells = made.cells(folder)
    for cell in {cell.stage: cell for cell in reversed(cells)}.values():
        with contextlib.redirect_stdout(io.StringIO()), to_come(folder):
            run_verb([*job_of(cell, config, Path("study")).args, "--dry-run"])


def run_cells(config: StudyConfig, made: Plan, need: Need, run: Run) -> None:
    """Runs the cells in an open run directory."""
    before = run.result
    folder, begun = run.dir / "cells", time.monotonic()
    cells = made.cells(folder)
    found = {cell.name: measured(cell, None, folder) for cell in cells}
    done = {name: "" for name, one in found.items() if one.reason == ""}
    with ProgressBar("study", len(cells), "cells", len(done)) as bar:

        def tell(cell: Cell, outcome: Outcome) -> None:
            reason = None if outcome.unfinished else outcome.reason
            found[cell.name] = measured(cell, reason, folder)
            write(made, run, list(found.values()))
            said = outcome.reason and ("stopped" if outcome.unfinished else "failed")
            bar.advance(1, f"{cell.name}: {said or f'{outcome.seconds:.0f} s'}")

        make = partial(launcher, config, need, run.dir)
        ended = run_all(cells, done, make, lambda cell: job_of(cell, config, run.dir), tell)
    if left := len(cells) - len(ended):
        print(f"exuno: {left} cells are unfinished, told to stop; the same command continues them.", file=sys.stderr)
        raise SystemExit(REQUEUE)
    spent = (before or {}).get("wall_seconds", 0.0) + time.monotonic() - begun
    conclude(made, run, list(found.values()), spent)


def launcher(config: StudyConfig, need: Need, folder: Path) -> Launcher:
    """What ``--ray``, ``--slurm`` and ``--processes`` ask for.

    Args:
        config: of the study.
        need: of a cell.
        folder: of the study.
    """
    if config.slurm is not None:
        from exuno.study.on_slurm import OnSlurm

        return OnSlurm(config.slurm, config.processes, need, folder / "logs" / "slurm", config.slurm_minutes)
    slots = config.processes or room(need)
    if config.ray is None:
        return Local(slots, need)
    from exuno.study.on_ray import OnRay

    return OnRay(config.ray, slots, need)


def job_of(cell: Cell, config: StudyConfig, folder: Path) -> Job:
    """The command of a cell with what does not shape its result."""
    run, extra = config.run, []
    for name, value in (("devices", run.devices), ("workers", run.workers), ("track", " ".join(run.track) or None)):
        if value is not None and has_option(cell.verb, name):
            extra += [f"--{name}", *str(value).split()]
    if run.no_images and has_option(cell.verb, "no-images"):
        extra.append("--no-images")
    args = (*cell.verb.split(), *cell.args, "--run-dir", str(folder / "cells" / cell.name), *extra)
    return Job(cell.name, args, str(folder / "logs" / f"{cell.name}.log"))


def write(made: Plan, run: Run, found: Sequence[Measured]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Writes table.md and cells.csv as far as they are known; returns tables and charts for the page."""
    tables = layout_tables(found, made.layout)
    shown = [contents(table, made.layout) for table in tables]
    shown += [change for table in tables for change in changes(table, made.layout)]
    if failed := [[one.cell.name, one.reason] for one in found if one.reason]:
        shown.append({"title": "Cells without a result", "head": ["cell", "why"], "rows": failed, "note": ""})
    write_text(run.dir / "table.md", "\n".join(map(markdown, shown)))
    write_text(run.dir / "cells.csv", to_csv(found, made.axes, run.dir / "cells"))
    return shown, [chart(table, made.layout) for table in tables if made.layout.rows]


def conclude(made: Plan, run: Run, found: Sequence[Measured], seconds: float) -> None:
    """Writes result.json and the page."""
    shown, charts = write(made, run, found)
    failures = {one.cell.name: one.reason for one in found if one.reason}
    notes = mixed(run.dir / "cells" / one.cell.name for one in found if one.reason == "")
    for note in notes:
        tell(note)
    run.finish(
        metrics={},
        tables=shown,
        charts=charts,
        cells=len(found),
        failures=failures,
        notes=notes,
        cell_seconds=sum(one.seconds or 0.0 for one in found),
        wall_seconds=seconds,
    )
    write_report(run.dir)
