"""``exuno study``. Imports no torch; its cells do, in processes of their own."""

from collections.abc import Sequence
from pathlib import Path

from exuno.engine.run import Run, default_folder
from exuno.engine.session import explain
from exuno.presets import Preset, parse, to_dict
from exuno.study.options import StudyConfig


def main(args: Sequence[str]) -> None:
    """Parses the command line, then explains or runs it.

    Raises:
        SystemExit: with code 1, if a cell has no result.
    """
    config, preset = parse("study", StudyConfig, args)
    if config.run.dry_run:
        explain(to_dict(config), preset, cost(config, preset))
        return
    from exuno.study.study import study

    run = study(config, preset)
    show(run)
    if run.result and run.result["failures"]:
        raise SystemExit(1)


def cost(config: StudyConfig, preset: Preset | None) -> list[str]:
    """The cells, as commands."""
    from exuno.study.study import plan

    folder = config.run.run_dir or default_folder("study", preset.name if preset else None, to_dict(config))
    cells = plan(config).cells(folder / "cells")
    stages = list(dict.fromkeys(cell.stage for cell in cells))
    counts = ", ".join(f"{sum(cell.stage == stage for cell in cells)} of {stage}" for stage in stages)
    return [f"{len(cells)} cells: {counts}", *(" ".join(("exuno", cell.verb, *cell.args)) for cell in cells)]


def show(run: Run) -> None:
    """Prints the tables and where the rest is."""
    assert run.result
    print((run.dir / "table.md").read_text())
    seconds, spent = run.result["wall_seconds"], run.result["cell_seconds"]
    page = run.dir / "report.html"
    print(f"{run.result['cells']} cells of {spent:.0f} s together, in {seconds:.0f} s.  Look at: {page}")
    if failures := run.result["failures"]:
        logs: Path = run.dir / "logs"
        print(f"{len(failures)} have no result; the same command tries them again. What they printed is in {logs}.")
