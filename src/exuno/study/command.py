"""``exuno study``. ``--help`` imports no torch."""

from collections.abc import Sequence
from pathlib import Path

from exuno.commandline.presets import parse
from exuno.engine.run import Run
from exuno.engine.session import print_plan
from exuno.presets import Preset, to_dict
from exuno.study.options import StudyConfig


def main(args: Sequence[str]) -> None:
    """Parses the command line, then explains or runs it.

    Raises:
        SystemExit: with code 1, if a cell has no result.
    """
    config, preset = parse("study", StudyConfig, args)
    if config.run.dry_run:
        explain(config, preset)
        return
    from exuno.study.study import study

    run = study(config, preset)
    show(run)
    if run.result and run.result["failures"]:
        raise SystemExit(1)


def explain(config: StudyConfig, preset: Preset | None) -> None:
    """Prints what would be done, and looks at all commands."""
    from exuno.study.outline import checked, outline, timed
    from exuno.study.plan import folder_of, plan

    made, folder = plan(config), folder_of(config, preset)
    print_plan(to_dict(config), preset, outline(config, made, folder))
    from exuno.study.rehearsal import left, rehearse

    seconds, gaps = rehearse(config, made, preset)
    for line in (*timed(left(made, folder), seconds), *checked(gaps)):
        print(f"# {line}")


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
