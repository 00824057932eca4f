"""``exuno teach``: the command line. No torch until the work begins."""

from collections.abc import Sequence

from exuno.commandline.presets import parse
from exuno.engine.launch import launch, wanted
from exuno.engine.session import print_plan
from exuno.presets import Preset, to_dict
from exuno.specs import rehearse
from exuno.teach.options import TeachConfig


def main(args: Sequence[str]) -> None:
    """Parses the command line, then explains or runs it."""
    config, preset = parse("teach", TeachConfig, args)
    if config.run.dry_run:
        print_plan(to_dict(config), preset, [f"{config.epochs * config.budget:g} epochs of {config.data}"])
        rehearse(config, lambda: look(config, preset))
        return
    if (processes := wanted(config.run)) > 1:
        launch("teach", args, processes)
        return
    from exuno.report.page import show
    from exuno.teach.train import teach

    show(teach(config, preset))


def look(config: TeachConfig, preset: Preset | None) -> None:
    """Checks all that the training begins with."""
    from exuno.teach.train import look

    look(config, preset)
