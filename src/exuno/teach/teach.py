"""``exuno teach``: the command line. No torch until the work begins."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from exuno.commandline.presets import parse, run_command
from exuno.engine.session import counted
from exuno.teach.options import TeachConfig

if TYPE_CHECKING:
    from exuno.engine.run import Run


def main(args: Sequence[str]) -> None:
    """Parses the command line, then explains or runs it."""
    config, preset = parse("teach", TeachConfig, args)

    def check() -> None:
        from exuno.teach.train import check

        check(config)

    def look() -> None:
        from exuno.teach.train import look

        look(config, preset)

    def work() -> "Run":
        from exuno.teach.train import teach

        return teach(config, preset)

    cost = f"{counted(config.epochs * config.budget, 'epoch')} of {config.data}"
    run_command("teach", args, config, preset, [cost], check, look, work)
