"""``exuno study`` from top to bottom."""

import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from exuno.commandline.presets import resolve
from exuno.engine import session
from exuno.engine.errors import tell
from exuno.engine.files import write_text
from exuno.engine.launch import wanted
from exuno.engine.options import RunOptions
from exuno.engine.progress import ProgressBar
from exuno.engine.run import Run, open_run
from exuno.engine.stop import REQUEUE
from exuno.presets import Preset, to_dict
from exuno.report.page import write_report
from exuno.study.gather import Measured, measured, to_csv
from exuno.study.grid import Cell
from exuno.study.local import Local, Need, room
from exuno.study.options import LAYOUT, StudyConfig
from exuno.study.plan import Plan, job_of, plan
from exuno.study.rehearsal import rehearse
from exuno.study.same_data import mixed
from exuno.study.schedule import Launcher, run_all
from exuno.study.table import changes, chart, contents, layout_tables, markdown
from exuno.study.worker import Outcome


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
    rehearse(config, made, preset)
    about = session.about_of(preset, values, to_dict(resolve(StudyConfig, preset)) if preset else {})
    about = {"summary": session.summary_of("study", values), **about}
    run = open_run("study", name, values, about, config.run.options, ignored_fields=LAYOUT)
    try:
        run_cells(config, made, need, run)
    finally:
        run.close()
    return run


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
