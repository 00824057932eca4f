"""``exuno study``. ``--help`` and ``--dry-run`` import no torch."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from exuno.commandline.presets import parse
from exuno.engine.run import Run, default_folder, without
from exuno.engine.session import print_plan
from exuno.presets import Preset, to_dict
from exuno.study.options import LAYOUT, StudyConfig


def main(args: Sequence[str]) -> None:
    """Parses the command line, then explains or runs it.

    Raises:
        SystemExit: with code 1, if a cell has no result.
    """
    config, preset = parse("study", StudyConfig, args)
    from exuno.study.study import plan, rehearse, study

    if config.run.dry_run:
        print_plan(to_dict(config), preset, cost(config, preset))
        rehearse(plan(config), config)
        print("# checked: the first command of each stage, as far as it does not build on earlier ones")
        return

    run = study(config, preset)
    show(run)
    if run.result and run.result["failures"]:
        raise SystemExit(1)


def cost(config: StudyConfig, preset: Preset | None) -> list[str]:
    """The cells, as commands."""
    from exuno.study.study import job_of, plan

    named = without(to_dict(config), LAYOUT)
    folder = config.run.run_dir or default_folder("study", preset.name if preset else None, named)
    cells = plan(config).cells(folder / "cells")
    stages = list(dict.fromkeys(cell.stage for cell in cells))
    counts = ", ".join(f"{sum(cell.stage == stage for cell in cells)} of {stage}" for stage in stages)
    commands = [shlex.join(("exuno", *job_of(cell, config, folder).args)) for cell in cells]
    return [f"{len(cells)} cells: {counts}", *commands]


def show(run: Run) -> None:
    """Prints the tables and where the rest is."""
    assert run.result
    print((run.dir / "table.md").read_text(encoding="utf-8"))
    seconds, spent = run.result["wall_seconds"], run.result["cell_seconds"]
    page = run.dir / "report.html"
    print(f"{run.result['cells']} cells of {spent:.0f} s of training together, in {seconds:.0f} s.  Look at: {page}")
    if failures := run.result["failures"]:
        logs: Path = run.dir / "logs"
        print(f"{len(failures)} have no result; the same command tries them again. What they printed is in {logs}.")
