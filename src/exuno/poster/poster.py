"""``exuno poster``: the command line. No torch until the work begins."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from exuno.commandline.presets import parse, run_command
from exuno.engine.session import counted
from exuno.poster.options import PosterConfig, algorithms

if TYPE_CHECKING:
    from exuno.engine.run import Run

BUDGETS = ("--ipc", "--canvas", "--bytes")
LAYOUT = ("--patches", "--area")


def main(args: Sequence[str]) -> None:
    """Parses the command line, then explains or runs it."""
    config, preset = parse("poster", PosterConfig, with_budget(args))

    def check() -> None:
        from exuno.poster.train import check

        check(config, preset)

    def look() -> None:
        from exuno.poster.train import look

        look(config, preset)

    def work() -> "Run":
        from exuno.poster.train import make_poster

        return make_poster(config, preset)

    run_command("poster", args, config, preset, cost(config), check, look, work)


def with_budget(args: Sequence[str]) -> list[str]:
    """The command line in which a budget that was typed replaces that of the preset, and the layout made for it."""
    typed = {arg.partition("=")[0] for arg in args}
    if not args or args[0].startswith("-") or not typed & set(BUDGETS):
        return list(args)
    other = [flag for flag in (*BUDGETS, *LAYOUT) if flag not in typed]
    return [args[0], *(word for flag in other for word in (flag, "None")), *args[1:]]


def cost(config: PosterConfig) -> list[str]:
    """What a distillation takes, in times forward and backward on a batch of patches."""
    unroll, steps = config.unroll, max(1, round(config.steps * config.budget))
    entry = algorithms.entries.get(config.algorithm)
    facts = entry.facts if entry else {}
    window = unroll.window if facts.get("window") else 0
    before = (unroll.least + unroll.total - window) / 2 if facts.get("inner") else 0
    passes = before + (window * (4 if unroll.backend == "checkpointed" else 3) if window else 1)
    judged = config.evaluations * config.eval.trials * min(config.eval.steps)
    return [
        f"{counted(steps, 'outer step')}, each {unroll.runs} x ({before:g} inner steps on average, then {window or 1} "
        "with a gradient)",
        f"about {steps * unroll.runs * passes:,.0f} times forward and backward on a batch of patches",
        f"{judged:,} for the tests on the way, {config.eval.networks * max(config.eval.steps):,} at the end, and the "
        "baselines",
    ]
