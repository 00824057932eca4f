"""``exuno probe``: the command line. No torch until the work begins."""

from collections.abc import Sequence

from exuno.commandline import parsed
from exuno.engine.session import print_plan
from exuno.presets import to_dict
from exuno.probe.options import ProbeConfig, complete
from exuno.specs import rehearse


def main(args: Sequence[str]) -> None:
    """Parses the command line, then explains or carries it out."""
    config = complete(parsed("probe", ProbeConfig, args))
    if config.run.dry_run:
        print_plan(to_dict(config), None, cost(config))
        rehearse(config, lambda: look(config))
        return
    from exuno.probe.measure import probe

    probe(config)


def cost(config: ProbeConfig) -> list[str]:
    """What would be done."""
    rows = 1 + len(config.against)
    passes = "one pass over the images" if config.protocol == "fast" else f"{config.epochs} passes over random crops"
    return [f"{rows} rows; {passes} for each network, all its layers together; {config.epochs} epochs of probes"]


def look(config: ProbeConfig) -> None:
    """Checks all that the probing begins with."""
    from exuno.probe.measure import probe

    probe(config)
