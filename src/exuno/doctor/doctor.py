"""``exuno doctor``: the command line. No torch until the work begins."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from exuno.commandline import parsed
from exuno.doctor.options import ASTRONAUT, TEACH, DoctorConfig, check, photos
from exuno.engine.errors import ExunoError
from exuno.engine.idle import refuse_idle
from exuno.engine.session import print_plan
from exuno.evaluate.eval import complete as complete_eval
from exuno.evaluate.eval import config_of, spec_of
from exuno.evaluate.options import EvalConfig
from exuno.presets import read, to_dict
from exuno.specs import check_specs, rehearse


def main(args: Sequence[str]) -> None:
    """Parses the command line, then explains or carries it out."""
    config = complete(parsed("doctor", DoctorConfig, args))
    if config.dry_run:
        print_plan(to_dict(config), None, cost(config))
        rehearse(config, lambda: look(config))
        return
    from exuno.doctor.examine import doctor
    from exuno.doctor.words import show

    show(doctor(config))


def look(config: DoctorConfig) -> None:
    """Checks all that the examination begins with."""
    from exuno.doctor.examine import look

    look(config)


def complete(config: DoctorConfig) -> DoctorConfig:
    """The configuration with a model spec for a folder or file, and with the data of its run or preset.

    Raises:
        ExunoError: values that make no sense, or data that are not known.
    """
    check(config)
    config = replace(config, teacher=spec_of(config.teacher))
    if not config.sources:
        config = replace(config, source=config.source or ASTRONAUT)
    check_specs(config)
    if config.teacher.startswith(TEACH):
        known = read("teach", config.teacher.removeprefix(TEACH)).config
        return replace(config, data=config.data or known["data"])
    if config.sources and config.data is None and not data_of(config.teacher):
        refuse_idle(config, DoctorConfig(), ("split", "classes", "held"), "there are no --data", "Give both, or none.")
        return config
    wish = EvalConfig(config.teacher, config.data, config.data_root, size=config.size, held=config.held)
    import yaml

    try:
        found = complete_eval(wish)
    except (KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise ExunoError(f"the record of {config.teacher} does not tell its data", "Give --data.") from error
    return replace(config, data=found.data, data_root=found.data_root, size=found.size, held=found.held)


def data_of(spec: str) -> str | None:
    """The data that the run of a model was tested on; None of any other model, and of a run without any."""
    file = Path(spec.removeprefix("run:")) / "config.yaml"
    return config_of(file, needed=False).get("data") if spec.startswith("run:") and file.is_file() else None


def cost(config: DoctorConfig) -> list[str]:
    """What would be done."""
    lines = [
        f"{config.patches:,} patches of each of {len(photos(config))} photographs, with default augmentation, none of "
        "them on disk"
    ]
    if not config.sources:
        lines.append(f"one pass over the {config.split} images of {config.data}, and up to 2,000 of them under each of "
                     "at most 9 normalisations")  # fmt: skip
    if config.teacher.startswith(TEACH):
        lines.append(f"before that, the teacher: exuno teach {config.teacher.removeprefix(TEACH)} --dry-run")
    return lines
