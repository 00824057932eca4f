"""``exuno selfsup``: the command line. No torch until the work begins."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from exuno.commandline.presets import parse, run_command
from exuno.selfsup.options import SelfsupConfig
from exuno.specs import length_of

if TYPE_CHECKING:
    from exuno.engine.run import Run


def main(args: Sequence[str]) -> None:
    """Parses the command line, then explains or runs it."""
    config, preset = parse("selfsup", SelfsupConfig, args)

    def check() -> None:
        from exuno.selfsup.train import check

        check(config)

    def look() -> None:
        from exuno.selfsup.train import look

        look(config, preset)

    def work() -> "Run":
        from exuno.selfsup.train import selfsup

        return selfsup(config, preset)

    run_command("selfsup", args, config, preset, length_of(config), check, look, work)
