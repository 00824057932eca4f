"""``exuno distill``: the command line. No torch until the work begins."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from exuno.commandline.presets import parse, run_command
from exuno.distill.options import DistillConfig, completed
from exuno.specs import length_of

if TYPE_CHECKING:
    from exuno.engine.run import Run


def main(args: Sequence[str]) -> None:
    """Parses the command line, then explains or runs it."""
    config, preset = parse("distill", DistillConfig, args)
    config = completed(config)

    def check() -> None:
        from exuno.distill.train import check

        check(config)

    def look() -> None:
        from exuno.distill.train import look

        look(config, preset)

    def work() -> "Run":
        from exuno.distill.train import distill

        return distill(config, preset)

    run_command("distill", args, config, preset, cost(config), check, look, work)


def cost(config: DistillConfig) -> list[str]:
    """What is known of a run's length before anything is opened."""
    teacher = (
        f"before that, its teacher, whose length --budget does not scale: exuno teach {config.teacher[6:]} --dry-run"
    )
    return length_of(config) + ([teacher] if config.teacher.startswith("teach:") else [])
