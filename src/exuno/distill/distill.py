"""``exuno distill``: the command line. No torch until the work begins."""

from collections.abc import Sequence

from exuno.commandline.presets import parse
from exuno.distill.options import DistillConfig
from exuno.engine.launch import launch, wanted
from exuno.engine.session import print_plan
from exuno.presets import Preset, to_dict
from exuno.specs import length_of, rehearse


def main(args: Sequence[str]) -> None:
    """Parses the command line, then explains or runs it."""
    config, preset = parse("distill", DistillConfig, args)
    if config.run.dry_run:
        print_plan(to_dict(config), preset, cost(config))
        rehearse(config, lambda: look(config, preset))
        return
    if (processes := wanted(config.run)) > 1:
        launch("distill", args, processes)
        return
    from exuno.distill.train import distill
    from exuno.report.page import show

    show(distill(config, preset))


def look(config: DistillConfig, preset: Preset | None) -> None:
    """Checks all that the distillation begins with."""
    from exuno.distill.train import look

    look(config, preset)


def cost(config: DistillConfig) -> list[str]:
    """What is known of a run's length before anything is opened."""
    teacher = (
        f"before that, its teacher, whose length --budget does not scale: exuno teach {config.teacher[6:]} --dry-run"
    )
    return length_of(config) + ([teacher] if config.teacher.startswith("teach:") else [])
