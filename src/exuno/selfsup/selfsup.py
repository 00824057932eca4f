"""``exuno selfsup``: the command line. No torch until the work begins."""

from collections.abc import Sequence

from exuno.commandline.presets import parse
from exuno.engine.launch import launch, wanted
from exuno.engine.session import print_plan
from exuno.presets import Preset, to_dict
from exuno.selfsup.options import SelfsupConfig
from exuno.specs import length_of, rehearse


def main(args: Sequence[str]) -> None:
    """Parses the command line, then explains or runs it."""
    config, preset = parse("selfsup", SelfsupConfig, args)
    if config.run.dry_run:
        print_plan(to_dict(config), preset, length_of(config))
        rehearse(config, lambda: look(config, preset))
        return
    if (processes := wanted(config.run)) > 1:
        launch("selfsup", args, processes)
        return
    from exuno.report.page import show
    from exuno.selfsup.train import selfsup

    show(selfsup(config, preset))


def look(config: SelfsupConfig, preset: Preset | None) -> None:
    """Checks all that the training begins with."""
    from exuno.selfsup.train import look

    look(config, preset)
