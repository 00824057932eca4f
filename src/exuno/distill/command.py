"""``exuno distill``. Imports no torch until the run begins."""

from collections.abc import Sequence

from exuno.distill.options import DistillConfig
from exuno.engine.launch import launch, wanted
from exuno.engine.session import explain
from exuno.presets import Preset, parse, to_dict
from exuno.rehearsal import rehearse


def main(args: Sequence[str]) -> None:
    """Parses the command line, then explains or runs it."""
    config, preset = parse("distill", DistillConfig, args)
    if config.run.dry_run:
        explain(to_dict(config), preset, cost(config))
        rehearse(config, lambda: look(config, preset))
        return
    if (processes := wanted(config.run)) > 1:
        launch("distill", args, processes)
        return
    from exuno.distill.train import distill
    from exuno.report.terminal import show

    show(distill(config, preset))


def look(config: DistillConfig, preset: Preset | None) -> None:
    """Checks all that the distillation begins with."""
    from exuno.distill.train import look

    look(config, preset)


def cost(config: DistillConfig) -> list[str]:
    """What is known of a run's length before anything is opened."""
    from exuno.distill.kinds import is_single

    teacher = (
        f"before that, its teacher, whose length --budget does not scale: exuno teach {config.teacher[6:]} --dry-run"
    )
    before = [teacher] if config.teacher.startswith("teach:") else []
    if not all(is_single(spec) for spec in config.source):
        return [f"{config.epochs * config.budget:g} epochs of {config.source[0]}", *before]
    images = config.epochs * config.budget * config.patches
    steps = max(1, round(images / config.batch_size))
    made = images if config.fresh else config.patches
    seen = f"{steps:,} steps of {config.batch_size} samples: {images:,.0f} samples seen"
    return [f"{seen}, {made:,.0f} of them made, none on disk", *before]
